"""How a segment is shown, and how time is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsvc.domain.codec import decode, encode
from segsvc.domain.segment import Author, Roles, Segment, timestamp
from segsvc.index.entry import rendered
from tests.domain.strategies import property_test

moments = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


def segment_of(created_at: str) -> Segment:
    return Segment(
        id="demo-segment-95he0",
        display_name="Demo Segment",
        description="This is a demo segment ",
        roles=Roles(editor=("segment_job_edit", "demo_role"), viewer=("segment_job_view",)),
        labels=("customer", "demo"),
        data={"cronjob": {"schedule": "*/10 * * * *"}},
        created_at=created_at,
        modified_at="2020-03-18T18:09:17.179",
        created_by=Author("foo", "for@bar.io"),
        modified_by=Author("foo", ""),
    )


def test_a_segment_is_shown_as_the_specification_shows_it() -> None:
    assert orjson.loads(rendered(segment_of("2020-03-18T18:08:31.850"))) == {
        "id": "demo-segment-95he0",
        "metadata": {
            "displayName": "Demo Segment",
            "description": "This is a demo segment ",
            "createdAt": "2020-03-18T18:08:31.850",
            "modifiedAt": "2020-03-18T18:09:17.179",
            "createdBy": {"name": "foo", "email": "for@bar.io"},
            "modifiedBy": {"name": "foo", "email": ""},
        },
        "roles": {"editor": ["segment_job_edit", "demo_role"], "viewer": ["segment_job_view"]},
        "data": {"cronjob": {"schedule": "*/10 * * * *"}},
        "labels": ["customer", "demo"],
    }


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2020, 3, 18, 18, 8, 31, 850_000, tzinfo=UTC), "2020-03-18T18:08:31.850"),
        (datetime(2020, 3, 18, 18, 8, 31, tzinfo=UTC), "2020-03-18T18:08:31.000"),
        (datetime(2020, 3, 18, 18, 8, 31, 850_999, tzinfo=UTC), "2020-03-18T18:08:31.850"),
        (datetime(2020, 3, 19, 0, 8, 31, tzinfo=timezone(timedelta(hours=6))), "2020-03-18T18:08:31.000"),
        (datetime(2019, 12, 31, 23, 30, tzinfo=timezone(-timedelta(hours=1))), "2020-01-01T00:30:00.000"),
        (datetime(7, 1, 2, tzinfo=UTC), "0007-01-02T00:00:00.000"),
    ],
)
def test_time_is_written_in_utc_with_milliseconds_and_no_zone(moment: datetime, written: str) -> None:
    assert timestamp(moment) == written


@property_test
@given(moment=moments)
def test_every_time_that_is_written_is_read(moment: datetime) -> None:
    written = timestamp(moment)
    assert decode(encode(segment_of(written))).created_at == written


@property_test
@given(one=moments, other=moments)
def test_written_times_sort_as_the_times_do(one: datetime, other: datetime) -> None:
    def milliseconds(moment: datetime) -> datetime:
        return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)

    assert (timestamp(one) < timestamp(other)) == (milliseconds(one) < milliseconds(other))

"""The short way to accept `data` accepts nothing that the schemas refuse, and is the way that data usually goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segsvc.devcluster.samples import sample_segments
from segsvc.domain.ordinary import is_ordinary
from segsvc.domain.schema import DataSchema
from tests.domain.strategies import data_values, json_values, property_test

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

NAMES = [
    *("cronjob", "schedule", "concurrencyPolicy", "failedJobsHistoryLimit", "successfulJobsHistoryLimit"),
    *("env", "TYPE", "DB_TYPE", "A", "1A", "ä", "A\n", ""),
    *("envFromSecrets", "secret", "key", "image", "pullPolicy", "pullSecrets", "repository", "restartPolicy", "tag"),
]
names = st.sampled_from(NAMES)
values = json_values(names) | st.sampled_from(
    [
        "",
        " ",
        "@daily",
        "* * * *",
        "0 0 31 2 *",
        "61 * * * *",
        "Allow",
        "Never",
        "pivot",
        "citus",
        0,
        -1,
        2**31,
        1.0,
        True,
    ]
)


@st.composite
def broken(draw: DrawFn) -> Any:
    """Valid data in which something was put in, replaced or taken out."""
    data: Any = draw(data_values)
    for _ in range(draw(st.integers(1, 2))):
        found = data
        while isinstance(found, dict) and found and draw(st.booleans()):
            inner = found[draw(st.sampled_from(sorted(found)))]
            if not isinstance(inner, dict):
                break
            found = inner
        name = draw(st.sampled_from(sorted(found)) | names) if found else draw(names)
        if draw(st.booleans()):
            found[name] = draw(values)
        else:
            found.pop(name, None)
    return data


def is_valid(data: Any) -> bool:
    return isinstance(data, dict) and not DataSchema().validate(data)


@settings(property_test, max_examples=1000)
@given(data=broken() | values)
@example(data={"cronjob": {"schedule": "@daily"}, "env": {"A": "x", "B": None}})
@example(data={"cronjob": {"schedule": "@daily", "failedJobsHistoryLimit": True}})
@example(data={"cronjob": {"schedule": "@daily"}, "envFromSecrets": {"A": {"secret": "s", "key": " "}}})
def test_what_is_ordinary_is_valid(data: Any) -> None:
    assert is_valid(data) or not is_ordinary(data)


@settings(property_test, max_examples=100)
@given(data=data_values)
def test_valid_data_is_ordinary(data: Any) -> None:
    assert is_ordinary(data)


def test_the_samples_are_ordinary() -> None:
    assert all(is_ordinary(sample["spec"]) for sample in sample_segments(500, namespace="test"))


@pytest.mark.parametrize("count", [1, 10_000])
def test_the_names_met_before_do_not_matter(count: int) -> None:
    job = {"cronjob": {"schedule": "@daily"}}
    many = {f"NAME_{number}": "x" for number in range(count)}

    for _ in range(2):
        assert is_ordinary({**job, "env": {**many, "A" * 1000: "x"}})
        assert is_ordinary({**job, "envFromSecrets": {name: {"secret": "s", "key": "k"} for name in many}})
        assert not is_ordinary({**job, "env": {**many, "1A": "x"}})
        assert not is_ordinary({**job, "env": {**many, "A\n": "x"}})

"""What a custom resource must hold to be a segment, and what a write keeps of it."""

from __future__ import annotations

import contextlib
import copy
import json
from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsvc.domain.codec import Incompatible, decode, decode_first, encode
from segsvc.domain.schema import data_problems
from segsvc.domain.segment import Author, Roles, Segment
from tests.domain.strategies import json_values, property_test, segment_test, segments, texts, timestamps

PREFIX = "segment.grnry.io/"
OURS = {
    f"{PREFIX}{name}"
    for name in (
        "display-name",
        "description",
        "roles",
        "labels",
        "created-at",
        "modified-at",
        "created-by",
        "modified-by",
    )
}
SPEC = {"cronjob": {"schedule": "@daily"}}
SIGNS = st.sampled_from("9-+Z, \n\u0663")
"""What stands in times that others write, and a digit of another script."""

annotation_maps = st.dictionaries(st.sampled_from(sorted(OURS)) | texts, texts, max_size=6)
resources = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "annotations": annotation_maps | st.none(),
                "labels": st.dictionaries(texts, texts, max_size=3),
                "finalizers": st.lists(texts, max_size=2),
                "ownerReferences": st.lists(st.dictionaries(texts, texts), max_size=2),
                "resourceVersion": st.integers(min_value=1).map(str),
                "uid": st.uuids().map(str),
                "generation": st.integers(min_value=1),
                "creationTimestamp": st.just("2020-03-18T18:08:31Z"),
            },
        )
    },
    optional={"status": json_values(), "spec": json_values(), "apiVersion": texts, "kind": texts},
)


def resource(spec: object = SPEC, **given: str) -> dict[str, Any]:
    """Return what a person would write with kubectl: a spec and annotations, named as in ``display_name="Demo"``."""
    named = {f"{PREFIX}{name.replace('_', '-')}": text for name, text in ({"display_name": "Demo"} | given).items()}
    return {
        "apiVersion": "segment.grnry.io/v1alpha1",
        "kind": "Segment",
        "metadata": {"name": "demo", "creationTimestamp": "2021-01-02T03:04:05Z", "annotations": named},
        "spec": spec,
    }


class TestReading:
    def test_a_resource_written_by_hand_needs_a_name_and_a_job_only(self) -> None:
        assert decode(resource()) == Segment(
            id="demo",
            display_name="Demo",
            description="",
            roles=Roles(editor=("segment_job_edit",), viewer=("segment_job_view",)),
            labels=(),
            data=SPEC,
            created_at="2021-01-02T03:04:05.000",
            modified_at="",
            created_by=Author("", ""),
            modified_by=Author("", ""),
        )

    def test_everything_is_read_from_its_annotation(self) -> None:
        segment = decode(
            resource(
                display_name=" Demo ",
                description="What it is for",
                roles='{"editor": ["a", "b"], "viewer": []}',
                labels='["x", "x", ""]',
                created_at="2020-03-18T18:08:31.850",
                modified_at="2020-03-18T18:09:17.179",
                created_by='{"name": "foo", "email": "foo@bar.io"}',
                modified_by='{"name": "baz"}',
            )
        )
        assert segment == Segment(
            id="demo",
            display_name=" Demo ",
            description="What it is for",
            roles=Roles(editor=("a", "b"), viewer=()),
            labels=("x", "x", ""),
            data=SPEC,
            created_at="2020-03-18T18:08:31.850",
            modified_at="2020-03-18T18:09:17.179",
            created_by=Author("foo", "foo@bar.io"),
            modified_by=Author("baz", ""),
        )

    @pytest.mark.parametrize(
        ("roles", "expected"),
        [
            ('{"editor": ["a"]}', Roles(editor=("a",), viewer=("segment_job_view",))),
            ('{"viewer": ["a"]}', Roles(editor=("segment_job_edit",), viewer=("a",))),
            ("{}", Roles(editor=("segment_job_edit",), viewer=("segment_job_view",))),
        ],
    )
    def test_a_missing_role_list_is_its_default(self, roles: str, expected: Roles) -> None:
        assert decode(resource(roles=roles)).roles == expected

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"display_name": ""}, "display-name is missing or blank"),
            ({"display_name": " \t\u2003\n"}, "display-name is missing or blank"),
            ({"roles": ""}, "roles is no JSON"),
            ({"roles": "segment_job_edit"}, "roles is no JSON"),
            ({"roles": '["a"]'}, "roles is no JSON object"),
            ({"roles": "null"}, "roles is no JSON object"),
            ({"roles": '{"editor": "a"}'}, "roles holds something other than a list of strings"),
            ({"roles": '{"viewer": [1]}'}, "roles holds something other than a list of strings"),
            ({"roles": '{"viewer": null}'}, "roles holds something other than a list of strings"),
            ({"labels": ""}, "labels is no JSON"),
            ({"labels": "a,b"}, "labels is no JSON"),
            ({"labels": '"a"'}, "labels holds something other than a list of strings"),
            ({"labels": '{"a": "b"}'}, "labels holds something other than a list of strings"),
            ({"labels": '["a", 1]'}, "labels holds something other than a list of strings"),
            ({"labels": '["a", null]'}, "labels holds something other than a list of strings"),
            ({"labels": "[" * 2000 + "]" * 2000}, "labels is no JSON"),
            ({"created_by": "foo"}, "created-by is no JSON"),
            ({"created_by": '"foo"'}, "created-by is no JSON object"),
            ({"created_by": '{"name": 1}'}, "created-by has a name or an e-mail address that is no string"),
            ({"modified_by": '{"email": null}'}, "modified-by has a name or an e-mail address that is no string"),
            ({"modified_by": "[]"}, "modified-by is no JSON object"),
            *(
                ({name: text}, f"{name.replace('_', '-')} is no time like 2020-03-18T18:08:31.850")
                for name in ("created_at", "modified_at")
                for text in (
                    "",
                    "yesterday",
                    "2020-03-18T24:00:00.000",
                    "2020-03-18",
                    "2020-03-18T18:08:31",
                    "2020-03-18 18:08:31.850",
                    "2020-03-18T18:08:31.850Z",
                    "2020-03-18T18:08:31.850+01:00",
                    "2020-03-18T18:08:31.8500",
                    "2020-03-18T18:08:31.850\n",
                    "2020-3-18T18:08:31.850",
                    "2021-02-29T00:00:00.000",
                    "0000-01-01T00:00:00.000",
                    "2020-03-18T25:00:00.000",
                    "٢٠٢٠-03-18T18:08:31.850",
                )
            ),
        ],
        ids=repr,
    )
    def test_an_annotation_that_is_no_such_thing_makes_a_resource_incompatible(
        self, given: dict[str, str], why: str
    ) -> None:
        with pytest.raises(Incompatible) as refused:
            decode(resource(**given))
        assert f"annotation {PREFIX}{why}" in str(refused.value)

    @pytest.mark.parametrize("metadata", [{"name": "demo"}, {"name": "demo", "annotations": None}])
    def test_a_resource_without_annotations_is_incompatible(self, metadata: dict[str, Any]) -> None:
        with pytest.raises(Incompatible, match="display-name is missing or blank"):
            decode({"metadata": metadata, "spec": SPEC})

    @pytest.mark.parametrize(
        ("spec", "why"),
        [
            (None, "data must be an object"),
            ([], "data must be an object"),
            ({}, "data.cronjob.schedule must not be empty"),
            ({"cronjob": {"schedule": "never"}}, "data.cronjob.schedule must have 5 fields"),
            ({**SPEC, "env": {"DEBUG": True}}, "data.env.DEBUG must be a string"),
            ({**SPEC, "envFromSecretes": {}}, "data.envFromSecretes is unknown"),
            (
                {"cronjob": {"schedule": "@daily", "failedJobsHistoryLimit": -1}, "image": "x"},
                "data.cronjob.failedJobsHistoryLimit must be a whole number from 0 to 2147483647; data.image must be",
            ),
        ],
        ids=repr,
    )
    def test_a_spec_that_is_no_data_makes_a_resource_incompatible(self, spec: object, why: str) -> None:
        with pytest.raises(Incompatible) as refused:
            decode(resource(spec))
        assert why in str(refused.value)

    def test_a_resource_without_a_spec_is_incompatible(self) -> None:
        bare = resource()
        del bare["spec"]
        with pytest.raises(Incompatible, match="data must be an object"):
            decode(bare)

    def test_no_value_of_env_is_told(self) -> None:
        with pytest.raises(Incompatible) as refused:
            decode(resource({**SPEC, "env": {"TYPE": "hunter2", "DB_TYPE": "hunter2", "1": "hunter2"}}))
        assert "hunter2" not in str(refused.value)

    @property_test
    @given(
        spec=json_values(st.sampled_from(["cronjob", "schedule", "env", "envFromSecrets", "image", "TYPE", "tag"])),
        texts_of_ours=st.dictionaries(st.sampled_from(sorted(OURS)), texts | json_values().map(json.dumps), max_size=8),
    )
    def test_any_other_object_says_why_it_holds_no_segment(self, spec: object, texts_of_ours: dict[str, str]) -> None:
        strange = resource(spec)
        strange["metadata"]["annotations"] |= texts_of_ours
        with contextlib.suppress(Incompatible):
            segment = decode(strange)
            assert not data_problems(spec)
            assert segment.data == spec
            assert segment.display_name.strip()


class TestReadingMany:
    @property_test
    @given(read=st.lists(st.builds(encode, segments) | st.builds(resource, display_name=texts), max_size=5))
    def test_is_reading_each_up_to_the_first_without_a_segment(self, read: list[dict[str, Any]]) -> None:
        read_before: list[Segment] = []
        with contextlib.suppress(Incompatible):
            for each in read:
                read_before.append(decode(each))  # noqa: PERF401 - those before an error must stay
        assert decode_first(read) == read_before

    @pytest.mark.parametrize("key", ["created_at", "modified_at"])
    @property_test
    @given(
        times=st.lists(
            timestamps
            | st.from_regex(r"\A(0000|2020)-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\.[0-9]{3}\Z")
            | st.builds(lambda time, at, sign: time[:at] + sign + time[at + 1 :], timestamps, st.integers(0, 23), SIGNS)
            | texts,
            min_size=1,
            max_size=3,
        )
    )
    def test_times_are_looked_at_as_each_is(self, key: str, times: list[str]) -> None:
        def is_time(text: str) -> bool:
            return _reads(text) and datetime.fromisoformat(text).isoformat(timespec="milliseconds") == text

        read = [resource(**{key: text}) for text in times]
        found = [getattr(segment, key) for segment in decode_first(read)]
        assert found == times[: len(found)]
        assert all(map(is_time, found))
        assert found == times or not all(map(is_time, times))
        for text, each in zip(times, read, strict=True):
            if is_time(text):
                assert getattr(decode(each), key) == text
            else:
                with pytest.raises(Incompatible, match=r"-at is no time like 2020-03-18T18:08:31\.850"):
                    decode(each)


def _reads(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


class TestWriting:
    @segment_test
    @given(segment=segments)
    def test_what_is_written_reads_as_the_same_segment(self, segment: Segment) -> None:
        assert decode(encode(segment)) == segment

    @segment_test
    @given(segment=segments)
    def test_what_is_written_survives_json(self, segment: Segment) -> None:
        assert decode(orjson.loads(orjson.dumps(encode(segment)))) == segment

    @segment_test
    @given(segment=segments, held=resources)
    def test_what_is_not_ours_stays(self, segment: Segment, held: dict[str, Any]) -> None:
        before = copy.deepcopy(held)
        written = encode(segment, held)
        assert held == before, "the resource that was read must not change"
        foreign = {key: text for key, text in (before["metadata"].get("annotations") or {}).items() if key not in OURS}
        kept = {key: text for key, text in written["metadata"]["annotations"].items() if key not in OURS}
        assert kept == foreign
        assert _beside(written["metadata"], "name", "annotations") == _beside(before["metadata"], "annotations")
        assert _beside(written, "metadata", "apiVersion", "kind", "spec") == _beside(
            before, "metadata", "apiVersion", "kind", "spec"
        )

    @segment_test
    @given(segment=segments.filter(lambda segment: segment.created_at != ""), held=resources)
    def test_nothing_of_what_was_ours_before_stays(self, segment: Segment, held: dict[str, Any]) -> None:
        assert decode(encode(segment, held)) == segment

    def test_what_a_segment_has_no_longer_goes(self) -> None:
        held = resource(
            description="before",
            roles='{"editor": ["before"]}',
            labels='["before"]',
            modified_at="2020-03-18T18:09:17.179",
            created_by='{"name": "before"}',
            modified_by='{"name": "before"}',
            team="ours",
        )
        bare = decode(resource())
        written = encode(bare, held)
        assert decode(written) == bare
        assert written["metadata"]["annotations"].keys() == {
            f"{PREFIX}{name}" for name in ("display-name", "roles", "created-at", "team")
        }

    def test_a_new_resource_is_a_segment_of_this_version(self) -> None:
        written = encode(decode(resource(labels='["a"]')))
        assert (written["apiVersion"], written["kind"]) == ("segment.grnry.io/v1alpha1", "Segment")
        assert written["spec"] is SPEC
        assert written["metadata"] == {
            "name": "demo",
            "annotations": {
                f"{PREFIX}display-name": "Demo",
                f"{PREFIX}roles": '{"editor":["segment_job_edit"],"viewer":["segment_job_view"]}',
                f"{PREFIX}labels": '["a"]',
                f"{PREFIX}created-at": "2021-01-02T03:04:05.000",
            },
        }


def _beside(members: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in names}

"""What an export leaves out, and that nothing is lost by it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsvc.domain.export import export
from segsvc.domain.schema import parse_body
from segsvc.domain.segment import Author, Roles, Segment
from tests.domain.documents import document
from tests.domain.strategies import data_values, filled_texts, objects, segment_test, segments, texts

# What the operator does where `data` says nothing: the platform's documentation, written out once more.
DEFAULTS: dict[str, dict[str, Any]] = {
    "cronjob": {"concurrencyPolicy": "Always", "failedJobsHistoryLimit": 1, "successfulJobsHistoryLimit": 1},
    "env": {
        "TYPE": "pivot",
        "DB_TYPE": "postgres",
        "DB_USE_VIEWS": "False",
        "DB_HOST": "grnry-pg",
        "DB_PORT": "5432",
        "DB_USE_SSL": "True",
        "SOURCE_SCHEMA_NAME": "public",
        "SOURCE_TABLE_NAME": "profilestore",
        "TARGET_SCHEMA_NAME": "segments",
        "TARGET_SEGMENT_INDEX_SEPARATOR": "|",
        "TARGET_SEGMENT_VIEW_SEPARATOR": ",",
        "TARGET_SEGMENT_VIEW_DEFINITION_SEPARATOR": ":",
        "COLUMN_PLACEHOLDER": "?",
        "TYPE_SEPARATOR": "::",
        "DEFINITION_SEPARATOR": "=",
        "TRANSFORMATION_SEPARATOR": "|",
        "PIVOT_PATHS": "",
        "PIVOT_ALIASES": "",
        "PIVOT_TRANSFORMATIONS": "",
        "PIVOT_SEGMENT_WHERE_CLAUSE": "",
        "PIVOT_ALLOW_EMPTY": "True",
        "CITUS_DIST_COL": "correlation_id",
        "PROMETHEUS_PUSHGATEWAY": "",
        "PROMETHEUS_JOB": "segmentcreation",
        "DEBUG": "False",
    },
    "envFromSecrets": {
        "DB_USER": {"secret": "grnry-pg", "key": "postgresql-username"},
        "DB_NAME": {"secret": "grnry-pg", "key": "postgresql-database"},
        "DB_PASSWORD": {"secret": "grnry-pg", "key": "postgresql-password"},
    },
    "image": {
        "pullPolicy": "IfNotPresent",
        "pullSecrets": "grnry-base-private-registry-token",
        "repository": "hub.syncier.cloud/grnry/segment-table-creation",
        "restartPolicy": "OnFailure",
        "tag": "0.7.0",
    },
}
OTHER: dict[str, Any] = {
    "concurrencyPolicy": "Allow",
    "failedJobsHistoryLimit": 0,
    "successfulJobsHistoryLimit": 0,
    "TYPE": "flexible",
    "DB_TYPE": "citus",
    "pullPolicy": "Never",
    "restartPolicy": "Never",
}
WITH_DEFAULTS = [(part, name) for part, members in DEFAULTS.items() for name in members]

SHOWN: dict[str, Any] = {
    "id": "demo-segment-95he0",
    "metadata": {
        "displayName": "Demo Segment",
        "description": "",
        "createdAt": "2020-03-18T18:08:31.850",
        "modifiedAt": "2020-03-18T18:09:17.179",
        "createdBy": {"name": "foo", "email": "foo@bar.io"},
        "modifiedBy": {"name": "foo", "email": ""},
    },
    "roles": {"editor": ["segment_job_edit"], "viewer": ["segment_job_view"]},
    "data": {"cronjob": {"schedule": "@daily"}},
    "labels": [],
}
LEAST = {
    "id": "demo-segment-95he0",
    "metadata": {"displayName": "Demo Segment"},
    "data": {"cronjob": {"schedule": "@daily"}},
}


def other_than(part: str, name: str) -> Any:
    """Return a value that is valid, but not the default."""
    return {"secret": "grnry-pg", "key": "other"} if part == "envFromSecrets" else OTHER.get(name, " ")


def fill_defaults(shown: dict[str, Any]) -> dict[str, Any]:
    """Return all that makes two segments do the same: what is generated left out, what is left out filled in."""
    return {
        "id": shown["id"],
        "displayName": shown["metadata"]["displayName"],
        "description": shown["metadata"]["description"].strip() and shown["metadata"]["description"],
        "roles": shown["roles"],
        "labels": shown["labels"],
        "data": {part: {**defaults, **shown["data"].get(part, {})} for part, defaults in DEFAULTS.items()},
    }


def recreated(exported: dict[str, Any]) -> Segment:
    """Return the segment that a POST of an export makes elsewhere."""
    sent = orjson.loads(orjson.dumps(exported))
    return parse_body(sent, segment_id=sent["id"]).create(sent["id"], author=Author("else", ""), now="")


def choices(part: str) -> Any:
    """Objects with any of a part's members, each with its default or another value."""
    members = {name: st.sampled_from([default, other_than(part, name)]) for name, default in DEFAULTS[part].items()}
    return st.fixed_dictionaries({}, optional=members)


near_defaults = objects(
    {"cronjob": choices("cronjob").map(lambda members: {"schedule": "@daily", **members})},
    env=choices("env"),
    envFromSecrets=choices("envFromSecrets"),
    image=choices("image"),
)
own_roles = st.lists(filled_texts, min_size=1, max_size=3).map(tuple)
exportable = st.builds(
    replace,
    segments,
    data=near_defaults | data_values,
    description=texts | st.sampled_from(["", " ", "\n"]),
    roles=st.builds(
        Roles, editor=own_roles | st.just(("segment_job_edit",)), viewer=own_roles | st.just(("segment_job_view",))
    ),
)


def test_the_least_that_makes_the_segment_is_left() -> None:
    assert export(SHOWN) == LEAST


def test_an_export_leaves_what_was_read_as_it_is() -> None:
    shown = copy.deepcopy(SHOWN)
    export(shown)["data"]["cronjob"]["schedule"] = "changed"
    assert shown == SHOWN


@pytest.mark.parametrize(("part", "name"), WITH_DEFAULTS)
def test_a_default_goes(part: str, name: str) -> None:
    data = {"cronjob": {"schedule": "@daily"}}
    data[part] = {**data.get(part, {}), name: DEFAULTS[part][name]}
    assert export({**SHOWN, "data": data}) == LEAST


@pytest.mark.parametrize(("part", "name"), WITH_DEFAULTS)
def test_any_other_value_stays(part: str, name: str) -> None:
    data = {"cronjob": {"schedule": "@daily"}}
    data[part] = {**data.get(part, {}), name: other_than(part, name)}
    assert export({**SHOWN, "data": data})["data"] == data


@pytest.mark.parametrize(
    ("changed", "exported"),
    [
        ({"labels": [""]}, {"labels": [""]}),
        ({"labels": ["b", "a"]}, {"labels": ["b", "a"]}),
        ({"roles": {"editor": ["segment_job_edit"], "viewer": ["x"]}}, {"roles": {"viewer": ["x"]}}),
        ({"roles": {"editor": ["x"], "viewer": ["segment_job_view"]}}, {"roles": {"editor": ["x"]}}),
        (
            {"roles": {"editor": ["segment_job_edit", "x"], "viewer": ["segment_job_view"]}},
            {"roles": {"editor": ["segment_job_edit", "x"]}},
        ),
        (
            {"roles": {"editor": ["segment_job_view"], "viewer": ["segment_job_edit"]}},
            {"roles": {"editor": ["segment_job_view"], "viewer": ["segment_job_edit"]}},
        ),
        ({"metadata": {**SHOWN["metadata"], "description": " \n"}}, {}),
        (
            {"metadata": {**SHOWN["metadata"], "description": " x "}},
            {"metadata": {"displayName": "Demo Segment", "description": " x "}},
        ),
        ({"data": {"cronjob": {"schedule": "@daily"}, "env": {}, "envFromSecrets": {}, "image": {}}}, {}),
        (
            {"data": {"cronjob": {"schedule": "@daily"}, "env": {"FOREIGN": ""}}},
            {"data": {"cronjob": {"schedule": "@daily"}, "env": {"FOREIGN": ""}}},
        ),
        # the default of one part is no default of another
        (
            {"data": {"cronjob": {"schedule": "@daily"}, "env": {"tag": "0.7.0"}}},
            {"data": {"cronjob": {"schedule": "@daily"}, "env": {"tag": "0.7.0"}}},
        ),
    ],
    ids=repr,
)
def test_only_what_differs_is_kept(changed: dict[str, Any], exported: dict[str, Any]) -> None:
    assert export({**SHOWN, **changed}) == {**LEAST, **exported}


@segment_test
@given(segment=exportable)
def test_posting_an_export_makes_the_same_segment_up_to_defaults(segment: Segment) -> None:
    shown = document(segment)
    assert fill_defaults(document(recreated(export(shown)))) == fill_defaults(shown)


@segment_test
@given(segment=exportable)
def test_exporting_what_an_export_made_gives_that_export(segment: Segment) -> None:
    exported = export(document(segment))
    assert export(document(recreated(exported))) == exported


@segment_test
@given(segment=exportable)
def test_nothing_in_an_export_could_be_left_out(segment: Segment) -> None:
    exported = export(document(segment))
    wanted = fill_defaults(document(segment))
    holding_what_is_required = {("metadata",), ("data",), ("data", "cronjob")}
    required = {("id",), ("metadata", "displayName"), ("data", "cronjob", "schedule")}
    for path in set(_members(exported)) - required - holding_what_is_required:
        less = copy.deepcopy(exported)
        *parents, last = path
        inner = less
        for name in parents:
            inner = inner[name]
        del inner[last]
        assert fill_defaults(document(recreated(less))) != wanted, f"{path} is not needed"


def _members(value: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, inner in value.items():
        found.append((*path, name))
        if isinstance(inner, dict) and not {"secret", "key"} <= inner.keys():
            found += _members(inner, (*path, name))
    return found

"""What a create or an update takes as its body, and what it says of everything else."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsvc.domain.draft import Draft
from segsvc.domain.errors import InvalidParameters
from segsvc.domain.schema import MAX_PROBLEMS, parse_body
from segsvc.domain.segment import Author, Roles, Segment
from tests.domain.documents import document
from tests.domain.strategies import data_values, filled_texts, json_values, property_test, segment_test, segments, texts

BODY: dict[str, Any] = {"metadata": {"displayName": "Demo"}, "data": {"cronjob": {"schedule": "@daily"}}}
NAMES = [
    *("id", "metadata", "displayName", "description", "createdAt", "createdBy", "roles", "editor", "viewer"),
    *("data", "cronjob", "schedule", "failedJobsHistoryLimit", "env", "TYPE", "envFromSecrets", "envFromSecretes"),
    *("A", "secret", "key", "image", "tag", "labels", "links", "_schema", "", "unknown"),
]

COUNT = "must be a whole number from 0 to 2147483647"
ENV_NAME = "must be an environment variable's name: letters, digits, '-', '.', '_', no digit first"


def body(path: str, value: object) -> dict[str, Any]:
    """Return a good body but for the value at this path."""
    changed = copy.deepcopy(BODY)
    *parents, last = path.split("/")
    inner = changed
    for name in parents:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return changed


def problems(sent: object, segment_id: str | None = None) -> list[tuple[str, str]]:
    """Return name and reason of all that is wrong with a body."""
    with pytest.raises(InvalidParameters) as refused:
        parse_body(sent, segment_id=segment_id)
    return [(problem.name, problem.reason) for problem in refused.value.problems]


def wrong(path: str, reason: str, *values: object, name: str | None = None) -> list[Any]:
    """Return the cases of all values that are wrong at a path for the same reason."""
    name = path.replace("/", ".") if name is None else name
    return [pytest.param(body(path, value), name, reason, id=f"{path} {value!r:.40}") for value in values]


NO_STRINGS: list[Any] = [1, 1.5, True, [], {}, ["a"]]
NO_OBJECTS: list[Any] = ["x", 1, False, [], [{}]]

WRONG: list[Any] = [
    *(pytest.param(sent, "body", "must be a JSON object", id=repr(sent)) for sent in [*NO_OBJECTS, None]),
    *wrong("id", "must be a string", *NO_STRINGS),
    *wrong("id", "must not be null", None),
    *wrong("metadata", "must be an object", *NO_OBJECTS),
    *wrong("metadata", "must not be null", None),
    *wrong("metadata", "must not be empty", {}, name="metadata.displayName"),
    *wrong("metadata/displayName", "must not be empty", "", " ", "\t\n", "\u2003", "\u00a0"),
    *wrong("metadata/displayName", "must be a string", *NO_STRINGS),
    *wrong("metadata/displayName", "must not be empty", None),
    *wrong("metadata/description", "must be a string", *NO_STRINGS),
    *wrong("metadata/description", "must not be null", None),
    *wrong("metadata/name", "is unknown", "x", None),
    *wrong("metadata/displayname", "is unknown; did you mean 'displayName'?", "x"),
    *wrong("roles", "must be an object", *NO_OBJECTS),
    *wrong("roles", "must not be null", None),
    *(
        case
        for path in ("roles/editor", "roles/viewer")
        for case in (
            *wrong(path, "must be a list of strings", "segment_job_edit", "", 1, {}, True),
            *wrong(path, "must not be null", None),
            *wrong(path, "must not be empty", []),
            *wrong(path, "must not be empty", ["a", ""], ["a", " "], name=f"{path.replace('/', '.')}[1]"),
            *wrong(path, "must be a string", ["a", 1], ["a", ["b"]], ["a", {}], name=f"{path.replace('/', '.')}[1]"),
            *wrong(path, "must not be empty", ["a", None], name=f"{path.replace('/', '.')}[1]"),
        )
    ),
    *wrong("roles/editors", "is unknown; did you mean 'editor'?", ["a"]),
    *wrong("labels", "must be a list of strings", "a", 1, {}, {"0": "a"}, False),
    *wrong("labels", "must not be null", None),
    *wrong("labels", "must be a string", ["a", 1], ["a", ["b"]], name="labels[1]"),
    *wrong("labels", "must not be null", ["a", None], name="labels[1]"),
    *wrong("label", "is unknown; did you mean 'labels'?", ["a"]),
    *wrong("data", "must be an object", *NO_OBJECTS),
    *wrong("data", "must not be null", None),
    *wrong("data", "must not be empty", {}, name="data.cronjob.schedule"),
    *wrong("data/cronjob", "must be an object", *NO_OBJECTS, "@daily"),
    *wrong("data/cronjob", "must not be null", None),
    *wrong("data/cronjob", "must not be empty", {}, name="data.cronjob.schedule"),
    *wrong("data/cronjob/schedule", "must not be empty", "", "  "),
    *wrong("data/cronjob/schedule", "must be a string", *NO_STRINGS),
    *wrong("data/cronjob/schedule", "must not be empty", None),
    *wrong(
        "data/cronjob/schedule",
        "must have 5 fields (minute, hour, day of month, month, day of week) or a descriptor, but has 1",
        "daily",
        "*",
    ),
    *wrong(
        "data/cronjob/schedule",
        "must not name a time zone (TZ): Kubernetes takes none in a schedule",
        "TZ=UTC @daily",
        "CRON_TZ=Europe/Berlin 0 3 * * *",
    ),
    *wrong(
        "data/cronjob/schedule", "has an invalid minute '60': it must be within 0 to 59", "60 * * * *", "1,60 * * * *"
    ),
    *wrong(
        "data/cronjob/concurrencyPolicy",
        "must be one of Allow, Forbid, Replace, Always",
        "",
        "allow",
        "Always ",
        "Never",
    ),
    *wrong("data/cronjob/concurrencyPolicy", "must be a string", *NO_STRINGS),
    *wrong("data/cronjob/concurrencyPolicy", "must not be null", None),
    *(
        case
        for path in ("data/cronjob/failedJobsHistoryLimit", "data/cronjob/successfulJobsHistoryLimit")
        for case in (
            *wrong(path, COUNT, -1, 2**31, 10**30, 1.0, 1.5, 1e300, "1", "", True, False, [], [1], {}),
            *wrong(path, "must not be null", None),
        )
    ),
    *wrong("data/cronjob/shedule", "is unknown; did you mean 'schedule'?", "@daily"),
    *wrong("data/cronjob/suspend", "is unknown", True),
    *wrong("data/env", "must be an object", *NO_OBJECTS),
    *wrong("data/env", "must not be null", None),
    *wrong("data/env/DEBUG", "must be a string", *NO_STRINGS),
    *wrong("data/env/DEBUG", "must not be null", None),
    *wrong("data/env/TYPE", "must be one of pivot, generic, flexible", "", "Pivot", "pivot ", "view"),
    *wrong("data/env/TYPE", "must be a string", *NO_STRINGS),
    *wrong("data/env/DB_TYPE", "must be one of postgres, citus", "", "Postgres", "oracle"),
    *wrong("data/env/DB_TYPE", "must be a string", *NO_STRINGS),
    *(
        pytest.param(body(f"data/{part}", {name: value}), f"data.{part}.{name}", ENV_NAME, id=f"{part} name {name!r}")
        for part, value in (("env", "x"), ("envFromSecrets", {"secret": "s", "key": "k"}))
        for name in ("", " ", "A B", "1ST", "A=B", "GRÖSSE", "A\n", "A/B", "A:B", "客户", "٣", "\u0000")
    ),
    *wrong("data/envFromSecrets", "must be an object", *NO_OBJECTS),
    *wrong("data/envFromSecrets", "must not be null", None),
    *wrong("data/envFromSecrets/DB_USER", "must be an object", *NO_OBJECTS),
    *wrong("data/envFromSecrets/DB_USER", "must not be null", None),
    *wrong("data/envFromSecrets/DB_USER", "must not be empty", {"secret": "s"}, name="data.envFromSecrets.DB_USER.key"),
    *wrong("data/envFromSecrets/DB_USER", "must not be empty", {"key": "k"}, name="data.envFromSecrets.DB_USER.secret"),
    *wrong(
        "data/envFromSecrets/DB_USER",
        "must not be empty",
        *({"secret": "s", "key": key} for key in ("", " ")),
        name="data.envFromSecrets.DB_USER.key",
    ),
    *wrong(
        "data/envFromSecrets/DB_USER",
        "must be a string",
        *({"secret": "s", "key": key} for key in NO_STRINGS),
        name="data.envFromSecrets.DB_USER.key",
    ),
    *wrong(
        "data/envFromSecrets/DB_USER",
        "is unknown; did you mean 'secret'?",
        {"secret": "s", "key": "k", "secretName": "s"},
        name="data.envFromSecrets.DB_USER.secretName",
    ),
    *wrong("data/envFromSecret", "is unknown; did you mean 'envFromSecrets'?", {}),
    *wrong("data/image", "must be an object", *NO_OBJECTS),
    *wrong("data/image", "must not be null", None),
    *wrong("data/image/pullPolicy", "must be one of Always, IfNotPresent, Never", "", "always", "Sometimes"),
    *wrong("data/image/pullPolicy", "must be a string", *NO_STRINGS),
    *wrong("data/image/restartPolicy", "must be one of OnFailure, Never", "", "Always", "onFailure"),
    *wrong("data/image/restartPolicy", "must be a string", *NO_STRINGS),
    *(
        case
        for name in ("repository", "tag", "pullSecrets")
        for case in (
            *wrong(f"data/image/{name}", "must be a string", *NO_STRINGS),
            *wrong(f"data/image/{name}", "must not be null", None),
        )
    ),
    *wrong("data/image/pull_policy", "is unknown; did you mean 'pullPolicy'?", "Always"),
    *wrong("dta", "is unknown; did you mean 'data'?", {}),
    *wrong("spec", "is unknown", {}),
    # names that the validating library uses for itself
    *wrong("_schema", "is unknown", 1, None),
    *wrong("data/_schema", "is unknown", 1),
    *wrong("data/env/_schema", "must be a string", 1),
    *wrong("", "is unknown", 1, name=""),
]


class TestRefused:
    @pytest.mark.parametrize(("sent", "name", "reason"), WRONG)
    def test_a_wrong_value_is_named_by_its_path(self, sent: object, name: str, reason: str) -> None:
        assert problems(sent) == [(name, reason)]

    def test_all_that_is_wrong_is_told_at_once(self) -> None:
        sent = {
            "id": 5,
            "metadata": {"displayName": " ", "description": 1, "title": "x"},
            "roles": {"editor": [], "viewer": ["a", "", 2]},
            "data": {
                "cronjob": {"schedule": "often", "failedJobsHistoryLimit": -1},
                "env": {"TYPE": "view", "1ST": "x", "DEBUG": False},
                "envFromSecrets": {"A": {"secret": ""}, "B": "x"},
                "image": {"pullPolicy": "Perhaps", "version": "1"},
                "evn": {},
            },
            "labels": ["a", 1, None],
            "lables": [],
        }
        assert sorted(problems(sent)) == [
            ("data.cronjob.failedJobsHistoryLimit", COUNT),
            (
                "data.cronjob.schedule",
                "must have 5 fields (minute, hour, day of month, month, day of week) or a descriptor, but has 1",
            ),
            ("data.env.1ST", ENV_NAME),
            ("data.env.DEBUG", "must be a string"),
            ("data.env.TYPE", "must be one of pivot, generic, flexible"),
            ("data.envFromSecrets.A.key", "must not be empty"),
            ("data.envFromSecrets.A.secret", "must not be empty"),
            ("data.envFromSecrets.B", "must be an object"),
            ("data.evn", "is unknown; did you mean 'env'?"),
            ("data.image.pullPolicy", "must be one of Always, IfNotPresent, Never"),
            ("data.image.version", "is unknown"),
            ("id", "must be a string"),
            ("labels[1]", "must be a string"),
            ("labels[2]", "must not be null"),
            ("lables", "is unknown; did you mean 'labels'?"),
            ("metadata.description", "must be a string"),
            ("metadata.displayName", "must not be empty"),
            ("metadata.title", "is unknown"),
            ("roles.editor", "must not be empty"),
            ("roles.viewer[1]", "must not be empty"),
            ("roles.viewer[2]", "must be a string"),
        ]

    def test_an_empty_body_is_told_what_it_needs(self) -> None:
        assert problems({}) == [
            ("metadata.displayName", "must not be empty"),
            ("data.cronjob.schedule", "must not be empty"),
        ]

    def test_an_id_that_contradicts_the_request_is_refused(self) -> None:
        assert problems(body("id", "other"), "demo") == [("id", "'other' contradicts the request's 'demo'")]

    def test_an_id_is_repeated_no_longer_than_ids_are(self) -> None:
        [(name, reason)] = problems(body("id", "x" * 100_000), "demo")
        assert (name, reason) == ("id", f"'{'x' * 134}' contradicts the request's 'demo'")

    def test_a_contradicting_id_is_told_beside_all_else(self) -> None:
        assert problems({"id": "other"}, "demo") == [
            ("metadata.displayName", "must not be empty"),
            ("data.cronjob.schedule", "must not be empty"),
            ("id", "'other' contradicts the request's 'demo'"),
        ]

    def test_a_very_long_unknown_name_finds_its_hint_without_delay(self) -> None:
        [(_, reason)] = problems(body("displayName" * 50_000, 1))
        assert reason.startswith("is unknown")

    @property_test
    @given(sent=json_values(st.sampled_from(NAMES) | texts), segment_id=st.none() | st.just("demo"))
    def test_any_other_json_is_refused_with_reasons(self, sent: object, segment_id: str | None) -> None:
        before = copy.deepcopy(sent)
        try:
            draft = parse_body(sent, segment_id=segment_id)
        except InvalidParameters as refused:
            reasons = [problem.reason for problem in refused.problems]
        else:
            reasons = []
            assert draft.display_name.strip()
            assert draft.id in {None, segment_id} or segment_id is None
        assert all(reason[0].islower() or reason[0] == "'" for reason in reasons)
        assert not any(reason.endswith(".") for reason in reasons)
        assert sent == before


class TestTaken:
    def test_what_is_left_out_is_left_open(self) -> None:
        assert parse_body(BODY) == Draft(
            id=None, display_name="Demo", description="", editor=None, viewer=None, labels=(), data=BODY["data"]
        )

    def test_everything_is_taken_as_it_came(self) -> None:
        data = {
            "cronjob": {
                "schedule": " 0 3 * * * ",
                "concurrencyPolicy": "Always",
                "failedJobsHistoryLimit": 0,
                "successfulJobsHistoryLimit": 2**31 - 1,
            },
            "env": {"TYPE": "flexible", "DB_TYPE": "citus", "a.b-c_9": " ", "_": "", ".": "x", "-": "y"},
            "envFromSecrets": {"DB_USER": {"secret": "grnry-pg", "key": "postgresql-username"}},
            "image": {"pullPolicy": "Never", "pullSecrets": "", "repository": "r", "restartPolicy": "Never", "tag": ""},
        }
        sent = {
            "id": "demo-x",
            "metadata": {"displayName": "  Demo\t", "description": " \n"},
            "roles": {"editor": ["b", "a", "a"], "viewer": ["c"]},
            "data": copy.deepcopy(data),
            "labels": ["z", "", "z"],
        }
        assert parse_body(sent) == Draft(
            id="demo-x",
            display_name="  Demo\t",
            description=" \n",
            editor=("b", "a", "a"),
            viewer=("c",),
            labels=("z", "", "z"),
            data=data,
        )

    def test_the_id_may_be_repeated(self) -> None:
        assert parse_body(body("id", "demo"), segment_id="demo").id == "demo"

    def test_empty_parts_are_kept(self) -> None:
        data = {"cronjob": {"schedule": "@daily"}, "env": {}, "envFromSecrets": {}, "image": {}}
        assert parse_body({**BODY, "data": data}).data == data

    @pytest.mark.parametrize("value", [None, "", "x", 1, [], {}, {"self": 1}])
    @pytest.mark.parametrize(
        "path", ["links", "metadata/createdAt", "metadata/modifiedAt", "metadata/createdBy", "metadata/modifiedBy"]
    )
    def test_what_is_generated_is_ignored(self, path: str, value: object) -> None:
        assert parse_body(body(path, value)) == parse_body(BODY)

    @property_test
    @given(data=data_values)
    def test_every_valid_data_is_taken_unchanged(self, data: dict[str, Any]) -> None:
        before = copy.deepcopy(data)
        assert parse_body({**BODY, "data": data}).data == before

    @segment_test
    @given(
        segment=segments,
        roles=st.builds(
            Roles,
            editor=st.lists(filled_texts, min_size=1).map(tuple),
            viewer=st.lists(filled_texts, min_size=1).map(tuple),
        ),
    )
    def test_what_was_read_can_be_sent_back_and_changes_nothing(self, segment: Segment, roles: Roles) -> None:
        held = replace(segment, roles=roles)
        shown = document(held) | {"links": {"self": f"https://api.grnry.io/segments/{held.id}?action=self"}}
        draft = parse_body(orjson.loads(orjson.dumps(shown)), segment_id=held.id)
        assert draft.id == held.id
        assert draft.update(held, author=held.modified_by, now=held.modified_at) == held


class TestPublishedMisspelling:
    SECRETS: ClassVar[dict[str, Any]] = {"DB_USER": {"secret": "s", "key": "k"}}

    def test_is_read_as_the_name_that_was_meant(self) -> None:
        sent = body("data/envFromSecretes", self.SECRETS)
        assert parse_body(sent).data == {"cronjob": {"schedule": "@daily"}, "envFromSecrets": self.SECRETS}
        assert sent == body("data/envFromSecretes", self.SECRETS), "what was sent must not change"

    def test_is_refused_beside_the_right_name(self) -> None:
        sent = body("data/envFromSecretes", self.SECRETS)
        sent["data"]["envFromSecrets"] = {}
        assert problems(sent) == [("data.envFromSecretes", "stands beside 'envFromSecrets'; send one")]

    def test_has_its_problems_told_under_the_right_name(self) -> None:
        sent = body("data/envFromSecretes/DB_USER", {"secret": "s"})
        assert problems(sent) == [("data.envFromSecrets.DB_USER.key", "must not be empty")]


class TestDrafts:
    NOW = "2020-03-18T18:09:17.179"
    HELD = Segment(
        id="demo",
        display_name="Before",
        description="before",
        roles=Roles(editor=("e",), viewer=("v",)),
        labels=("before",),
        data={"cronjob": {"schedule": "@hourly"}, "env": {"A": "1"}},
        created_at="2020-03-18T18:08:31.850",
        modified_at="2020-03-18T18:08:32.000",
        created_by=Author("foo", "foo@bar.io"),
        modified_by=Author("bar", ""),
    )

    def test_a_new_segment_has_default_roles_and_its_author(self) -> None:
        created = parse_body(BODY).create("demo", author=Author("foo", "foo@bar.io"), now=self.NOW)
        assert created == Segment(
            id="demo",
            display_name="Demo",
            description="",
            roles=Roles(editor=("segment_job_edit",), viewer=("segment_job_view",)),
            labels=(),
            data=BODY["data"],
            created_at=self.NOW,
            modified_at="",
            created_by=Author("foo", "foo@bar.io"),
            modified_by=Author("", ""),
        )

    def test_an_update_overwrites_all_but_roles_left_out_and_what_tells_of_the_creation(self) -> None:
        updated = parse_body(BODY).update(self.HELD, author=Author("baz", ""), now=self.NOW)
        assert updated == Segment(
            id="demo",
            display_name="Demo",
            description="",
            roles=Roles(editor=("e",), viewer=("v",)),
            labels=(),
            data=BODY["data"],
            created_at="2020-03-18T18:08:31.850",
            modified_at=self.NOW,
            created_by=Author("foo", "foo@bar.io"),
            modified_by=Author("baz", ""),
        )

    @pytest.mark.parametrize(
        ("roles", "created", "updated"),
        [
            ({}, Roles(), Roles(editor=("e",), viewer=("v",))),
            (
                {"editor": ["x"]},
                Roles(editor=("x",), viewer=("segment_job_view",)),
                Roles(editor=("x",), viewer=("v",)),
            ),
            (
                {"viewer": ["x"]},
                Roles(editor=("segment_job_edit",), viewer=("x",)),
                Roles(editor=("e",), viewer=("x",)),
            ),
            ({"editor": ["x"], "viewer": ["y"]}, *[Roles(editor=("x",), viewer=("y",))] * 2),
        ],
        ids=repr,
    )
    def test_each_role_list_falls_back_on_its_own(
        self, roles: dict[str, list[str]], created: Roles, updated: Roles
    ) -> None:
        draft = parse_body({**BODY, "roles": roles})
        assert draft.create("demo", author=Author(), now=self.NOW).roles == created
        assert draft.update(self.HELD, author=Author(), now=self.NOW).roles == updated


@pytest.mark.parametrize(
    "faults",
    [
        {"labels": [1] * 100_000},
        {f"unknown{number}": 1 for number in range(50_000)},
        {"data": {"cronjob": {"schedule": "@daily"}, "env": {f"1{number}": "" for number in range(50_000)}}},
    ],
    ids=["labels", "unknown properties", "environment variables"],
)
def test_of_a_flood_of_problems_the_first_thousand_are_told(faults: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameters) as refused:
        parse_body({"metadata": {"displayName": "Demo"}, "data": {"cronjob": {"schedule": "@daily"}}, **faults})
    assert len(refused.value.problems) == MAX_PROBLEMS

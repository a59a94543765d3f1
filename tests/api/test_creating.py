"""POST /segments and POST /segments/{id}."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.bodies import EDITOR, FULL_DATA, SCHEDULE, VIEWER, body, unique, with_env, with_image, with_job

if TYPE_CHECKING:
    from tests.api.client import Client
    from tests.api.conftest import Deployment

POLICIES = ("Allow", "Forbid", "Replace", "Always")


class TestTheAnswer:
    """What a create answers, and what is then in the cluster."""

    async def test_it_is_200_with_location_tag_revision_and_the_segment(
        self, service: Deployment, editor: Client
    ) -> None:
        segment_id = unique()
        before = datetime.now(UTC).replace(tzinfo=None)
        answer = await editor.create(body(description="d"), segment_id)
        assert answer.status == 200
        assert answer.headers["Location"] == f"{service.url}/segments/{segment_id}"
        assert answer.etag
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.revision == int((await service.resources.get(segment_id))["metadata"]["resourceVersion"])
        segment = answer.json
        created_at = segment["metadata"].pop("createdAt")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", created_at)
        assert abs(datetime.fromisoformat(created_at) - before) < timedelta(seconds=30)
        assert segment == {
            "id": segment_id,
            "metadata": {
                "displayName": "Demo Segment",
                "description": "d",
                "modifiedAt": "",
                "createdBy": {"name": "Edda", "email": "edda@example.com"},
                "modifiedBy": {"name": "", "email": ""},
            },
            "roles": {"editor": [EDITOR], "viewer": [VIEWER]},
            "data": {"cronjob": {"schedule": SCHEDULE}},
            "links": {"self": f"{service.url}/segments/{segment_id}?action=self"},
            "labels": [],
        }

    async def test_the_resource_has_data_as_spec_and_the_rest_in_annotations(self, service: Deployment) -> None:
        segment_id = unique()
        sent = body("Größe 客户", description="d", data=FULL_DATA, labels=["b", "a"], roles={"editor": ["e", "f"]})
        answer = await service.editor.create(sent, segment_id)
        resource = await service.resources.get(segment_id)
        assert resource["spec"] == FULL_DATA
        annotations = resource["metadata"]["annotations"]
        assert annotations["segment.grnry.io/display-name"] == "Größe 客户"
        assert annotations["segment.grnry.io/description"] == "d"
        assert json.loads(annotations["segment.grnry.io/roles"]) == {"editor": ["e", "f"], "viewer": [VIEWER]}
        assert json.loads(annotations["segment.grnry.io/labels"]) == ["b", "a"]
        assert annotations["segment.grnry.io/created-at"] == answer.json["metadata"]["createdAt"]
        assert json.loads(annotations["segment.grnry.io/created-by"]) == {"name": "Edda", "email": "edda@example.com"}
        assert "segment.grnry.io/modified-by" not in annotations or not annotations["segment.grnry.io/modified-by"]

    async def test_the_same_process_shows_it_at_once_in_every_read(self, editor: Client) -> None:
        name = unique("Unheard")
        answer = await editor.create(body(name))
        segment_id = answer.json["id"]
        assert (await editor.read(segment_id)).status == 200
        assert segment_id in (await editor.list(search=name)).ids

    @pytest.mark.parametrize(
        ("claims", "author"),
        [
            ({"name": "Ada", "email": ""}, {"name": "Ada", "email": ""}),
            ({"name": "", "email": "", "preferred_username": "ada"}, {"name": "ada", "email": ""}),
            ({"name": "", "email": "", "sub": "1234"}, {"name": "1234", "email": ""}),
            ({"name": "Zoë 客户", "email": "z@example.com"}, {"name": "Zoë 客户", "email": "z@example.com"}),
        ],
    )
    async def test_the_author_is_the_name_else_the_user_name_else_the_subject(
        self, service: Deployment, claims: dict[str, str], author: dict[str, str]
    ) -> None:
        answer = await service.caller(EDITOR, **claims).create(body(), unique())
        assert answer.json["metadata"]["createdBy"] == author


class TestIds:
    """Where the id comes from."""

    async def test_path_query_and_body_are_equal(self, service: Deployment, editor: Client) -> None:
        path, query, inside = unique(), unique(), unique()
        assert (await editor.create(body(), path)).json["id"] == path
        assert (await editor.create(body(), id=query)).json["id"] == query
        assert (await editor.create(body(id=inside))).json["id"] == inside
        everywhere = unique()
        answer = await editor.create(body(id=everywhere), everywhere, id=everywhere)
        assert answer.status == 200
        assert answer.headers["Location"] == f"{service.url}/segments/{everywhere}"

    async def test_ids_that_contradict_each_other_are_refused(self, service: Deployment, editor: Client) -> None:
        one, other = unique(), unique()
        for answer in (
            await editor.create(body(), one, id=other),
            await editor.create(body(id=other), one),
            await editor.create(body(id=other), id=one),
            await editor.get("/segments"),
        )[:3]:
            assert answer.status == 400
            assert "id" in answer.problems
        assert not {one, other} & set(await service.resources.names())

    @pytest.mark.parametrize(
        "segment_id",
        [
            "abc",
            "a" * 135,
            "Upper",
            "under_score",
            "-dash",
            "dash-",
            ".dot",
            "two..dots",
            "a/bcd",
            "abcd\n",
            "übung",
            "....",
            "",
            "a b c d",
            "٣٤٥٦",
        ],
    )
    async def test_one_that_is_no_valid_id_is_refused(self, editor: Client, segment_id: str) -> None:
        ways = [await editor.create(body(id=segment_id)), await editor.create(body(), id=segment_id)]
        if segment_id:
            ways.append(await editor.create(body(), segment_id))
        for answer in ways:
            assert answer.status == 400
            assert answer.json["type"] == "bad_parameter_value"
            assert list(answer.problems) == ["id"]

    @pytest.mark.parametrize("given", [{"id": None}, {"id": 1234}, {"id": ["abcd"]}])
    async def test_an_id_is_a_string(self, editor: Client, given: dict[str, Any]) -> None:
        answer = await editor.create(body(**given))
        assert answer.status == 400
        assert list(answer.problems) == ["id"]

    @pytest.mark.parametrize("segment_id", ["abcd", "0.a-b", "a" * 134])
    async def test_4_to_134_characters_of_a_subdomain_are(self, alone: Deployment, segment_id: str) -> None:
        assert (await alone.editor.create(body(), segment_id)).status == 200
        assert (await alone.editor.read(segment_id)).status == 200

    @pytest.mark.parametrize(
        ("display_name", "pattern"),
        [
            ("Demo Segment", "demo-segment-[a-z0-9]{5}"),
            ("  Demo \t\n Segment  ", "demo-segment-[a-z0-9]{5}"),
            ("Ümläut & Co. (2)", "mlut-co-2-[a-z0-9]{5}"),
            ("---", "segment-[a-z0-9]{5}"),
            ("!!!", "segment-[a-z0-9]{5}"),
            ("客户", "segment-[a-z0-9]{5}"),
            ("🙂", "segment-[a-z0-9]{5}"),
            ("-a-", "a-[a-z0-9]{5}"),
            ("- a -", "a-[a-z0-9]{5}"),
            ("x" * 300, "x{128}-[a-z0-9]{5}"),
            ("y" * 127 + " z", "y{127}-[a-z0-9]{5}"),
        ],
    )
    async def test_without_one_it_is_derived_from_the_display_name(
        self, editor: Client, display_name: str, pattern: str
    ) -> None:
        answer = await editor.create(body(display_name))
        assert answer.status == 200
        assert re.fullmatch(pattern, answer.json["id"])
        assert answer.json["metadata"]["displayName"] == display_name
        assert answer.headers["Location"].endswith("/segments/" + answer.json["id"])

    async def test_equal_names_get_different_ids(self, editor: Client) -> None:
        ids = {(await editor.create(body("Twin"))).json["id"] for _ in range(5)}
        assert len(ids) == 5


class TestWhoMay:
    """Creating needs segment_job_edit."""

    @pytest.mark.parametrize("roles", [(), (VIEWER,), ("demo_role", "admin"), ("segment_job_edit ",)])
    async def test_without_the_role_it_is_403_whatever_else_is_wrong(
        self, service: Deployment, roles: tuple[str, ...]
    ) -> None:
        segment_id = unique()
        caller = service.caller(*roles)
        for answer in (
            await caller.create(body(), segment_id),
            await caller.create({}, "Not An Id"),
            await caller.request("POST", "/segments", body=b"{", headers={"Content-Type": "text/plain"}),
        ):
            assert answer.status == 403
            assert answer.json["type"] == "entity_not_accessible"
        assert segment_id not in await service.resources.names()

    async def test_a_caller_may_create_what_they_may_not_read(self, service: Deployment) -> None:
        segment_id = unique()
        caller = service.caller(EDITOR)
        answer = await caller.create(body(roles={"editor": ["others"], "viewer": ["others"]}), segment_id)
        assert answer.status == 200
        assert (await caller.read(segment_id)).status == 403


class TestConflicts:
    """409 comes last."""

    async def test_the_message_has_the_display_name_that_was_sent(self, editor: Client) -> None:
        segment_id = unique()
        await editor.create(body("The First"), segment_id)
        answer = await editor.create(body("Demo Segment"), segment_id)
        assert answer.status == 409
        assert answer.json["type"] == "entity_already_exists"
        assert answer.json["message"] == "Segment 'Demo Segment' already exists."
        assert "invalidParams" not in answer.json
        assert (await editor.read(segment_id)).json["metadata"]["displayName"] == "The First"

    async def test_a_bad_body_is_told_before_a_conflict(self, editor: Client) -> None:
        segment_id = unique()
        await editor.create(body(), segment_id)
        assert (await editor.create(body(" "), segment_id)).status == 400

    async def test_one_that_others_made_meanwhile_conflicts_too(self, service: Deployment) -> None:
        segment_id = unique()
        await service.resources.create(segment_id)
        assert (await service.editor.create(body(), segment_id)).status == 409


class TestRoles:
    """roles."""

    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            ({}, {"editor": [EDITOR], "viewer": [VIEWER]}),
            ({"editor": ["e"]}, {"editor": ["e"], "viewer": [VIEWER]}),
            ({"viewer": ["v", "w"]}, {"editor": [EDITOR], "viewer": ["v", "w"]}),
            ({"editor": ["b", "a"], "viewer": ["c"]}, {"editor": ["b", "a"], "viewer": ["c"]}),
        ],
    )
    async def test_a_missing_list_gets_its_default(
        self, editor: Client, given: dict[str, list[str]], stored: dict[str, list[str]]
    ) -> None:
        assert (await editor.create(body(roles=given), unique())).json["roles"] == stored

    @pytest.mark.parametrize(
        ("roles", "names"),
        [
            ("", ["roles"]),
            ([], ["roles"]),
            (None, ["roles"]),
            ({"editor": ""}, ["roles.editor"]),
            ({"editor": []}, ["roles.editor"]),
            ({"editor": "admin"}, ["roles.editor"]),
            ({"viewer": [""]}, ["roles.viewer[0]"]),
            ({"viewer": ["a", 1, " "]}, ["roles.viewer[1]", "roles.viewer[2]"]),
            ({"editors": ["a"]}, ["roles.editors"]),
        ],
    )
    async def test_roles_cannot_be_empty_or_anything_but_lists_of_names(
        self, editor: Client, roles: Any, names: list[str]
    ) -> None:
        answer = await editor.create(body(roles=roles))
        assert answer.status == 400
        assert list(answer.problems) == names


class TestBodies:
    """What a segment may be."""

    @pytest.mark.parametrize(
        ("sent", "name"),
        [
            ({}, "metadata.displayName"),
            ({"metadata": {}, "data": {"cronjob": {"schedule": SCHEDULE}}}, "metadata.displayName"),
            (body(""), "metadata.displayName"),
            (body(" \n\t "), "metadata.displayName"),
        ],
    )
    async def test_the_display_name_must_not_be_empty_in_the_specifications_words(
        self, editor: Client, sent: dict[str, Any], name: str
    ) -> None:
        answer = await editor.create(sent)
        assert answer.status == 400
        assert answer.json["type"] == "bad_parameter_value"
        assert answer.json["message"].startswith(f"Parameter '{name}' must not be empty.")
        assert answer.json["invalidParams"][0] == {"name": name, "reason": "must not be empty"}

    async def test_the_message_of_a_single_problem_is_exactly_that(self, editor: Client) -> None:
        assert (await editor.create(body(""))).json["message"] == "Parameter 'metadata.displayName' must not be empty."

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ({"metadata": None}, "metadata"),
            ({"metadata": "Demo"}, "metadata"),
            ({"metadata": {"displayName": None}}, "metadata.displayName"),
            ({"metadata": {"displayName": 5}}, "metadata.displayName"),
            ({"metadata": {"displayName": "x", "description": None}}, "metadata.description"),
            ({"metadata": {"displayName": "x", "description": ["y"]}}, "metadata.description"),
            ({"metadata": {"displayName": "x", "displayname": "y"}}, "metadata.displayname"),
            ({"labels": "a"}, "labels"),
            ({"labels": None}, "labels"),
            ({"labels": ["a", 1]}, "labels[1]"),
            ({"data": None}, "data"),
            ({"data": []}, "data"),
            ({"data": {}}, "data.cronjob.schedule"),
            ({"data": {"cronjob": {}}}, "data.cronjob.schedule"),
            ({"data": with_job(schedule="")}, "data.cronjob.schedule"),
            ({"data": with_job(schedule="hourly")}, "data.cronjob.schedule"),
            ({"data": with_job(schedule="60 * * * *")}, "data.cronjob.schedule"),
            ({"data": with_job(schedule="* * * * * *")}, "data.cronjob.schedule"),
            ({"data": with_job(schedule="CRON_TZ=UTC * * * * *")}, "data.cronjob.schedule"),
            ({"data": with_job(concurrencyPolicy="allow")}, "data.cronjob.concurrencyPolicy"),
            *(
                ({"data": {"cronjob": {"schedule": SCHEDULE, limit: bad}}}, f"data.cronjob.{limit}")
                for limit in ("failedJobsHistoryLimit", "successfulJobsHistoryLimit")
                for bad in (-1, 1.5, 1.0, "1", True, None, 2**31, 10**30)
            ),
            ({"data": with_env(TYPE="Pivot")}, "data.env.TYPE"),
            ({"data": with_env(DB_TYPE="mysql")}, "data.env.DB_TYPE"),
            ({"data": with_env(DEBUG=True)}, "data.env.DEBUG"),
            ({"data": with_env(DB_PORT=5432)}, "data.env.DB_PORT"),
            ({"data": with_env(SOURCE_QUERY=None)}, "data.env.SOURCE_QUERY"),
            ({"data": with_env(**{"1ST": "x"})}, "data.env.1ST"),
            ({"data": with_env(**{"A B": "x"})}, "data.env.A B"),
            ({"data": with_env(**{"A=B": "x"})}, "data.env.A=B"),
            ({"data": with_env(**{"A\n": "x"})}, "data.env.A\n"),
            ({"data": {"cronjob": {"schedule": SCHEDULE}, "env": None}}, "data.env"),
            ({"data": with_image(pullPolicy="Sometimes")}, "data.image.pullPolicy"),
            ({"data": with_image(restartPolicy="Always")}, "data.image.restartPolicy"),
            ({"data": with_image(tag=1)}, "data.image.tag"),
            (
                {"data": {"cronjob": {"schedule": SCHEDULE}, "envFromSecrets": {"DB_USER": {"secret": "s"}}}},
                "data.envFromSecrets.DB_USER.key",
            ),
            (
                {"data": {"cronjob": {"schedule": SCHEDULE}, "envFromSecrets": {"DB_USER": "s"}}},
                "data.envFromSecrets.DB_USER",
            ),
        ],
    )
    async def test_a_problem_is_named_by_its_path(self, editor: Client, changes: dict[str, Any], name: str) -> None:
        answer = await editor.create({**body(), **changes})
        assert answer.status == 400
        assert answer.json["type"] == "bad_parameter_value"
        assert list(answer.problems) == [name]

    async def test_all_that_is_wrong_is_reported_at_once(self, service: Deployment, editor: Client) -> None:
        before = await service.cluster_calls()
        answer = await editor.create(
            {
                "metadata": {"displayName": " ", "description": 1},
                "labels": ["fine", 2, None],
                "roles": {"editor": []},
                "data": {
                    "cronjob": {"schedule": "never", "concurrencyPolicy": "Sometimes"},
                    "env": {"TYPE": "x", "0": "y", "FINE": "z"},
                    "image": {"pullPolicy": 0},
                    "unknown": 1,
                },
                "extra": {},
            },
            "Bad-Id",
        )
        assert answer.status == 400
        assert set(answer.problems) == {
            "id",
            "metadata.displayName",
            "metadata.description",
            "labels[1]",
            "labels[2]",
            "roles.editor",
            "data.cronjob.schedule",
            "data.cronjob.concurrencyPolicy",
            "data.env.TYPE",
            "data.env.0",
            "data.image.pullPolicy",
            "data.unknown",
            "extra",
        }
        assert await service.cluster_calls() == before

    @pytest.mark.parametrize(
        ("changes", "name", "hint"),
        [
            ({"label": []}, "label", "labels"),
            ({"Metadata": {}}, "Metadata", "metadata"),
            ({"metadata": {"displayName": "x", "desciption": "y"}}, "metadata.desciption", "description"),
            (
                {"data": {"cronjob": {"schedule": SCHEDULE}, "envFromSecret": {}}},
                "data.envFromSecret",
                "envFromSecrets",
            ),
            ({"data": with_job(shedule="x")}, "data.cronjob.shedule", "schedule"),
            ({"completely-else": 1}, "completely-else", ""),
        ],
    )
    async def test_an_unknown_property_is_an_error_with_a_hint(
        self, editor: Client, changes: dict[str, Any], name: str, hint: str
    ) -> None:
        answer = await editor.create({**body(), **changes})
        assert answer.status == 400
        assert list(answer.problems) == [name]
        assert hint in answer.problems[name]

    async def test_the_published_misspelling_of_env_from_secrets_is_read(self, service: Deployment) -> None:
        segment_id, secrets = unique(), {"DBUser": {"key": "user", "secret": "db-secret"}}
        data = {"cronjob": {"schedule": SCHEDULE}, "envFromSecretes": secrets}
        answer = await service.editor.create(body(data=data), segment_id)
        assert answer.json["data"] == {"cronjob": {"schedule": SCHEDULE}, "envFromSecrets": secrets}
        assert (await service.resources.get(segment_id))["spec"]["envFromSecrets"] == secrets

    @pytest.mark.parametrize(
        "data",
        [
            FULL_DATA,
            *(with_job(schedule=text) for text in ("@daily", "@every 1h30m", "0 0 1 JAN sun", "? * * * *")),
            *(with_job(concurrencyPolicy=p) for p in POLICIES),
            *(with_env(TYPE=kind) for kind in ("pivot", "generic", "flexible")),
            *(with_env(DB_TYPE=kind) for kind in ("postgres", "citus")),
            with_env(**{"-": "", "a.b-c_D9": "x" * 10_000, "_": "two\nlines", ".x": "\u0000\u007f\u2028🙂"}),
            {"cronjob": {"schedule": SCHEDULE}, "env": {}, "envFromSecrets": {}, "image": {}},
            with_job(failedJobsHistoryLimit=2**31 - 1),
        ],
    )
    async def test_valid_data_is_kept_unchanged(self, service: Deployment, data: dict[str, Any]) -> None:
        segment_id = unique()
        answer = await service.editor.create(body(data=data), segment_id)
        assert answer.status == 200, answer.json
        assert answer.json["data"] == data
        assert (await service.editor.read(segment_id)).json["data"] == data
        assert (await service.resources.get(segment_id))["spec"] == data

    @pytest.mark.parametrize(
        "text", ["Ünïcödé 客户 🙂", '"quotes" \\ and / & <tags>', "two\nlines\ttabbed", "\u0001\u2028", "a" * 5000]
    )
    async def test_texts_are_kept_as_they_are(self, editor: Client, text: str) -> None:
        segment_id = unique()
        answer = await editor.create(body(text, description=text, labels=[text, text]), segment_id)
        assert answer.status == 200
        segment = (await editor.read(segment_id)).json
        assert segment["metadata"]["displayName"] == segment["metadata"]["description"] == text
        assert segment["labels"] == [text, text]

    async def test_what_a_get_returned_can_be_sent_to_make_it_again(self, alone: Deployment) -> None:
        segment = (await alone.editor.create(body(data=FULL_DATA, labels=["a"]))).json
        got = (await alone.editor.read(segment["id"])).json
        await alone.editor.delete(segment["id"])
        got["metadata"]["createdAt"] = "nonsense"
        got["metadata"]["createdBy"] = None
        again = await alone.caller(EDITOR, name="Other").create(got)
        assert again.status == 200
        assert again.json["id"] == segment["id"]
        assert again.json["metadata"]["createdBy"]["name"] == "Other"
        assert again.json["metadata"]["createdAt"] >= segment["metadata"]["createdAt"]

    async def test_more_than_the_cluster_stores_is_refused_in_the_callers_words(
        self, service: Deployment, editor: Client
    ) -> None:
        segment_id = unique()
        answer = await editor.create(body(description="d" * 300_000), segment_id)
        assert answer.status in {400, 413}
        assert answer.json["type"] == "bad_parameter_value"
        assert all(name.startswith("metadata") for name in answer.problems)
        assert segment_id not in await service.resources.names()

"""PUT /segments/{id}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.api.bodies import EDITOR, FULL_DATA, SCHEDULE, VIEWER, body, unique, with_env
from tests.api.clusters import revision_of

if TYPE_CHECKING:
    from tests.api.client import Client
    from tests.api.conftest import Deployment


async def test_everything_is_overwritten_and_the_author_of_the_change_recorded(service: Deployment) -> None:
    segment_id = unique()
    first = body("First", description="d", data=FULL_DATA, labels=["a"])
    created = (await service.editor.create(first, segment_id)).json
    answer = await service.caller(EDITOR, name="Otto", email="").replace(
        segment_id, body("Second", data=with_env(TYPE="pivot"), labels=["b", "c"], description="e")
    )
    assert answer.status == 200
    segment = answer.json
    modified_at = segment["metadata"].pop("modifiedAt")
    assert modified_at > created["metadata"]["createdAt"]
    assert segment == {
        "id": segment_id,
        "metadata": {
            "displayName": "Second",
            "description": "e",
            "createdAt": created["metadata"]["createdAt"],
            "createdBy": {"name": "Edda", "email": "edda@example.com"},
            "modifiedBy": {"name": "Otto", "email": ""},
        },
        "roles": {"editor": [EDITOR], "viewer": [VIEWER]},
        "data": with_env(TYPE="pivot"),
        "labels": ["b", "c"],
        "links": created["links"],
    }


async def test_the_answer_is_what_every_read_then_shows(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    await editor.create(body(), segment_id)
    answer = await editor.replace(segment_id, body("Changed"))
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert "Location" not in answer.headers
    read = await editor.read(segment_id)
    assert read.json == answer.json
    assert read.etag == answer.etag
    resource = await service.resources.get(segment_id)
    assert answer.revision == revision_of(resource)
    assert resource["metadata"]["annotations"]["segment.grnry.io/display-name"] == "Changed"


async def test_what_is_left_out_is_emptied(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    await editor.create(body("First", description="d", data=FULL_DATA, labels=["a"]), segment_id)
    segment = (await editor.replace(segment_id, body())).json
    assert segment["metadata"]["description"] == ""
    assert segment["labels"] == []
    assert segment["data"] == {"cronjob": {"schedule": SCHEDULE}}
    assert (await service.resources.get(segment_id))["spec"] == {"cronjob": {"schedule": SCHEDULE}}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, {"editor": ["e", EDITOR], "viewer": ["v"]}),
        ({}, {"editor": ["e", EDITOR], "viewer": ["v"]}),
        ({"viewer": ["w"]}, {"editor": ["e", EDITOR], "viewer": ["w"]}),
        ({"editor": ["f"]}, {"editor": ["f"], "viewer": ["v"]}),
    ],
)
async def test_a_role_list_that_is_left_out_stays_as_it_was(
    editor: Client, given: dict[str, list[str]] | None, stored: dict[str, list[str]]
) -> None:
    segment_id = unique()
    await editor.create(body(roles={"editor": ["e", EDITOR], "viewer": ["v"]}), segment_id)
    changed = body() if given is None else body(roles=given)
    assert (await editor.replace(segment_id, changed)).json["roles"] == stored


async def test_what_a_get_returned_can_be_sent_back(service: Deployment) -> None:
    segment_id = unique()
    await service.editor.create(body(description="d", data=FULL_DATA, labels=["a"]), segment_id)
    got = (await service.editor.read(segment_id)).json
    got["metadata"]["displayName"] = "Changed"
    got["metadata"]["createdBy"] = {"name": "Mallory", "email": "m@example.com"}
    got["metadata"]["createdAt"] = "1999-01-01T00:00:00.000"
    answer = await service.caller(EDITOR, name="Otto").replace(segment_id, got)
    assert answer.status == 200
    assert answer.json["metadata"]["displayName"] == "Changed"
    assert answer.json["metadata"]["createdBy"]["name"] == "Edda"
    assert answer.json["metadata"]["createdAt"] > "2000"
    assert answer.json["metadata"]["modifiedBy"]["name"] == "Otto"
    assert answer.json["data"] == FULL_DATA


async def test_an_export_can_be_sent_back_too(editor: Client) -> None:
    segment_id = unique()
    await editor.create(body(data=FULL_DATA), segment_id)
    export = (await editor.read(segment_id, export="true")).json
    assert (await editor.replace(segment_id, export)).json["data"] == FULL_DATA


@pytest.mark.parametrize("given", ["another-id", "", 5, None])
async def test_the_id_in_the_body_must_match(editor: Client, given: Any) -> None:
    segment_id = unique()
    await editor.create(body(), segment_id)
    answer = await editor.replace(segment_id, body("Changed", id=given))
    assert answer.status == 400
    assert list(answer.problems) == ["id"]
    assert (await editor.read(segment_id)).json["metadata"]["displayName"] == "Demo Segment"


async def test_a_bad_body_is_told_as_on_create_and_changes_nothing(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    created = await editor.create(body(), segment_id)
    bad = {**body(" "), "label": [], "data": {"cronjob": {"schedule": "x"}}, "roles": {"viewer": []}}
    answer = await editor.replace(segment_id, bad)
    assert answer.status == 400
    assert set(answer.problems) == {"metadata.displayName", "label", "data.cronjob.schedule", "roles.viewer"}
    assert revision_of(await service.resources.get(segment_id)) == created.revision


@pytest.mark.parametrize("name", ["abc", "x" * 200])
async def test_a_resource_under_a_name_that_no_create_takes_can_be_changed(alone: Deployment, name: str) -> None:
    await alone.resources.create(name)
    answer = await alone.editor.replace(name, body("Changed", id=name))
    assert answer.status == 200
    assert answer.json["id"] == name


class TestWhoMay:
    """Changing needs one of the segment's editor roles, and nothing else."""

    async def test_an_editor_of_the_segment_may_though_they_may_not_create(self, service: Deployment) -> None:
        segment_id = unique()
        await service.editor.create(body(roles={"editor": ["a", "b"]}), segment_id)
        assert (await service.caller("b").replace(segment_id, body("Changed"))).status == 200

    @pytest.mark.parametrize("roles", [(), (VIEWER,), ("v",), (EDITOR, VIEWER)])
    async def test_others_may_not(self, service: Deployment, roles: tuple[str, ...]) -> None:
        segment_id = unique()
        await service.editor.create(body(roles={"editor": ["e"], "viewer": ["v"]}), segment_id)
        answer = await service.caller(*roles).replace(segment_id, body("Changed"))
        assert answer.status == 403
        assert answer.json["type"] == "entity_not_accessible"
        assert answer.json["message"] == "Access forbidden due to missing roles."
        assert (await service.caller("e").read(segment_id)).json["metadata"]["displayName"] == "Demo Segment"

    async def test_an_editor_may_give_their_own_access_away(self, service: Deployment) -> None:
        segment_id = unique()
        await service.editor.create(body(), segment_id)
        given_away = body(roles={"editor": ["others"], "viewer": ["others"]})
        assert (await service.editor.replace(segment_id, given_away)).status == 200
        assert (await service.editor.read(segment_id)).status == 403
        assert (await service.editor.replace(segment_id, body())).status == 403


class TestTheOrderOfChecks:
    """Token, form of the request, existence, editor role, If-Match, body."""

    @pytest_asyncio.fixture
    async def others(self, service: Deployment) -> str:
        """A segment that the editor may not change."""
        segment_id = unique()
        await service.editor.create(body(roles={"editor": ["others"], "viewer": [VIEWER]}), segment_id)
        return segment_id

    async def test_the_token_comes_first(self, editor: Client) -> None:
        answer = await editor.anonymous().request(
            "PUT", "/segments/%2E?x=y", body=b"{", headers={"Content-Type": "text/plain", "If-Match": "!"}
        )
        assert answer.status == 401

    @pytest.mark.parametrize(
        ("query", "sent", "headers", "status"),
        [
            ("?unknown=1", b"{}", {}, 400),
            ("", b"{}", {"If-Match": "nonsense"}, 400),
            ("", b"{}", {"Content-Type": "text/plain"}, 415),
            ("", b"{" + b" " * 2**20 + b"}", {}, 413),
            ("", b"{", {}, 400),
            ("", b"[]", {}, 400),
        ],
    )
    async def test_the_form_comes_before_existence(
        self, editor: Client, *, query: str, sent: bytes, headers: dict[str, str], status: int
    ) -> None:
        answer = await editor.request("PUT", "/segments/no-such-segment" + query, body=sent, headers=headers)
        assert answer.status == status

    async def test_what_is_no_id_is_not_found_and_nothing_is_written(self, service: Deployment) -> None:
        before = await service.cluster_calls()
        for path in ("/segments/%2E", "/segments/a%2Fb", "/segments/seg-1%0A", "/segments/", "/segments/UPPER"):
            assert (await service.editor.request("PUT", path, body=body())).status == 404
        assert await service.cluster_calls() == before

    async def test_existence_comes_before_the_role_and_the_body(self, service: Deployment) -> None:
        assert (
            await service.caller("nobody").replace("no-such-segment", {}, headers={"If-Match": '"x"'})
        ).status == 404

    async def test_the_role_comes_before_if_match_and_the_body(self, service: Deployment, others: str) -> None:
        assert (await service.editor.replace(others, {}, headers={"If-Match": '"x"'})).status == 403

    async def test_if_match_comes_before_the_body(self, service: Deployment, others: str) -> None:
        assert (await service.caller("others").replace(others, {}, headers={"If-Match": '"x"'})).status == 412
        assert (await service.caller("others").replace(others, {}, headers={"If-Match": "*"})).status == 400

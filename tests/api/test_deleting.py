"""DELETE /segments/{id}: what goes, and above all what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.bodies import EDITOR, VIEWER, body, unique
from tests.api.client import raw, request_bytes

if TYPE_CHECKING:
    from tests.api.client import Client
    from tests.api.conftest import Deployment
    from tests.support.faults import Relay


async def test_it_is_204_and_the_segment_is_gone_at_once(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    name = unique("Doomed")
    created = await editor.create(body(name), segment_id)
    answer = await editor.delete(segment_id)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.revision > created.revision
    assert (await editor.read(segment_id)).status == 404
    assert (await editor.list(search=name)).json["totalCount"] == 0
    assert segment_id not in await service.resources.names()


async def test_a_second_delete_finds_nothing(editor: Client) -> None:
    segment_id = unique()
    await editor.create(body(), segment_id)
    await editor.delete(segment_id)
    answer = await editor.delete(segment_id)
    assert answer.status == 404
    assert answer.json["message"] == f"Segment with ID '{segment_id}' not found."


async def test_a_deleted_id_can_be_used_again(editor: Client) -> None:
    segment_id = unique()
    for name in ("First", "Second", "Third"):
        assert (await editor.create(body(name), segment_id)).status == 200
        assert (await editor.read(segment_id)).json["metadata"]["displayName"] == name
        assert (await editor.delete(segment_id)).status == 204
        assert (await editor.read(segment_id)).status == 404


async def test_one_that_others_made_can_be_deleted_before_the_index_hears_of_it(service: Deployment) -> None:
    segment_id = unique()
    await service.resources.create(segment_id)
    assert (await service.editor.delete(segment_id)).status == 204
    assert segment_id not in await service.resources.names()


async def test_one_that_others_deleted_is_not_found(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    await editor.create(body(), segment_id)
    await service.resources.delete(segment_id)
    assert (await editor.delete(segment_id)).status == 404


@pytest.mark.parametrize("roles", [(), (VIEWER,), ("v",), (EDITOR, VIEWER)])
async def test_whoever_is_no_editor_of_the_segment_may_not(service: Deployment, roles: tuple[str, ...]) -> None:
    segment_id = unique()
    await service.editor.create(body(roles={"editor": ["e"], "viewer": ["v"]}), segment_id)
    answer = await service.caller(*roles).delete(segment_id)
    assert answer.status == 403
    assert answer.json["type"] == "entity_not_accessible"
    assert (await service.caller("e").read(segment_id)).status == 200
    assert (await service.caller("e").delete(segment_id)).status == 204


async def test_the_checks_come_in_order(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    await editor.create(body(roles={"editor": ["e"]}), segment_id)
    path, stale = f"/segments/{segment_id}", {"If-Match": '"x"'}
    assert (await editor.anonymous().request("DELETE", "/segments/nothing?x=1")).status == 401
    assert (await editor.request("DELETE", "/segments/nothing?x=1")).status == 400
    assert (await editor.request("DELETE", "/segments/nothing", headers={"If-Match": "!"})).status == 400
    assert (await editor.request("DELETE", "/segments/nothing", headers=stale)).status == 404
    assert (await editor.request("DELETE", path, headers=stale)).status == 403
    assert (await service.caller("e").request("DELETE", path, headers=stale)).status == 412
    assert (await service.caller("e").request("DELETE", path)).status == 204


async def test_a_body_is_ignored(editor: Client) -> None:
    segment_id = unique()
    await editor.create(body(), segment_id)
    answer = await editor.request(
        "DELETE", f"/segments/{segment_id}", body=b"whatever", headers={"Content-Type": "text/plain"}
    )
    assert answer.status == 204


NO_IDS = [
    "/segments/%2E",
    "/segments/.",
    "/segments/..",
    "/segments/%2e%2e",
    "/segments/",
    "/segments//",
    "/segments/./",
    "/segments/a%2Fb",
    "/segments/%2F",
    "/segments/%2Fseg-1",
    "/segments/seg-1%2F",
    "/segments/seg-1/",
    "/segments/seg-1%0A",
    "/segments/seg-1%00",
    "/segments/seg-1%20",
    "/segments/%20",
    "/segments/SEG-1",
    "/segments/seg-1%3Fx",
    "/segments/seg-1%23",
    "/segments/..%2Fsegments%2Fseg-1",
    "/segments/%FF",
    "/segments/%E3%82%BB",
    "/segments/*",
    "/segments/seg%2D1%2E",
]


async def test_what_is_no_id_deletes_nothing_and_reaches_no_cluster(relay: Relay, relayed: Deployment) -> None:
    await relayed.editor.create(body(), "seg-1")
    await relayed.editor.create(body(), "seg-2")
    relay.calls.clear()
    for target in NO_IDS:
        headers = [("Authorization", f"Bearer {relayed.editor.token}")]
        answer = await raw(relayed.url, request_bytes("DELETE", target, headers))
        assert (answer.status, answer.json["type"]) == (404, "entity_not_found"), target
        assert [call for call in relay.calls if not call.is_watch] == [], target
    assert await relayed.resources.names() == ["seg-1", "seg-2"]
    assert (await relayed.editor.list()).ids == ["seg-1", "seg-2"]


@pytest.mark.parametrize("target", ["/segments", "/segments?id=seg-1", "/segments?"])
async def test_the_collection_cannot_be_deleted(service: Deployment, target: str) -> None:
    segment_id = unique()
    await service.editor.create(body(), segment_id)
    answer = await service.editor.request("DELETE", target)
    assert answer.status == 405
    assert segment_id in await service.resources.names()


async def test_delete_takes_no_id_in_its_query(service: Deployment) -> None:
    segment_id = unique()
    await service.editor.create(body(), segment_id)
    answer = await service.editor.request("DELETE", f"/segments/{segment_id}?id={segment_id}")
    assert answer.status == 400
    assert segment_id in await service.resources.names()

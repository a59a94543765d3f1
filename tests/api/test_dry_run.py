"""dryRun=true: every check, an answer as if, and nothing stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.bodies import EDITOR, VIEWER, body, unique
from tests.api.clusters import revision_of

if TYPE_CHECKING:
    from tests.api.client import Client
    from tests.api.conftest import Deployment


async def test_a_create_answers_as_if_and_stores_nothing(alone: Deployment) -> None:
    answer = await alone.editor.create(body("Demo", labels=["a"]), "some-segment", dryRun="true")
    assert answer.status == 200
    assert answer.headers["Location"] == f"{alone.url}/segments/some-segment"
    assert answer.etag
    assert answer.revision > 0
    assert answer.json["metadata"]["displayName"] == "Demo"
    assert answer.json["metadata"]["createdBy"]["name"] == "Edda"
    assert answer.json["roles"] == {"editor": [EDITOR], "viewer": [VIEWER]}
    assert (await alone.editor.read("some-segment")).status == 404
    assert (await alone.editor.list(minRevision=await alone.resources.revision())).json["totalCount"] == 0
    assert await alone.resources.names() == []
    assert (await alone.editor.create(body(), "some-segment")).status == 200


async def test_a_replace_answers_as_if_and_changes_nothing(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    created = await editor.create(body("First"), segment_id)
    answer = await editor.replace(segment_id, body("Second"), dryRun="true")
    assert answer.status == 200
    assert answer.revision > 0
    assert answer.json["metadata"]["displayName"] == "Second"
    assert answer.json["metadata"]["modifiedBy"]["name"] == "Edda"
    assert answer.etag != created.etag
    assert (await editor.read(segment_id)).etag == created.etag
    assert revision_of(await service.resources.get(segment_id)) == created.revision


async def test_a_delete_answers_as_if_and_deletes_nothing(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    created = await editor.create(body(), segment_id)
    answer = await editor.delete(segment_id, dryRun="true")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.revision > 0
    assert (await editor.read(segment_id)).etag == created.etag
    assert revision_of(await service.resources.get(segment_id)) == created.revision
    assert (await editor.delete(segment_id)).status == 204


async def test_a_derived_id_shows_what_it_could_be(editor: Client) -> None:
    answer = await editor.create(body("Demo Segment"), dryRun="true")
    assert answer.json["id"].startswith("demo-segment-")
    assert (await editor.read(answer.json["id"])).status == 404


async def test_every_check_is_run(service: Deployment, editor: Client) -> None:
    segment_id, others = unique(), unique()
    await editor.create(body(), segment_id)
    await editor.create(body(roles={"editor": ["others"], "viewer": [VIEWER]}), others)
    dry: dict[str, Any] = {"dryRun": "true"}
    stale = {"If-Match": '"stale"'}
    assert (await editor.anonymous().create(body(), **dry)).status == 401
    assert (await service.viewer.create(body(), **dry)).status == 403
    assert (await editor.create(body(" "), **dry)).status == 400
    assert (await editor.create(body(), "Bad-Id", **dry)).status == 400
    assert (await editor.create(body(), segment_id, **dry)).status == 409
    assert (await editor.replace("no-such-segment", body(), **dry)).status == 404
    assert (await editor.replace(others, body(), **dry)).status == 403
    assert (await editor.replace(segment_id, body(), headers=stale, **dry)).status == 412
    assert (await editor.replace(segment_id, body(" "), **dry)).status == 400
    assert (await editor.delete("no-such-segment", **dry)).status == 404
    assert (await editor.delete(others, **dry)).status == 403
    assert (await editor.delete(segment_id, headers=stale, **dry)).status == 412


async def test_the_clusters_own_checks_are_run_too(editor: Client) -> None:
    segment_id = unique()
    too_much = body(description="d" * 300_000)
    assert (await editor.create(too_much, segment_id, dryRun="true")).status in {400, 413}
    assert (await editor.create(too_much, segment_id)).status in {400, 413}
    await editor.create(body(), segment_id)
    assert (await editor.replace(segment_id, too_much, dryRun="true")).status in {400, 413}


@pytest.mark.parametrize("value", ["TRUE", "True"])
async def test_true_is_true_in_any_case(editor: Client, value: str) -> None:
    segment_id = unique()
    assert (await editor.create(body(), segment_id, dryRun=value)).status == 200
    assert (await editor.read(segment_id)).status == 404


async def test_false_is_a_write(editor: Client) -> None:
    segment_id = unique()
    assert (await editor.create(body(), segment_id, dryRun="false")).status == 200
    assert (await editor.read(segment_id)).status == 200


@pytest.mark.parametrize("value", ["1", "All", "", "yes"])
async def test_anything_else_is_400_and_no_write(editor: Client, value: str) -> None:
    segment_id = unique()
    answer = await editor.create(body(), segment_id, dryRun=value)
    assert (answer.status, list(answer.problems)) == (400, ["dryRun"])
    assert (await editor.read(segment_id)).status == 404


async def test_a_misspelled_dry_run_is_no_write(editor: Client) -> None:
    segment_id = unique()
    await editor.create(body(), segment_id)
    answer = await editor.delete(segment_id, dryrun="true")
    assert answer.status == 400
    assert "dryRun" in answer.problems["dryrun"]
    assert (await editor.read(segment_id)).status == 200

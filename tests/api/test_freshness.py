"""X-Revision, X-Index-Age and minRevision: how a caller reads its own write from any replica."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from segsvc.web.representation import Representation, compressed
from tests.api.bodies import body, unique
from tests.api.clusters import revision_of
from tests.api.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.client import Answer, Client
    from tests.api.conftest import Deploy, Deployment
    from tests.support.faults import Relay


@pytest_asyncio.fixture(scope="module")
async def replica(deploy: Deploy, service: Deployment) -> AsyncIterator[Deployment]:
    """A second replica of the shared service."""
    async with deploy(namespace=service.namespace) as second:
        yield second


async def test_a_writes_revision_is_that_of_its_result(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    created = await editor.create(body(), segment_id)
    assert created.revision == revision_of(await service.resources.get(segment_id))
    replaced = await editor.replace(segment_id, body("Changed"))
    assert replaced.revision == revision_of(await service.resources.get(segment_id)) > created.revision
    deleted = await editor.delete(segment_id)
    assert deleted.revision > replaced.revision


async def test_a_reads_revision_never_goes_back(service: Deployment, editor: Client) -> None:
    last = 0
    for number in range(10):
        created = await editor.create(body(), unique())
        seen = (await editor.list(minRevision=created.revision if number % 2 else 0)).revision
        assert seen >= last
        last = seen
    assert last >= created.revision


async def test_a_page_that_takes_long_to_compress_tells_the_revision_that_it_shows(
    alone: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, proceed = threading.Event(), threading.Event()

    def slowly(plain: Representation) -> Representation:
        begun.set()
        assert proceed.wait(10)
        return compressed(plain)

    monkeypatch.setattr("segsvc.web.render.compressed", slowly)

    async def large() -> Answer:
        return await alone.viewer.list(pagesize=1000, headers={"Accept-Encoding": "gzip"})

    await alone.editor.create(body(description="x" * 2000), "some-segment")
    reading = asyncio.create_task(large())
    try:
        assert await asyncio.to_thread(begun.wait, 10)
        created = await alone.editor.create(body(), "other-segment")  # others go on meanwhile
    finally:
        proceed.set()
    page = await reading
    assert page.ids == ["some-segment"]
    assert page.revision < created.revision
    assert (await large()).ids == ["other-segment", "some-segment"]


async def test_the_age_is_in_whole_seconds(editor: Client) -> None:
    for answer in (await editor.list(), await editor.read((await editor.create(body())).json["id"])):
        age = answer.headers["X-Index-Age"]
        assert age.isascii()
        assert age.isdigit()
        assert int(age) < 120


async def test_a_caller_reads_its_own_writes_from_another_replica(service: Deployment, replica: Deployment) -> None:
    here, there = service.editor, replica.editor
    for number in range(10):
        segment_id = unique()
        created = await here.create(body(f"Made {number}"), segment_id)
        read = await there.read(segment_id, minRevision=created.revision)
        assert (read.status, read.etag) == (200, created.etag)
        assert read.revision >= created.revision
        replaced = await there.replace(segment_id, body(f"Changed {number}"))
        assert (await here.read(segment_id, minRevision=replaced.revision)).etag == replaced.etag
        deleted = await here.delete(segment_id)
        assert (await there.read(segment_id, minRevision=deleted.revision)).status == 404
        found = await there.list(search=f"changed {number}", minRevision=deleted.revision)
        assert segment_id not in found.ids


async def test_what_kubectl_wrote_can_be_waited_for(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    resource = await service.resources.create(segment_id)
    assert (await editor.read(segment_id, minRevision=revision_of(resource))).status == 200
    resource = await service.resources.annotate(segment_id, display_name="Changed")
    changed = await editor.read(segment_id, minRevision=revision_of(resource))
    assert changed.json["metadata"]["displayName"] == "Changed"
    await service.resources.delete(segment_id)
    assert (await editor.read(segment_id, minRevision=await service.resources.revision())).status == 404


async def test_a_read_waits_for_news_that_are_on_their_way(deploy: Deploy, relay: Relay, relayed: Deployment) -> None:
    async with deploy(namespace=relayed.namespace) as other:
        created = await other.editor.create(body("First"), "some-segment")
        assert (await relayed.editor.read("some-segment", minRevision=created.revision)).status == 200
        relay.watching.clear()
        replaced = await other.editor.replace("some-segment", body("Second"))
        stale = await relayed.editor.read("some-segment")
        assert stale.json["metadata"]["displayName"] == "First"
        assert stale.revision < replaced.revision
        waiting = [
            asyncio.create_task(relayed.editor.read("some-segment", minRevision=replaced.revision)),
            asyncio.create_task(relayed.editor.list(minRevision=replaced.revision)),
        ]
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert not done
        relay.watching.set()
        read, page = await asyncio.gather(*waiting)
        assert read.json["metadata"]["displayName"] == "Second"
        assert page.json["items"][0]["metadata"]["displayName"] == "Second"


async def test_after_2_seconds_it_is_503_with_retry_after(editor: Client) -> None:
    revision = 10**17
    began = time.monotonic()
    answers = await asyncio.gather(
        editor.list(minRevision=revision),
        editor.read("no-such-segment", minRevision=revision),
        editor.request("HEAD", f"/segments?minRevision={revision}"),
        editor.list(minRevision=revision, headers={"If-None-Match": "*"}),
    )
    assert 1.9 < time.monotonic() - began < 5
    for answer in answers:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
    assert answers[0].json["type"] == "service_unavailable"


@pytest.mark.parametrize("value", ["x", "-1", "", "1.5", "%D9%A3", "9" * 101])
async def test_a_min_revision_is_a_number(editor: Client, value: str) -> None:
    for path in ("/segments", "/segments/some-segment"):
        answer = await editor.get(f"{path}?minRevision={value}")
        assert (answer.status, list(answer.problems)) == (400, ["minRevision"])


async def test_writes_know_no_min_revision(editor: Client) -> None:
    answer = await editor.create(body(), unique(), minRevision=1)
    assert (answer.status, list(answer.problems)) == (400, ["minRevision"])


class TestWhenTheClusterIsAway:
    """Reads go on from the index, writes answer 503."""

    async def test_reads_go_on_and_writes_are_503_until_it_is_back(self, relay: Relay, relayed: Deployment) -> None:
        editor = relayed.editor
        created = await editor.create(body(), "some-segment")
        await relay.cut()
        assert (await editor.read("some-segment")).etag == created.etag
        assert (await editor.list()).json["totalCount"] == 1
        for answer in (
            await editor.create(body(), "another-one"),
            await editor.replace("some-segment", body("Changed")),
            await editor.delete("some-segment"),
        ):
            assert answer.status == 503
            assert answer.json["type"] == "service_unavailable"
            assert int(answer.headers["Retry-After"]) >= 1
        assert await relayed.is_ready()
        assert (await editor.read("some-segment")).etag == created.etag
        await relay.mend()
        replaced = await editor.replace("some-segment", body("Changed"))
        assert replaced.status == 200
        resource = await relayed.resources.create("by-hand")

        async def caught_up() -> bool:
            return (await editor.read("by-hand", minRevision=revision_of(resource))).status == 200

        await until(caught_up)

    async def test_what_a_write_could_be_refused_for_is_told_all_the_same(
        self, relay: Relay, relayed: Deployment
    ) -> None:
        await relay.cut()
        assert (await relayed.editor.create(body(" "))).status == 400
        assert (await relayed.viewer.create(body())).status == 403
        assert (await relayed.editor.request("DELETE", "/segments/%2E")).status == 404


async def test_no_read_shows_an_older_revision_than_the_write_before_it(alone: Deployment) -> None:
    editor = alone.editor
    for number in range(10):
        segment_id = f"segment-{number}"
        created = await editor.create(body(), segment_id)
        assert (await editor.read(segment_id)).revision >= created.revision
        replaced = await editor.replace(segment_id, body())
        assert (await editor.list()).revision >= replaced.revision
        deleted = await editor.delete(segment_id)
        assert (await editor.list()).revision >= deleted.revision


async def test_a_write_does_not_wait_long_for_a_watch_that_tells_nothing(relayed: Deployment, relay: Relay) -> None:
    relay.watching.clear()
    async with asyncio.timeout(5):
        created = await relayed.editor.create(body(), "some-segment")
        assert created.status == 200
        assert (await relayed.editor.read("some-segment")).status == 200

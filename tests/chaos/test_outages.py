"""A cluster that is frozen, killed, put back in time, or without its definition: the service is true, and recovers.

Nothing here starts the service anew. Most of it takes its time, and runs where CHAOS_SEQUENCES is set.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from segsvc.cluster.api import IDLE_TIMEOUT, MAX_CALLS
from segsvc.cluster.reflector import AWAY_SECONDS
from tests.api.bodies import body
from tests.api.clusters import DISPLAY_NAME, revision_of
from tests.api.conftest import deployed
from tests.api.waiting import until
from tests.chaos.conftest import takes_its_time
from tests.chaos.scene import SETTLE_PATIENCE, UNCLEAR, WRITE_PATIENCE
from tests.support.faults import Lost, Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.api.client import Client
    from tests.api.conftest import Deployment, Surroundings
    from tests.support.envtest import RealCluster
    from tests.support.faults import Call

pytestmark = pytest.mark.timeout(180)

FIRST = "segment-first"
CALLERS = 200
QUICK = 2.0
"""Seconds within which what needs no cluster is answered, by a machine under load."""


async def until_it_shows(editor: Client, expected: dict[str, str], *, patience: float = SETTLE_PATIENCE) -> None:
    """Return once exactly these segments are read, by id and display name."""
    shown = None
    try:
        async with asyncio.timeout(patience):
            while True:
                page = (await editor.list()).json
                shown = {item["id"]: item["metadata"]["displayName"] for item in page["items"]}
                if shown == expected:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{shown} is shown, not {expected}") from None


async def until_a_write_succeeds(editor: Client, segment_id: str, name: str) -> None:
    """Return once a segment has been made: custom resources answer 429 for a moment after a start."""
    async with asyncio.timeout(SETTLE_PATIENCE):
        while (answer := await editor.create(body(name), segment_id)).status != 200:
            assert answer.status == 503, answer
            await asyncio.sleep(0.1)


async def reads_go_on(deployment: Deployment, *, total: int) -> None:
    """Check that reads and health answer at once, and as ever."""
    async with asyncio.timeout(QUICK):
        page = await deployment.editor.list()
        assert (page.status, page.json["totalCount"]) == (200, total)
        assert await deployment.is_ready()
        async with deployment.http.get(f"{deployment.ops_url}/livez") as live:
            assert live.status == 200


async def age(editor: Client) -> int:
    return int((await editor.list()).headers["X-Index-Age"])


async def what_is_there(deployment: Deployment) -> dict[str, str]:
    """Return what the cluster has, as `until_it_shows` takes it."""
    resources = await deployment.resources.all()
    return {each["metadata"]["name"]: each["metadata"]["annotations"][DISPLAY_NAME] for each in resources}


async def others_write(deployment: Deployment, *, beyond: int) -> None:
    """Have others write, as soon as the cluster lets them, until it is beyond this revision."""
    async with asyncio.timeout(SETTLE_PATIENCE):
        number = reached = 0
        while reached <= beyond:
            try:
                reached = revision_of(await deployment.resources.create(f"past-it-{number}"))
                number += 1
            except (AssertionError, ValueError):  # custom resources answer 429 for a moment after a start
                await asyncio.sleep(0.1)


@asynccontextmanager
async def away(relay: Relay) -> AsyncIterator[None]:
    """Keep the service and its cluster apart, and for no less time than it takes to restore a real one."""
    until = time.monotonic() + AWAY_SECONDS + 1
    await relay.cut()
    yield
    await asyncio.sleep(until - time.monotonic())
    await relay.mend()


async def writes_are_refused(editor: Client) -> None:
    """Check that each kind of write answers 503 in time."""
    writes = [
        editor.create(body("Refused"), "segment-refused"),
        editor.replace(FIRST, body("Refused")),
        editor.delete(FIRST),
    ]
    async with asyncio.timeout(WRITE_PATIENCE):
        answers = await asyncio.gather(*writes)
    assert [answer.status for answer in answers] == [503] * 3
    assert all(UNCLEAR not in answer.json["message"] for answer in answers)


@pytest.fixture
async def deployment(around_own: Surroundings) -> AsyncIterator[Deployment]:
    """A service in front of a cluster of its own, with one segment."""
    async with deployed(around_own) as deployment:
        assert (await deployment.editor.create(body("First"), FIRST)).status == 200
        yield deployment


@takes_its_time
@pytest.mark.real_cluster
class TestARealCluster:
    """With signals to its processes, and its data taken away."""

    async def test_frozen(self, own_cluster: RealCluster, deployment: Deployment) -> None:
        editor = deployment.editor
        own_cluster.pause()
        try:
            began = time.monotonic()
            writes = [asyncio.create_task(editor.create(body(f"Number {n}"), f"segment-{n}")) for n in range(CALLERS)]
            while time.monotonic() - began < 4:
                await reads_go_on(deployment, total=1)
                await asyncio.sleep(0.1)
            assert await age(editor) >= 3
            async with asyncio.timeout(WRITE_PATIENCE - 4):
                answers = await asyncio.gather(*writes)
            assert Counter(answer.status for answer in answers) == {503: CALLERS}
            assert all(answer.headers["Retry-After"] for answer in answers)
        finally:
            own_cluster.resume()
        unclear = {f"segment-{n}" for n, answer in enumerate(answers) if UNCLEAR in answer.json["message"]}
        await until_a_write_succeeds(editor, "segment-after", "After")
        await deployment.resources.create("past-it")

        there = await what_is_there(deployment)
        assert set(there) - unclear == {FIRST, "segment-after", "past-it"}, "a write is there that was said not to be"
        await until_it_shows(editor, there)

    async def test_killed_and_started_again(self, own_cluster: RealCluster, deployment: Deployment) -> None:
        editor = deployment.editor
        own_cluster.kill()
        await writes_are_refused(editor)
        await reads_go_on(deployment, total=1)
        await asyncio.to_thread(own_cluster.start_apiserver)
        await until_a_write_succeeds(editor, "segment-after", "After")
        await deployment.resources.create("past-it")
        await until_it_shows(editor, {FIRST: "First", "segment-after": "After", "past-it": "past-it"})

    async def test_started_again_with_its_history_compacted(
        self, own_cluster: RealCluster, around_own: Surroundings
    ) -> None:
        async with Relay(around_own.cluster) as relay, deployed(around_own, relay=relay) as deployment:
            editor = deployment.editor
            await editor.create(body("First"), FIRST)
            await relay.cut()
            await deployment.resources.create("missed")
            await deployment.resources.annotate("missed", display_name="Missed")
            own_cluster.compact()
            own_cluster.kill()
            await asyncio.to_thread(own_cluster.start_apiserver)
            await relay.mend()
            await until_it_shows(editor, {FIRST: "First", "missed": "Missed"})
            await until_a_write_succeeds(editor, "segment-after", "After")
            relists = dict(await deployment.samples("segsvc_relists_total"))
            del relists['{reason="start"}']
            # the other one on a machine on which a start takes longer than AWAY_SECONDS
            assert relists in ({'{reason="expired"}': 1.0}, {'{reason="away"}': 1.0})
            assert await age(editor) <= SETTLE_PATIENCE

    async def test_without_the_definition_for_a_while(self, own_cluster: RealCluster, deployment: Deployment) -> None:
        editor = deployment.editor
        await asyncio.to_thread(own_cluster.remove_crd)
        await until_it_shows(editor, {})  # with the definition go its resources
        await writes_are_refused(editor)
        await reads_go_on(deployment, total=0)
        await asyncio.to_thread(own_cluster.install_crd)
        await until_a_write_succeeds(editor, "segment-after", "After")
        await deployment.resources.create("past-it")
        await until_it_shows(editor, {"segment-after": "After", "past-it": "past-it"})

    @pytest.mark.parametrize("changes", [0, 30])
    async def test_restored_to_an_earlier_state(
        self, own_cluster: RealCluster, deployment: Deployment, tmp_path: Path, changes: int
    ) -> None:
        editor = deployment.editor
        await asyncio.to_thread(own_cluster.back_up, tmp_path / "backup")
        for number in range(10):
            lost = await editor.create(body("Lost"), f"segment-lost-{number}")
        await editor.replace(FIRST, body("Lost"))
        await asyncio.to_thread(own_cluster.restore, tmp_path / "backup")
        expected = {FIRST: "First"}
        await until_it_shows(editor, expected)
        # and what happens until the revision is reached that had been reached before, and beyond
        for number in range(changes):
            changed = await deployment.resources.annotate(FIRST, display_name=f"Changed {number}")
            expected = {FIRST: f"Changed {number}"}
        await until_a_write_succeeds(editor, "segment-after", "After")
        await until_it_shows(editor, {**expected, "segment-after": "After"})
        if changes:
            assert int(changed["metadata"]["resourceVersion"]) > lost.revision
        assert await age(editor) <= SETTLE_PATIENCE

    async def test_restored_and_beyond_its_revision_when_it_is_there_again(
        self, own_cluster: RealCluster, around_own: Surroundings, tmp_path: Path
    ) -> None:
        async with Relay(around_own.cluster) as relay, deployed(around_own, relay=relay) as deployment:
            editor = deployment.editor
            await editor.create(body("First"), FIRST)
            await asyncio.to_thread(own_cluster.back_up, tmp_path / "backup")
            await editor.replace(FIRST, body("Lost"))
            lost = await editor.create(body("Lost"), "segment-lost")
            async with away(relay):
                await asyncio.to_thread(own_cluster.restore, tmp_path / "backup")
                await others_write(deployment, beyond=lost.revision)
            await until_it_shows(editor, {FIRST: "First", **await what_is_there(deployment)})

    @pytest.mark.parametrize("is_beyond", [False, True])
    async def test_emptied(self, own_cluster: RealCluster, around_own: Surroundings, *, is_beyond: bool) -> None:
        async with Relay(around_own.cluster) as relay, deployed(around_own, relay=relay) as deployment:
            editor = deployment.editor
            for number in range(10):
                lost = await editor.create(body("Lost"), f"segment-lost-{number}")
            async with away(relay):
                await asyncio.to_thread(own_cluster.empty)
                await asyncio.to_thread(own_cluster.install_crd)
                await others_write(deployment, beyond=lost.revision if is_beyond else 0)
            await until_it_shows(editor, await what_is_there(deployment))
            assert ((await deployment.resources.revision()) > lost.revision) == is_beyond
            await until_a_write_succeeds(editor, "segment-after", "After")
            await until_it_shows(editor, await what_is_there(deployment))


class TestANetworkThatFails:
    """With a relay in between."""

    async def test_hung_calls_hold_up_no_reads(self, relay: Relay, relayed: Deployment) -> None:
        editor = relayed.editor
        await editor.create(body("First"), FIRST)
        relay.flowing.clear()
        writes = [asyncio.create_task(editor.create(body(f"Number {n}"), f"segment-{n}")) for n in range(CALLERS)]

        async def all_connections_hang() -> bool:
            return len(relay.writes) == 1 + MAX_CALLS

        await until(all_connections_hang)
        for _ in range(10):
            await reads_go_on(relayed, total=1)
        assert not any(write.done() for write in writes)
        relay.flowing.set()
        answers = await asyncio.gather(*writes)
        assert Counter(answer.status for answer in answers) == {200: CALLERS}
        assert len(await relayed.resources.names()) == CALLERS + 1

    @takes_its_time
    async def test_a_write_of_which_nothing_can_be_learned_says_so(self, relay: Relay, relayed: Deployment) -> None:
        editor = relayed.editor
        await editor.create(body("First"), FIRST)

        async def lose(_: Call) -> None:
            raise Lost

        relay.after = lose  # of the write, and of every look at what became of it
        async with asyncio.timeout(WRITE_PATIENCE):
            answer = await editor.create(body("Second"), "segment-second")
        assert (answer.status, UNCLEAR in answer.json["message"]) == (503, True)
        relay.behave()
        await until_it_shows(editor, {FIRST: "First", "segment-second": "Second"})

    @takes_its_time
    async def test_a_watch_that_died_without_a_word_is_noticed_within_the_bookmarks_period(
        self, relay: Relay, relayed: Deployment
    ) -> None:
        editor = relayed.editor
        await editor.create(body("First"), FIRST)
        await until_it_shows(editor, {FIRST: "First"})

        dead = asyncio.Event()

        async def die(_: Call) -> None:
            dead.set()
            await asyncio.Event().wait()

        relay.during = die
        await relayed.resources.create("missed")
        await dead.wait()
        relay.during = None  # the next one will live; this one stays open, and silent
        await until_it_shows(editor, {FIRST: "First", "missed": "missed"}, patience=IDLE_TIMEOUT + SETTLE_PATIENCE)


class TestManyWritersOfOneSegment:
    """Fifty at once."""

    async def test_with_if_match_nothing_is_overwritten_unseen(self, relayed: Deployment) -> None:
        editor = relayed.editor
        created = await editor.create(body("First"), FIRST)
        followed: dict[str, str] = {}
        revisions = {created.revision}

        async def write(number: int) -> None:
            for turn in range(4):
                seen = await editor.read(FIRST)
                answer = await editor.replace(
                    FIRST, body(f"Number {number} in turn {turn}"), headers={"If-Match": seen.etag}
                )
                assert answer.status in {200, 412}
                if answer.status == 200:
                    assert seen.etag not in followed, "two writes replaced one version"
                    followed[seen.etag] = answer.etag
                    revisions.add(answer.revision)

        await asyncio.gather(*map(write, range(50)))
        # from the first version to the last, each is followed by the next, and none is left out
        version, length = created.etag, 0
        while version in followed:
            version, length = followed[version], length + 1
        assert length == len(followed) == len(revisions) - 1 >= 4
        assert (await editor.read(FIRST)).etag == version

    async def test_without_all_succeed_or_are_told_and_the_last_one_stands(self, relayed: Deployment) -> None:
        editor = relayed.editor
        await editor.create(body("First"), FIRST)
        answers = await asyncio.gather(*(editor.replace(FIRST, body(f"Number {n}")) for n in range(50)))
        assert {answer.status for answer in answers} <= {200, 409}
        assert all(answer.json["type"] == "entity_modified" for answer in answers if answer.status == 409)
        stored = {answer.revision: answer for answer in answers if answer.status == 200}
        assert len(stored) == sum(answer.status == 200 for answer in answers) > 0
        last = stored[max(stored)]
        assert (await editor.read(FIRST)).etag == last.etag
        there = await relayed.resources.get(FIRST)
        assert there["metadata"]["annotations"][DISPLAY_NAME] == last.json["metadata"]["displayName"]

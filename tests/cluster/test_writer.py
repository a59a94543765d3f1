"""Writes happen on what was checked, at most once as far as anyone can tell, and show at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from segsvc.cluster.errors import AlreadyExists, ClusterForbids, ClusterUnavailable, InvalidResource, UnexpectedAnswer
from segsvc.domain.codec import decode
from segsvc.domain.errors import AccessDenied, SegmentModified, SegmentNotFound
from segsvc.domain.segment import Author, Roles, Segment
from tests.api.clusters import Resources, revision_of
from tests.cluster.conftest import following
from tests.support.faults import Call, Lost, Relay
from tests.support.scripted import (
    ScriptedCluster,
    answer,
    bookmark,
    event,
    failure,
    hang,
    page,
    resource,
    stream,
    text,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from segsvc.telemetry import Metrics
    from tests.cluster.conftest import Connect, Follower
    from tests.support.scripted import Step

ADA = Author("Ada", "ada@example.com")


def a_segment(segment_id: str = "demo", name: str = "Demo", **fields: Any) -> Segment:
    return Segment(
        id=segment_id,
        display_name=name,
        description="",
        roles=Roles(),
        labels=("a",),
        data={"cronjob": {"schedule": "@daily"}, "env": {"TYPE": "pivot"}},
        created_at="2020-03-18T18:08:31.850",
        created_by=ADA,
        **fields,
    )


def renamed(segment: Segment, name: str = "Renamed") -> Segment:
    return replace(segment, display_name=name, modified_at="2021-03-18T18:08:31.850", modified_by=ADA)


def allow(_segment: Segment) -> None:
    """A check that every caller passes."""


def refuse(_segment: Segment) -> None:
    raise AccessDenied


# --- in good health


async def test_a_write_shows_in_the_store_before_its_caller_hears_of_it(
    follower: Follower, resources: Resources
) -> None:
    created = await follower.writer.create(a_segment(), dry_run=False)
    shown = follower.store.get("demo")
    assert shown is not None
    assert (shown.display_name, shown.version) == ("Demo", created.version)
    assert decode(await resources.get("demo")) == a_segment()

    updated = await follower.writer.update("demo", renamed, dry_run=False)
    shown = follower.store.get("demo")
    assert shown is not None
    assert (shown.display_name, shown.version) == ("Renamed", updated.version)
    assert decode(await resources.get("demo")) == renamed(a_segment())
    assert updated.version.revision == revision_of(await resources.get("demo"))

    revision = await follower.writer.delete("demo", allow, dry_run=False)
    assert follower.store.get("demo") is None
    assert await resources.names() == []
    assert revision is not None
    assert updated.version.revision < revision <= await resources.revision()


async def test_dry_runs_answer_as_if_and_touch_nothing(follower: Follower, resources: Resources) -> None:
    previewed = await follower.writer.create(a_segment("other"), dry_run=True)
    assert previewed.document()["metadata"]["displayName"] == "Demo"
    before = await resources.create("demo")
    await follower.until_it_shows(demo="demo")

    assert (await follower.writer.update("demo", renamed, dry_run=True)).display_name == "Renamed"
    assert await follower.writer.delete("demo", allow, dry_run=True) is None

    await follower.until_it_shows(demo="demo", other=None)
    assert await resources.get("demo") == before
    assert await resources.names() == ["demo"]


async def test_dry_runs_are_checked_by_the_cluster(follower: Follower, resources: Resources) -> None:
    await resources.create("demo")
    broken = {"cronjob": {"schedule": 5}}

    with pytest.raises(InvalidResource):
        await follower.writer.create(replace(a_segment("other"), data=broken), dry_run=True)
    with pytest.raises(AlreadyExists):
        await follower.writer.create(a_segment(), dry_run=True)
    with pytest.raises(InvalidResource):
        await follower.writer.update("demo", lambda segment: replace(segment, data=broken), dry_run=True)


async def test_an_update_keeps_what_is_not_ours(follower: Follower, resources: Resources) -> None:
    await resources.create(
        "demo",
        annotations={"segment.grnry.io/display-name": "Demo", "example.com/note": "keep"},
        labels={"team": "a"},
        finalizers=["example.com/hold"],
    )
    before = await resources.patch("demo", {"status": {"conditions": []}}, status=True)

    await follower.writer.update("demo", renamed, dry_run=False)

    after = await resources.get("demo")
    assert after["metadata"]["annotations"]["example.com/note"] == "keep"
    assert after["metadata"]["annotations"]["segment.grnry.io/display-name"] == "Renamed"
    assert after.get("status") == before.get("status")
    for kept in ("labels", "finalizers", "uid", "creationTimestamp"):
        assert after["metadata"][kept] == before["metadata"][kept]


async def test_what_the_api_does_not_show_cannot_be_changed_and_its_id_is_taken(
    follower: Follower, resources: Resources
) -> None:
    await resources.create("incompatible", annotations={})
    await resources.create("leaving", finalizers=["example.com/hold"])
    await resources.delete("leaving")

    for segment_id in ("absent", "incompatible", "leaving"):
        with pytest.raises(SegmentNotFound):
            await follower.writer.update(segment_id, renamed, dry_run=False)
        with pytest.raises(SegmentNotFound):
            await follower.writer.delete(segment_id, refuse, dry_run=False)
    for segment_id in ("incompatible", "leaving"):
        with pytest.raises(AlreadyExists):
            await follower.writer.create(a_segment(segment_id), dry_run=False)
    assert sorted(await resources.names()) == ["incompatible", "leaving"]


async def test_what_a_check_refuses_is_not_done(follower: Follower, resources: Resources) -> None:
    await resources.create("demo")

    def refuse_change(segment: Segment) -> Segment:
        refuse(segment)
        return renamed(segment)

    with pytest.raises(AccessDenied):
        await follower.writer.update("demo", refuse_change, dry_run=False)
    with pytest.raises(AccessDenied):
        await follower.writer.delete("demo", refuse, dry_run=False)
    assert (await resources.get("demo"))["metadata"]["generation"] == 1


async def test_a_delete_that_finalizers_hold_up_hides_the_segment(follower: Follower, resources: Resources) -> None:
    await resources.create("demo", finalizers=["example.com/hold"])
    await follower.until_it_shows(demo="demo")

    revision = await follower.writer.delete("demo", allow, dry_run=False)

    assert follower.store.get("demo") is None
    assert revision == revision_of(await resources.get("demo"))


async def test_a_segment_deleted_here_does_not_come_back_with_late_events(
    connected: Connect, relay: Relay, metrics: Metrics, resources: Resources
) -> None:
    async with connected(relay) as api, following(api, metrics) as follower:
        await follower.until_it_shows()
        relay.watching.clear()
        await follower.writer.create(a_segment(), dry_run=False)
        await follower.writer.update("demo", renamed, dry_run=False)
        await follower.writer.delete("demo", allow, dry_run=False)
        shown: list[object] = []
        follower.store.listen(lambda _: shown.append(follower.store.get("demo")))
        relay.watching.set()
        await resources.create("other")
        await follower.until_it_shows(other="other")

    assert shown
    assert set(shown) == {None}


# --- among other writers


async def test_writers_that_meet_all_win_in_turn(follower: Follower, resources: Resources) -> None:
    await resources.create("demo")

    def add_label(number: int) -> Any:
        return lambda segment: replace(segment, labels=(*segment.labels, str(number)))

    await asyncio.gather(*(follower.writer.update("demo", add_label(number), dry_run=False) for number in range(20)))

    assert sorted(decode(await resources.get("demo")).labels, key=int) == [str(number) for number in range(20)]


async def test_checks_run_again_on_the_version_that_came_between(
    connected: Connect, relay: Relay, metrics: Metrics, resources: Resources
) -> None:
    async def take_away_roles(call: Call) -> None:
        if call.is_write:
            relay.before = None
            await resources.annotate("demo", roles='{"editor": ["others"]}')

    def check(segment: Segment) -> None:
        if "segment_job_edit" not in segment.roles.editor:
            raise AccessDenied

    def change(segment: Segment) -> Segment:
        check(segment)
        return renamed(segment)

    await resources.create("demo")
    async with connected(relay) as api, following(api, metrics) as follower:
        relay.before = take_away_roles
        with pytest.raises(AccessDenied):
            await follower.writer.update("demo", change, dry_run=False)
        await resources.annotate("demo", roles=None)
        relay.before = take_away_roles
        with pytest.raises(AccessDenied):
            await follower.writer.delete("demo", check, dry_run=False)

    assert (await resources.get("demo"))["metadata"]["annotations"]["segment.grnry.io/display-name"] == "demo"


async def test_a_writer_that_keeps_losing_is_told_so(
    connected: Connect, relay: Relay, metrics: Metrics, resources: Resources
) -> None:
    now = 0.0

    async def interfere(call: Call) -> None:
        nonlocal now
        if call.is_write:
            now += 2
            await resources.annotate("demo", description=str(now))

    await resources.create("demo")
    async with connected(relay) as api, following(api, metrics, write_clock=lambda: now) as follower:
        relay.before = interfere
        with pytest.raises(SegmentModified) as updating:
            await follower.writer.update("demo", renamed, dry_run=False)
        with pytest.raises(SegmentModified) as deleting:
            await follower.writer.delete("demo", allow, dry_run=False)

    # nine seconds, of which two are kept for looking
    assert [call.method for call in relay.writes] == ["PUT"] * 4 + ["DELETE"] * 4
    assert not updating.value.precondition
    assert not deleting.value.precondition
    assert (await resources.get("demo"))["metadata"]["annotations"]["segment.grnry.io/display-name"] == "demo"


async def test_a_segment_deleted_by_another_just_before_is_not_found(
    connected: Connect, relay: Relay, metrics: Metrics, resources: Resources
) -> None:
    async def forestall(call: Call) -> None:
        if call.is_write:
            await resources.delete("demo")

    async with connected(relay) as api, following(api, metrics) as follower:
        relay.before = forestall
        await resources.create("demo")
        with pytest.raises(SegmentNotFound):
            await follower.writer.update("demo", renamed, dry_run=False)
        await resources.create("demo")
        with pytest.raises(SegmentNotFound):
            await follower.writer.delete("demo", allow, dry_run=False)


# --- when no answer comes


@asynccontextmanager
async def losing_answers(connected: Connect, relay: Relay, metrics: Metrics) -> AsyncIterator[Follower]:
    """A follower whose next write is carried out and whose answer is lost with the connection."""

    async def lose(call: Call) -> None:
        if call.is_write:
            relay.after = None
            raise Lost

    async with connected(relay) as api, following(api, metrics) as follower:
        await follower.until_it_shows()
        relay.after = lose
        yield follower


async def test_a_create_whose_answer_was_lost_is_found_to_have_happened(
    connected: Connect, relay: Relay, metrics: Metrics, resources: Resources
) -> None:
    async with losing_answers(connected, relay, metrics) as follower:
        created = await follower.writer.create(a_segment(), dry_run=False)

        assert follower.store.get("demo") is not None
        assert created.version.revision == revision_of(await resources.get("demo"))
    assert len(relay.writes) == 1


async def test_an_update_whose_answer_was_lost_is_applied_once(
    connected: Connect, relay: Relay, metrics: Metrics, resources: Resources
) -> None:
    await resources.create("demo")
    seen: list[str] = []

    def change(segment: Segment) -> Segment:
        seen.append(segment.display_name)
        return renamed(segment)

    async with losing_answers(connected, relay, metrics) as follower:
        updated = await follower.writer.update("demo", change, dry_run=False)

    after = await resources.get("demo")
    assert seen == ["demo"]
    assert len(relay.writes) == 1
    assert after["metadata"]["generation"] == 1  # annotations alone do not count
    assert updated.version.revision == revision_of(after)


async def test_a_delete_whose_answer_was_lost_is_no_error_while_finalizers_hold_it_up(
    connected: Connect, relay: Relay, metrics: Metrics, resources: Resources
) -> None:
    await resources.create("demo", finalizers=["example.com/hold"])
    async with losing_answers(connected, relay, metrics) as follower:
        revision = await follower.writer.delete("demo", allow, dry_run=False)

        assert revision == revision_of(await resources.get("demo"))
        assert follower.store.get("demo") is None


async def test_a_delete_whose_answer_was_lost_is_found_to_have_happened(
    connected: Connect, relay: Relay, metrics: Metrics, resources: Resources
) -> None:
    await resources.create("demo")
    async with losing_answers(connected, relay, metrics) as follower:
        revision = await follower.writer.delete("demo", allow, dry_run=False)

        assert revision is not None
        assert await resources.names() == []
        assert follower.store.get("demo") is None
    assert len(relay.writes) == 1


# --- scripts for what real clusters do too rarely


HELD = resource("demo", 5)
LIVE: dict[str, list[Step]] = {"list": [page(HELD, revision=5)], "watch": [stream(bookmark(6), then="hang")]}
NOT_FOUND = failure(404, "NotFound", details={"kind": "segments", "name": "demo"})
BUSY = failure(503, "ServiceUnavailable")
DELETED = answer({"kind": "Status", "status": "Success"})


@asynccontextmanager
async def writing_to(
    script: ScriptedCluster, connected: Connect, metrics: Metrics, *, seconds: float = 9.0
) -> AsyncIterator[Follower]:
    async with script as cluster, connected(cluster) as api, following(api, metrics, write_seconds=seconds) as follower:
        await follower.until_it_shows(demo="demo")
        yield follower


async def test_a_write_that_was_not_carried_out_is_sent_again(connected: Connect, metrics: Metrics) -> None:
    script = ScriptedCluster(
        **LIVE,
        get=[answer(HELD)],
        replace=[BUSY, answer(resource("demo", 7, display_name="Renamed"))],
        delete=[BUSY, DELETED],
    )
    async with writing_to(script, connected, metrics) as follower:
        updated = await follower.writer.update("demo", renamed, dry_run=False)
        await follower.writer.delete("demo", allow, dry_run=False)

    assert updated.version.revision == 7
    assert follower.store.get("demo") is None


async def test_a_write_whose_outcome_stays_unclear_says_so(connected: Connect, metrics: Metrics) -> None:
    script = ScriptedCluster(**LIVE, get=[answer(HELD), BUSY], replace=[hang])
    async with writing_to(script, connected, metrics, seconds=2.5) as follower:
        before = asyncio.get_running_loop().time()
        with pytest.raises(ClusterUnavailable) as raised:
            await follower.writer.update("demo", renamed, dry_run=False)

    assert raised.value.unclear
    assert len(script.seen("replace")) == 1
    assert asyncio.get_running_loop().time() - before < 4


async def test_a_write_of_which_only_nonsense_is_told_stays_unclear(connected: Connect, metrics: Metrics) -> None:
    odd = [text("<html>a portal</html>", status=200), answer([]), text("gone", status=302), failure(403, "Forbidden")]
    script = ScriptedCluster(**LIVE, get=[answer(HELD), *odd], replace=[BUSY])
    async with writing_to(script, connected, metrics, seconds=2.5) as follower:
        with pytest.raises(ClusterUnavailable) as raised:
            await follower.writer.update("demo", renamed, dry_run=False)

    assert raised.value.unclear
    assert len(script.seen("get")) > len(odd)


@pytest.mark.parametrize("odd", [failure(403, "Forbidden"), failure(405, "MethodNotAllowed")])
async def test_a_refusal_after_an_unclear_attempt_does_not_hide_it(
    connected: Connect, metrics: Metrics, odd: Step
) -> None:
    script = ScriptedCluster(**LIVE, get=[answer(HELD)], replace=[BUSY, odd])
    async with writing_to(script, connected, metrics) as follower:
        with pytest.raises(ClusterUnavailable) as raised:
            await follower.writer.update("demo", renamed, dry_run=False)

    assert raised.value.unclear


async def test_a_write_that_was_never_sent_is_not_said_to_be_unclear(connected: Connect, metrics: Metrics) -> None:
    script = ScriptedCluster(**LIVE, get=[BUSY])
    async with writing_to(script, connected, metrics) as follower:
        with pytest.raises(ClusterUnavailable) as raised:
            await follower.writer.update("demo", renamed, dry_run=False)

    assert not raised.value.unclear


async def test_a_cluster_that_keeps_failing_is_not_pressed(connected: Connect, metrics: Metrics) -> None:
    script = ScriptedCluster(**LIVE, get=[answer(HELD)], replace=[BUSY], delete=[BUSY])
    async with writing_to(script, connected, metrics) as follower:
        with pytest.raises(ClusterUnavailable):
            await follower.writer.update("demo", renamed, dry_run=False)
        with pytest.raises(ClusterUnavailable):
            await follower.writer.delete("demo", allow, dry_run=False)

    assert len(script.seen("replace")) == len(script.seen("delete")) == 2


async def test_a_create_that_was_not_carried_out_is_sent_again(connected: Connect, metrics: Metrics) -> None:
    script = ScriptedCluster(
        **LIVE, get=[NOT_FOUND], create=[BUSY, answer(resource("other", 7, display_name="Demo"), status=201)]
    )
    async with writing_to(script, connected, metrics) as follower:
        await follower.writer.create(a_segment("other"), dry_run=False)

    assert len(script.seen("create")) == 2


async def test_a_create_that_another_forestalled_is_refused(connected: Connect, metrics: Metrics) -> None:
    script = ScriptedCluster(**LIVE, get=[answer(resource("other", 7))], create=[BUSY])
    async with writing_to(script, connected, metrics) as follower:
        with pytest.raises(AlreadyExists):
            await follower.writer.create(a_segment("other"), dry_run=False)

    assert len(script.seen("create")) == 1


async def test_a_dry_run_that_fails_is_not_repeated(connected: Connect, metrics: Metrics) -> None:
    script = ScriptedCluster(**LIVE, get=[answer(HELD)], replace=[BUSY])
    async with writing_to(script, connected, metrics) as follower:
        with pytest.raises(ClusterUnavailable):
            await follower.writer.update("demo", renamed, dry_run=True)

    assert len(script.seen("replace")) == 1


async def test_rights_that_are_missing_are_no_reason_to_try_again(connected: Connect, metrics: Metrics) -> None:
    script = ScriptedCluster(**LIVE, get=[answer(HELD)], replace=[failure(403, "Forbidden")])
    async with writing_to(script, connected, metrics) as follower:
        with pytest.raises(ClusterForbids):
            await follower.writer.update("demo", renamed, dry_run=False)

    assert len(script.seen("replace")) == 1


@pytest.mark.parametrize("refusal", [failure(405, "MethodNotAllowed"), failure(409, "SomethingNew")])
async def test_a_refusal_for_whatever_reason_is_final(connected: Connect, metrics: Metrics, refusal: Step) -> None:
    script = ScriptedCluster(**LIVE, get=[answer(HELD)], create=[refusal], replace=[refusal], delete=[refusal])
    async with writing_to(script, connected, metrics) as follower:
        with pytest.raises(UnexpectedAnswer):
            await follower.writer.create(a_segment("other"), dry_run=False)
        with pytest.raises(UnexpectedAnswer):
            await follower.writer.update("demo", renamed, dry_run=False)
        with pytest.raises(UnexpectedAnswer):
            await follower.writer.delete("demo", allow, dry_run=False)

    assert [kind for kind, _ in script.requests if kind not in LIVE] == ["create", "get", "replace", "get", "delete"]


async def test_a_refusal_by_something_else_than_the_api_server_is_looked_into(
    connected: Connect, metrics: Metrics
) -> None:
    stored = answer(resource("demo", 7, display_name="Renamed"))
    script = ScriptedCluster(**LIVE, get=[answer(HELD)], replace=[text("a proxy's page", status=418), stored])
    async with writing_to(script, connected, metrics) as follower:
        updated = await follower.writer.update("demo", renamed, dry_run=False)

    assert updated.version.revision == 7


async def test_what_was_stored_as_no_segment_is_hidden_and_an_error(connected: Connect, metrics: Metrics) -> None:
    mangled = resource("demo", 7)
    del mangled["metadata"]["annotations"]
    script = ScriptedCluster(**LIVE, get=[answer(HELD)], replace=[answer(mangled)])
    async with writing_to(script, connected, metrics) as follower:
        with pytest.raises(UnexpectedAnswer):
            await follower.writer.update("demo", renamed, dry_run=False)

        assert list(follower.store.hidden) == ["demo"]


async def test_a_delete_whose_revision_cannot_be_learned_is_no_error(connected: Connect, metrics: Metrics) -> None:
    script = ScriptedCluster(**LIVE, get=[answer(HELD)], delete=[DELETED], revision=[BUSY])
    async with writing_to(script, connected, metrics) as follower:
        assert await follower.writer.delete("demo", allow, dry_run=False) is None

        assert follower.store.get("demo") is None


async def test_the_revision_of_a_delete_is_asked_for_within_the_writes_time(
    connected: Connect, metrics: Metrics
) -> None:
    now = 0.0

    async def gone_late(request: Any) -> Any:
        nonlocal now
        now = 8.9
        return await NOT_FOUND(request)

    script = ScriptedCluster(**LIVE, get=[answer(HELD), gone_late], delete=[BUSY], revision=[hang])
    async with (
        script as cluster,
        connected(cluster) as api,
        following(api, metrics, write_clock=lambda: now) as follower,
    ):
        await follower.until_it_shows(demo="demo")
        async with asyncio.timeout(1.5):
            assert await follower.writer.delete("demo", allow, dry_run=False) is None


async def test_a_delete_that_the_watch_told_of_first_needs_no_further_call(
    connected: Connect, metrics: Metrics
) -> None:
    told = asyncio.Event()

    async def watch(request: Any) -> Any:
        await script.count("delete", 1)
        return await stream(event("DELETED", resource("demo", 8)), then="hang")(request)

    async def delete(request: Any) -> Any:
        await told.wait()
        return await DELETED(request)

    script = ScriptedCluster(list=LIVE["list"], watch=[watch], get=[answer(HELD)], delete=[delete])
    async with writing_to(script, connected, metrics) as follower:
        deleting = asyncio.create_task(follower.writer.delete("demo", allow, dry_run=False))
        await follower.until_revision(8)
        told.set()

        assert await deleting == 8
    assert not script.seen("revision")

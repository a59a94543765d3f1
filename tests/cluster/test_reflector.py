"""The reflector keeps the store in step with the cluster, whatever happens to list and watch."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from segsvc.cluster.api import MAX_CALLS
from segsvc.cluster.backoff import Backoff
from segsvc.cluster.reflector import AWAY_SECONDS, Phase
from tests.api.clusters import DISPLAY_NAME, Cluster, Resources, revision_of
from tests.cluster.conftest import following, sample
from tests.support.scripted import (
    ScriptedCluster,
    bookmark,
    event,
    failure,
    hang,
    page,
    resource,
    status_object,
    stream,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segsvc.cluster.api import SegmentApi
    from segsvc.telemetry import Metrics
    from tests.cluster.conftest import Connect, Follower
    from tests.support.faults import Relay
    from tests.support.scripted import Step

QUIET = stream(bookmark(9), then="hang")
"""A watch that proves alive and has nothing to tell."""


# --- clusters in good health


async def test_what_is_there_is_listed_in_pages(
    api: SegmentApi, resources: Resources, metrics: Metrics, cluster: Cluster
) -> None:
    for number in range(5):
        await resources.create(f"demo-{number}")

    async with following(api, metrics, page_sizes=(2,)) as follower:
        await follower.until_it_shows(**{f"demo-{number}": f"demo-{number}" for number in range(5)})

        assert len(follower.store) == 5
        assert follower.store.revision == await resources.revision()
        assert sample(metrics, "segsvc_relists_total", reason="start") == 1


async def test_what_others_do_is_followed(follower: Follower, resources: Resources) -> None:
    await resources.create("demo")
    await follower.until_it_shows(demo="demo")
    await resources.annotate("demo", display_name="Changed")
    await follower.until_it_shows(demo="Changed")
    await resources.delete("demo")
    await follower.until_it_shows(demo=None)

    assert follower.reflector.phase is Phase.WATCHING


async def test_changes_that_came_in_one_go_all_arrive(follower: Follower, resources: Resources) -> None:
    names = [f"demo-{number}" for number in range(30)]
    await asyncio.gather(*(resources.create(name) for name in names))

    await follower.until_it_shows(**{name: name for name in names})


async def test_incompatible_resources_are_hidden_and_logged_once_for_each_state(
    api: SegmentApi, resources: Resources, metrics: Metrics, logged: list[Any]
) -> None:
    listed = await resources.create("listed", annotations={})
    async with following(api, metrics) as follower:
        await follower.until_it_shows(listed=None)
        told = await resources.create("told", annotations={DISPLAY_NAME: "x", "segment.grnry.io/roles": "nonsense"})
        await resources.create("demo")
        await follower.until_it_shows(demo="demo", listed=None, told=None)
        assert sorted(follower.store.hidden) == ["listed", "told"]

        await resources.annotate("listed", display_name="Mended")
        broken = await resources.annotate("demo", display_name=" ")
        await follower.until_it_shows(listed="Mended", demo=None)

    entries = [entry for entry in logged if entry["event"] == "incompatible_resource"]
    assert [(entry["id"], entry["resource_version"]) for entry in entries] == [
        ("listed", revision_of(listed)),
        ("told", revision_of(told)),
        ("demo", revision_of(broken)),
    ]
    assert all(entry["reason"] for entry in entries)
    assert sample(metrics, "segsvc_incompatible_resources_total") == 3


async def test_a_resource_that_is_being_deleted_is_hidden_at_once(follower: Follower, resources: Resources) -> None:
    await resources.create("demo", finalizers=["example.com/hold"])
    await follower.until_it_shows(demo="demo")

    await resources.delete("demo")
    await follower.until_it_shows(demo=None)
    assert list(follower.store.hidden) == ["demo"]

    await resources.patch("demo", {"metadata": {"finalizers": None}})
    await follower.until_revision(await resources.revision())
    assert list(follower.store.hidden) == []


async def test_after_an_outage_the_watch_goes_on_where_it_was(
    connected: Connect, relay: Relay, resources: Resources, metrics: Metrics
) -> None:
    await resources.create("stays")
    async with connected(relay) as api, following(api, metrics) as follower:
        await follower.until_it_shows(stays="stays")
        await relay.cut()
        await resources.create("created-meanwhile")
        await resources.delete("stays")
        await relay.mend()
        await follower.until_it_shows(stays=None, **{"created-meanwhile": "created-meanwhile"})

        assert sample(metrics, "segsvc_relists_total", reason="start") == 1
        assert sample(metrics, "segsvc_relists_total", reason="expired") == 0


async def test_while_the_cluster_is_away_the_store_shows_what_it_had_and_grows_old(
    connected: Connect, relay: Relay, resources: Resources, metrics: Metrics
) -> None:
    now = 0.0
    await resources.create("demo")
    async with connected(relay) as api, following(api, metrics, clock=lambda: now) as follower:
        await follower.until_it_shows(demo="demo")
        await relay.cut()
        now = 100.0

        assert follower.reflector.age() == 100.0
        assert follower.store.get("demo") is not None
        await relay.mend()
        await resources.create("back")
        await follower.until_it_shows(back="back")
        assert follower.reflector.age() == 0.0


# --- clusters in trouble


def found(name: str, revision: int) -> dict[str, Any]:
    return resource(name, revision)


@pytest.mark.parametrize(
    "trouble",
    [
        text("<html>no backend</html>", status=503, content_type="text/html"),
        text("404 page not found", status=404),
        failure(401, "Unauthorized"),
        failure(403, "Forbidden"),
        failure(500, "InternalError"),
        failure(410, "Expired"),
        text("<html>a portal</html>", status=200, content_type="text/html"),
        stream(b'{"items": [', then="cut"),
        hang,
    ],
)
async def test_a_list_that_fails_is_begun_anew(connected: Connect, metrics: Metrics, trouble: Step) -> None:
    whole = [page(found("demo", 4), revision=5, more="token"), page(found("other", 3), revision=5)]
    script = ScriptedCluster(list=[page(found("stale", 2), revision=3, more="token"), trouble, *whole], watch=[QUIET])
    async with script as cluster, connected(cluster, list_silence=0.3) as api, following(api, metrics) as follower:
        await follower.until_it_shows(demo="demo", other="other", stale=None)

        assert [request.query.get("continue") for request in cluster.seen("list")] == [None, "token", None, "token"]


@pytest.mark.parametrize(
    "trouble",
    [
        text("<html>no backend</html>", status=503, content_type="text/html"),
        text("404 page not found", status=404),
        failure(429, "TooManyRequests", Retry_After="0"),
        failure(401, "Unauthorized"),
        failure(403, "Forbidden"),
        stream(event("ADDED", found("new", 6))[:-20], then="cut"),
        stream(event("ERROR", {"kind": "Status", "code": 500})),
        stream(),
        hang,
    ],
)
async def test_a_watch_that_fails_is_taken_up_again_without_a_list(
    connected: Connect, metrics: Metrics, trouble: Step
) -> None:
    whole = stream(event("ADDED", found("new", 6)), then="hang")
    script = ScriptedCluster(list=[page(revision=5)], watch=[trouble, whole])
    async with script as cluster, connected(cluster, call_timeout=0.3) as api, following(api, metrics) as follower:
        await follower.until_it_shows(new="new")

        assert len(cluster.seen("list")) == 1
        assert [request.query["resourceVersion"] for request in cluster.seen("watch")] == ["5", "5"]


async def test_each_watch_begins_where_the_last_one_got_to(connected: Connect, metrics: Metrics) -> None:
    watches = [stream(event("ADDED", found("demo", 6))), stream(bookmark(8)), QUIET]
    script = ScriptedCluster(list=[page(revision=5)], watch=watches)
    async with script as cluster, connected(cluster) as api, following(api, metrics) as follower:
        await follower.until_revision(9)

        assert [request.query["resourceVersion"] for request in cluster.seen("watch")] == ["5", "6", "8"]
        for request in cluster.seen("watch"):
            assert request.query["allowWatchBookmarks"] == "true"
            assert 300 <= int(request.query["timeoutSeconds"]) <= 600


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (failure(410, "Expired"), "expired"),
        (failure(504, "Timeout", "Too large resource version: 9, current: 5"), "expired"),
        (stream(event("ERROR", status_object(410, "Expired"))), "expired"),
        (stream(bookmark(6), event("ERROR", {"kind": "Status", "code": 410})), "expired"),
        (stream(b"nonsense\n"), "unusable_answer"),
        (stream(event("ERROR", {})), "unusable_answer"),
        (stream(then="hang"), "silent_watch"),
    ],
)
async def test_a_watch_that_leads_nowhere_makes_for_a_new_list(
    connected: Connect, metrics: Metrics, trouble: Step, reason: str
) -> None:
    lists = [page(found("gone", 4), found("kept", 3), revision=5), page(found("kept", 3), found("new", 7), revision=9)]
    script = ScriptedCluster(list=lists, watch=[trouble, stream(bookmark(10), then="hang")])
    async with script as cluster, connected(cluster, idle_timeout=0.3) as api, following(api, metrics) as follower:
        await follower.until_it_shows(gone=None, kept="kept", new="new")
        await follower.until_revision(10)

        assert [request.query["resourceVersion"] for request in cluster.seen("watch")][:2] == ["5", "9"]
        assert sample(metrics, "segsvc_relists_total", reason=reason) == 1


async def test_a_cluster_restored_from_a_backup_is_believed(connected: Connect, metrics: Metrics) -> None:
    again = resource("again", 40, display_name="Otherwise")  # the same version, and all the same another one
    lists = [
        page(found("demo", 90), found("lost", 95), found("again", 40), revision=100),
        page(found("demo", 40), again, revision=50),
    ]
    script = ScriptedCluster(list=lists, watch=[stream(then="hang"), stream(bookmark(60), then="hang")])
    async with script as cluster, connected(cluster, idle_timeout=0.2) as api, following(api, metrics) as follower:
        await follower.until_it_shows(demo="demo", lost=None, again="Otherwise")
        await cluster.count("watch", 2)

        assert cluster.seen("watch")[1].query["resourceVersion"] == "50"


async def test_a_cluster_that_came_back_with_an_earlier_revision_is_listed_anew(
    connected: Connect, metrics: Metrics
) -> None:
    lists = [page(found("lost", 95), revision=100), page(found("demo", 40), revision=50)]
    watches = [stream(bookmark(101), then="cut"), stream(bookmark(60), then="hang")]
    script = ScriptedCluster(list=lists, watch=watches, revision=[page(revision=50)])
    async with script as cluster, connected(cluster) as api, following(api, metrics) as follower:
        await follower.until_it_shows(demo="demo", lost=None)
        await cluster.count("watch", 2)

        assert cluster.seen("watch")[1].query["resourceVersion"] == "50"
        assert sample(metrics, "segsvc_relists_total", reason="restored") == 1


class Time:
    """A clock that stands still but for what is said to last, and for pauses, which last five seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def lasting(self, seconds: float, step: Step) -> Step:
        """Have a step take so long."""

        async def slowly(request: Any) -> Any:
            self.now += seconds
            return await step(request)

        return slowly

    @property
    def backoff(self) -> Backoff:
        def pause(_low: float, _high: float) -> float:
            self.now += 5
            return 0.01

        return Backoff(base=0.01, cap=0.01, uniform=pause)


ANSWERED = page(revision=150)
REFUSED = failure(503, "ServiceUnavailable")
BROKEN = stream(bookmark(101), then="cut")
NEW_WATCH = stream(bookmark(160), then="hang")


@pytest.mark.parametrize(
    ("lasting", "watches", "checks", "is_listed"),
    [
        # refused twice, with a pause in between; refused once, and answered at last
        (0, [BROKEN], [(0, REFUSED), (0, REFUSED)], True),
        (0, [BROKEN], [(0, failure(403, "Forbidden"))], True),
        (0, [BROKEN], [(AWAY_SECONDS, ANSWERED)], True),
        (0, [BROKEN], [(AWAY_SECONDS / 2, ANSWERED)], False),
        # the watch was not opened
        (AWAY_SECONDS, [REFUSED], [], True),
        (AWAY_SECONDS / 2, [REFUSED], [], False),
        # it broke off however old it was, or was refused at once: our pauses alone are no outage
        (600, [BROKEN, BROKEN], [], False),
        (0, [REFUSED, REFUSED, BROKEN, REFUSED], [], False),
    ],
)
async def test_a_cluster_that_was_away_for_long_enough_to_be_restored_is_listed(
    connected: Connect,
    metrics: Metrics,
    *,
    lasting: float,
    watches: list[Step],
    checks: list[tuple[float, Step]],
    is_listed: bool,
) -> None:
    clock = Time()
    script = ScriptedCluster(
        list=[page(found("lost", 95), revision=100), page(found("demo", 40), revision=150)],
        watch=[*(clock.lasting(lasting, watch) for watch in watches), NEW_WATCH],
        revision=[*(clock.lasting(seconds, check) for seconds, check in checks), ANSWERED],
    )
    async with (
        script as cluster,
        connected(cluster) as api,
        following(api, metrics, clock=clock, backoff=clock.backoff) as follower,
    ):
        await follower.until_revision(160)

        assert (follower.store.get("demo") is not None) == is_listed
        assert sample(metrics, "segsvc_relists_total", reason="away") == is_listed
        assert len(cluster.seen("list")) == 1 + is_listed


async def test_a_connection_that_was_dead_for_long_makes_for_a_new_list(connected: Connect, metrics: Metrics) -> None:
    clock = Time()

    async def die(request: Any) -> Any:
        follower.store.listen(lambda _: setattr(clock, "now", AWAY_SECONDS))  # once the bookmark has been taken in
        return await stream(bookmark(101), then="hang")(request)

    lists = [page(found("lost", 95), revision=100), page(found("demo", 40), revision=150)]
    script = ScriptedCluster(list=lists, watch=[die, NEW_WATCH])
    async with (
        script as cluster,
        connected(cluster, idle_timeout=0.2) as api,
        following(api, metrics, clock=clock) as follower,
    ):
        await follower.until_it_shows(demo="demo", lost=None)

        assert sample(metrics, "segsvc_relists_total", reason="away") == 1


async def test_calls_that_hang_hold_up_neither_list_nor_watch(connected: Connect, metrics: Metrics) -> None:
    all_hang = asyncio.Event()

    async def end(request: Any) -> Any:
        await all_hang.wait()
        return await stream(bookmark(6), then="cut")(request)

    lists = [page(revision=5), page(found("new", 7), revision=8)]
    script = ScriptedCluster(list=lists, watch=[end, failure(410, "Expired"), QUIET], get=[hang])
    async with script as cluster, connected(cluster, call_timeout=30) as api, following(api, metrics) as follower:
        calls = [asyncio.create_task(api.get("demo")) for _ in range(MAX_CALLS + 5)]
        await cluster.count("get", MAX_CALLS)
        all_hang.set()
        await follower.until_it_shows(new="new")
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


async def test_what_a_list_shows_unchanged_is_kept_and_not_held_twice(connected: Connect, metrics: Metrics) -> None:
    lists = [
        page(found("kept", 3), found("changed", 4), revision=5),
        page(found("kept", 3), found("changed", 7), revision=8),
    ]
    script = ScriptedCluster(list=lists, watch=[stream(bookmark(6), event("ERROR", {"code": 410})), QUIET])
    async with script as cluster, connected(cluster) as api, following(api, metrics) as follower:
        await follower.until_revision(6)
        before = {name: follower.store.get(name) for name in ("kept", "changed")}
        await follower.until_revision(9)

        assert follower.store.get("kept") is before["kept"]
        assert follower.store.get("changed") is not before["changed"]


async def test_a_connection_that_died_after_an_event_is_taken_up_without_a_list(
    connected: Connect, metrics: Metrics
) -> None:
    watches = [stream(event("ADDED", found("demo", 6)), then="hang"), stream(bookmark(7), then="hang")]
    script = ScriptedCluster(list=[page(revision=5)], watch=watches)
    async with script as cluster, connected(cluster, idle_timeout=0.2) as api, following(api, metrics) as follower:
        await follower.until_revision(7)

        assert len(cluster.seen("list")) == 1


@pytest.mark.parametrize(
    "watch", [stream(), stream(bookmark(5)), text("<html>", status=503), failure(410, "Expired"), stream(b"nonsense\n")]
)
async def test_a_cluster_in_permanent_trouble_is_not_flooded(connected: Connect, metrics: Metrics, watch: Step) -> None:
    script = ScriptedCluster(list=[page(revision=5)], watch=[watch])
    async with script as cluster, connected(cluster) as api, following(api, metrics):
        await cluster.count("watch", 4)
        before = asyncio.get_running_loop().time()
        await cluster.count("watch", 8)

    # four pauses, each of 0.01 s at the least
    assert asyncio.get_running_loop().time() - before > 0.04


async def test_the_time_that_the_cluster_asks_for_is_granted(connected: Connect, metrics: Metrics) -> None:
    script = ScriptedCluster(list=[page(revision=5)], watch=[failure(429, "TooMany", Retry_After="1"), QUIET])
    async with script as cluster, connected(cluster) as api, following(api, metrics):
        await cluster.count("watch", 1)
        before = asyncio.get_running_loop().time()
        await cluster.count("watch", 2)

    assert asyncio.get_running_loop().time() - before > 0.9


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"metadata": None},
        {"metadata": {"name": "x", "uid": "u"}},
        {"metadata": {"name": "x", "resourceVersion": "6"}},
        {"metadata": {"uid": "u", "resourceVersion": "6"}},
        {"metadata": {"name": "x", "uid": "u", "resourceVersion": "six"}},
        {"metadata": {"name": "x", "uid": "u", "resourceVersion": "6", "annotations": ["no", "map"]}},
        {"metadata": {"name": "x", "uid": "u", "resourceVersion": "6", "annotations": {DISPLAY_NAME: 5}}},
        {"metadata": {"name": "x", "uid": "u", "resourceVersion": "6"}, "spec": ["no", "object"]},
    ],
)
async def test_one_odd_object_harms_no_other(
    connected: Connect, metrics: Metrics, odd: dict[str, Any], logged: list[Any]
) -> None:
    watch = stream(
        event("ADDED", odd),
        event("DELETED", odd),
        event("BOOKMARK", {}),
        event("NEW_KIND", {}),
        event("ADDED", found("told", 9)),
        then="hang",
    )
    script = ScriptedCluster(list=[page(odd, found("listed", 3), revision=5)], watch=[watch])
    async with script as cluster, connected(cluster) as api, following(api, metrics) as follower:
        await follower.until_it_shows(listed="listed", told="told")

        assert len(cluster.seen("list")) == 1
        assert len(follower.store) == 2
    assert {entry["event"] for entry in logged} >= {"resource_skipped", "watch_event_unknown"}


def with_metadata(**metadata: Any) -> dict[str, Any]:
    """Return a resource that is good but for this in its metadata."""
    good = found("x", 6)
    return {**good, "metadata": {**good["metadata"], **metadata}}


@pytest.mark.parametrize(
    "odd",
    [
        with_metadata(name=7),
        with_metadata(name='x","id":"y'),
        with_metadata(name="x\ny"),
        with_metadata(creationTimestamp="2024-01-01T00:)0:00Z"),
        with_metadata(annotations={DISPLAY_NAME: "x", "segment.grnry.io/description": 5}),
    ],
)
async def test_what_no_page_could_show_is_not_taken_in(
    connected: Connect, metrics: Metrics, odd: dict[str, Any]
) -> None:
    watch = stream(event("ADDED", odd), event("ADDED", found("told", 9)), then="hang")
    script = ScriptedCluster(list=[page(odd, found("listed", 3), revision=5)], watch=[watch])
    async with script as cluster, connected(cluster) as api, following(api, metrics) as follower:
        await follower.until_it_shows(listed="listed", told="told")

        assert len(cluster.seen("list")) == 1
        assert len(follower.store) == 2


async def test_a_list_is_asked_for_whole_and_in_ever_smaller_pages_while_it_breaks_off(
    connected: Connect, metrics: Metrics
) -> None:
    broken, expired = stream(b'{"apiVersion":"v1","items":[', then="cut"), stream(event("ERROR", {"code": 410}))
    lists = [broken, broken, broken, page(found("demo", 4), revision=5)]
    script = ScriptedCluster(list=lists, watch=[expired, QUIET])
    async with script as cluster, connected(cluster) as api, following(api, metrics) as follower:
        await follower.until_revision(9)

        assert [request.query.get("limit") for request in cluster.seen("list")] == [None, "5000", "500", "500", None]


@pytest.mark.parametrize("trouble", [failure(429, "TooManyRequests", Retry_After="0"), failure(401, "Unauthorized")])
async def test_a_list_that_did_not_begin_is_asked_for_whole_again(
    connected: Connect, metrics: Metrics, trouble: Step
) -> None:
    script = ScriptedCluster(list=[trouble, page(found("demo", 4), revision=5)], watch=[QUIET])
    async with script as cluster, connected(cluster) as api, following(api, metrics) as follower:
        await follower.until_it_shows(demo="demo")

        assert [request.query.get("limit") for request in cluster.seen("list")] == [None, None]


async def test_pages_that_were_not_asked_for_are_one_list(connected: Connect, metrics: Metrics) -> None:
    lists = [page(found("demo", 4), revision=5, more="token"), page(found("other", 3), revision=5)]
    script = ScriptedCluster(list=lists, watch=[QUIET])
    async with script as cluster, connected(cluster) as api, following(api, metrics) as follower:
        await follower.until_it_shows(demo="demo", other="other")

        assert [request.query.get("continue") for request in cluster.seen("list")] == [None, "token"]


async def test_the_collector_is_at_ease_while_a_list_is_taken_in_and_no_longer(
    connected: Connect, metrics: Metrics
) -> None:
    steps: list[str] = []

    @contextmanager
    def collector() -> Iterator[None]:
        steps.append("at ease")
        try:
            yield
            steps.append("taken in")
        finally:
            steps.append("at work")

    script = ScriptedCluster(list=[failure(500, "InternalError"), page(found("demo", 4), revision=5)], watch=[QUIET])
    async with (
        script as cluster,
        connected(cluster) as api,
        following(api, metrics, collector=collector) as follower,
    ):
        await follower.until_revision(9)
        assert steps == ["at ease", "at work", "at ease", "taken in", "at work"]


async def test_what_the_api_server_writes_beside_a_segment_does_not_matter(
    api: SegmentApi, resources: Resources, metrics: Metrics
) -> None:
    owners = [
        {
            "apiVersion": "segment.grnry.io/v1alpha1",
            "kind": "Segment",
            "name": f"owner-{number}",
            "uid": f"uid-{number}",
        }
        for number in range(3)
    ]
    name = '},{"apiVersion":"segment.grnry.io/v1alpha1","kind":"Segment","metadata":{ \\" é 客户 \U0001f600 <&>\u2028'
    for number in range(150):
        odd = {"ownerReferences": owners, "finalizers": ["example.com/hold"]} if number % 3 else {}
        annotations = {DISPLAY_NAME: f"{name} {number}", "example.com/other": name}
        await resources.create(f"demo-{number}", annotations=annotations, **odd)
        await resources.annotate(f"demo-{number}", description=name)

    async with following(api, metrics) as follower:
        await follower.until_it_shows(**{f"demo-{number}": f"{name} {number}" for number in range(150)})

        assert len(follower.store) == 150
        assert follower.store.revision == await resources.revision()


async def test_listing_many_objects_leaves_others_their_turn(connected: Connect, metrics: Metrics) -> None:
    many = page(*(found(f"demo-{number:05}", number + 1) for number in range(20_000)), revision=50_000)
    async with ScriptedCluster(list=[many], watch=[QUIET]) as cluster, connected(cluster) as api:
        loop = asyncio.get_running_loop()
        gaps: list[float] = []

        async def tick() -> None:
            last = loop.time()
            while True:
                await asyncio.sleep(0)
                gaps.append(loop.time() - last)
                last = loop.time()

        async with following(api, metrics) as follower:
            await cluster.count("list", 1)
            ticking = asyncio.create_task(tick())
            await follower.until_it_shows(**{"demo-19999": "demo-19999"})
            ticking.cancel()

    # decoding takes some tenths of a second; unbroken, it would be one of a handful of long gaps
    assert sum(gap > 0.002 for gap in gaps) > 10

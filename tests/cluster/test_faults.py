"""What calls make of clusters that are ill, misconfigured, or no clusters at all."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from segsvc.cluster import api as api_module
from segsvc.cluster.errors import (
    ClusterError,
    ClusterForbids,
    ClusterUnavailable,
    EventTooLarge,
    Expired,
    InvalidResource,
    ResourceNotFound,
    ResourceTooLarge,
    UnexpectedAnswer,
    WatchBroken,
    WatchStalled,
)
from tests.cluster.conftest import listed
from tests.support.scripted import (
    ScriptedCluster,
    answer,
    bookmark,
    drop,
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
    from tests.cluster.conftest import Connect
    from tests.support.scripted import Step

NAMED = {"kind": "segments", "name": "demo"}


async def get_error(connected: Connect, step: Step, **options: Any) -> ClusterError:
    """Return what a get raises when the cluster answers so."""
    async with ScriptedCluster(get=[step]) as cluster, connected(cluster, **options) as api:
        with pytest.raises(ClusterError) as raised:
            await api.get("demo")
        return raised.value


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (failure(404, "NotFound", details=NAMED), ResourceNotFound),
        (failure(410, "Expired"), Expired),
        (failure(413, "RequestEntityTooLarge"), ResourceTooLarge),
        (failure(500, "", "etcdserver: request is too large"), ResourceTooLarge),
        (failure(500, "", "rpc error: trying to send message larger than max"), ResourceTooLarge),
        (failure(400, "BadRequest"), InvalidResource),
        (failure(504, "Timeout", "Too large resource version: 9, current: 5"), Expired),
        (failure(409, "Weird"), UnexpectedAnswer),
        (answer(["no object"]), UnexpectedAnswer),
        (text("<html>a portal</html>", status=200, content_type="text/html"), UnexpectedAnswer),
        (text('{"cut": ', status=200), UnexpectedAnswer),
        (text("teapot", status=418), UnexpectedAnswer),
        (answer({"code": 404, "details": "text", "message": 7}, status=404), ClusterUnavailable),
        (failure(422, "Invalid", details={"causes": 7}), InvalidResource),
        (failure(422, "Invalid", details={"causes": [7, None]}), InvalidResource),
    ],
)
async def test_each_answer_has_its_error(connected: Connect, step: Step, expected: type[ClusterError]) -> None:
    assert type(await get_error(connected, step)) is expected


@pytest.mark.parametrize(
    ("step", "unclear", "retry_after"),
    [
        (text("<html>no backend</html>", status=503, content_type="text/html"), True, None),
        (text("slow down", status=429, Retry_After="7"), False, 7.0),
        (text("slow down", status=429, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"), False, None),
        (text("slow down", status=429, Retry_After="86400"), False, 300.0),
        (text("slow down", status=429, Retry_After="9" * 400), False, 300.0),
        (failure(429, "TooManyRequests", details={"retryAfterSeconds": {}}), False, None),
        (failure(429, "TooManyRequests", details={"retryAfterSeconds": 3}), False, 3.0),
        (failure(503, "ServiceUnavailable", Retry_After="2"), True, 2.0),
        (failure(500, "InternalError", "failed calling webhook"), True, None),
        (failure(401, "Unauthorized"), False, None),
        (text("404 page not found", status=404), False, None),
        (failure(404, "NotFound", details={"kind": "namespaces", "name": "demo"}), False, None),
        (drop, True, None),
    ],
)
async def test_an_unavailable_cluster_says_when_to_come_back_and_whether_a_write_may_have_happened(
    connected: Connect, step: Step, unclear: bool, retry_after: float | None
) -> None:
    error = await get_error(connected, step)

    assert type(error) is ClusterUnavailable
    assert (error.unclear, error.retry_after) == (unclear, retry_after)


async def test_a_cluster_that_cannot_be_reached_has_certainly_written_nothing(connected: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    cluster = ScriptedCluster()
    cluster.url = url
    async with connected(cluster) as api:
        with pytest.raises(ClusterUnavailable) as raised:
            await api.get("demo")

    assert not raised.value.unclear


async def test_a_hung_cluster_is_given_up_in_time_even_by_more_calls_than_connections(connected: Connect) -> None:
    async with ScriptedCluster(get=[hang]) as cluster, connected(cluster, call_timeout=0.3) as api:
        started = time.monotonic()
        calls = [api.get("demo") for _ in range(api_module.MAX_CALLS + 5)]
        errors = await asyncio.gather(*calls, return_exceptions=True)

    assert {type(error) for error in errors} == {ClusterUnavailable}
    assert time.monotonic() - started < 5


async def test_a_call_can_be_given_less_time(connected: Connect) -> None:
    async with ScriptedCluster(get=[hang]) as cluster, connected(cluster) as api:
        started = time.monotonic()
        with pytest.raises(ClusterUnavailable):
            await api.get("demo", within=0.1)

    assert time.monotonic() - started < 5


async def test_calls_are_answered_while_watches_hang(connected: Connect) -> None:
    script = ScriptedCluster(watch=[stream(then="hang")], get=[answer(resource("demo", 5))])
    async with script as cluster, connected(cluster) as api:
        watch = asyncio.create_task(anext(api.watch(revision=1, timeout_seconds=60)))
        await cluster.count("watch", 1)
        assert await api.get("demo") == resource("demo", 5)
        watch.cancel()
        await asyncio.wait([watch])


async def test_refused_credentials_and_missing_rights_are_logged_for_the_operator(
    connected: Connect, logged: list[Any]
) -> None:
    message = 'User "system:serviceaccount:a:b" cannot get resource "segments"'
    refused = await get_error(connected, failure(401, "Unauthorized"))
    forbidden = await get_error(connected, failure(403, "Forbidden", message))

    assert type(refused) is ClusterUnavailable
    assert type(forbidden) is ClusterForbids
    assert {"event": "cluster_credentials_refused", "verb": "get"}.items() <= logged[0].items()
    assert {"event": "cluster_forbids", "verb": "get", "message": message}.items() <= logged[1].items()


@pytest.mark.parametrize(
    "body",
    [
        {"items": [], "metadata": {}},
        {"items": [], "metadata": {"resourceVersion": "abc"}},
        {"items": {}, "metadata": {"resourceVersion": "1"}},
        {"metadata": {"resourceVersion": "1"}},
        {"items": []},
    ],
)
async def test_a_list_that_is_none_is_unexpected(connected: Connect, body: Any) -> None:
    async with ScriptedCluster(list=[answer(body)]) as cluster, connected(cluster) as api:
        with pytest.raises(UnexpectedAnswer):
            await listed(api)


# --- watches


async def watched(connected: Connect, *steps: Step, **options: Any) -> tuple[list[str], ClusterError | None]:
    """Return the types of the events of a watch, and what ended it."""
    types: list[str] = []
    async with ScriptedCluster(watch=list(steps)) as cluster, connected(cluster, **options) as api:
        try:
            async with aclosing(api.watch(revision=5, timeout_seconds=60)) as events:
                async for each in events:
                    types.append(each.type)  # noqa: PERF401 -- those before an error count
        except ClusterError as error:
            return types, error
    return types, None


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (text("<html>no backend</html>", status=503, content_type="text/html"), ClusterUnavailable),
        (text("slow down", status=429), ClusterUnavailable),
        (text("404 page not found", status=404), ClusterUnavailable),
        (failure(410, "Expired"), Expired),
        (text("hello\n", status=200), UnexpectedAnswer),
        (stream(b'{"type":"ADDED"}\n'), UnexpectedAnswer),
        (stream(event("ERROR", status_object(410, "Expired"))), Expired),
        (stream(event("ERROR", {"kind": "Status", "code": 410})), Expired),
        (stream(event("ERROR", {"kind": "Status", "code": 500, "message": "etcd leader changed"})), WatchBroken),
        (stream(event("ERROR", {})), UnexpectedAnswer),
        (stream(event("ADDED", resource("demo", 6))[:-20]), WatchBroken),
        (stream(event("ADDED", resource("demo", 6))[:-20], then="cut"), WatchBroken),
        (drop, ClusterUnavailable),
    ],
)
async def test_a_watch_that_fails_says_how(connected: Connect, step: Step, expected: type[ClusterError]) -> None:
    types, error = await watched(connected, step)

    assert types == []
    assert type(error) is expected


async def test_events_arrive_whole_however_the_stream_is_cut_up(connected: Connect) -> None:
    events = event("ADDED", resource("démo", 6)) + event("MODIFIED", resource("demo", 7)) + bookmark(8)
    pieces = [events[start : start + 7] for start in range(0, len(events), 7)]

    assert await watched(connected, stream(*pieces)) == (["ADDED", "MODIFIED", "BOOKMARK"], None)


async def test_an_event_of_many_megabytes_is_taken_in(connected: Connect) -> None:
    large = event("ADDED", resource("demo", 6, display_name="x" * 6_000_000))

    assert await watched(connected, stream(large)) == (["ADDED"], None)


async def test_an_event_beyond_all_measure_ends_the_watch(connected: Connect) -> None:
    large = event("ADDED", resource("demo", 6, display_name="x" * (api_module.MAX_EVENT * 3 // 2)))
    types, error = await watched(connected, stream(bookmark(6), large))

    assert types == ["BOOKMARK"]
    assert type(error) is EventTooLarge


async def test_a_watch_that_falls_silent_is_noticed(connected: Connect) -> None:
    types, error = await watched(connected, stream(bookmark(6), then="hang"), idle_timeout=0.2)

    assert types == ["BOOKMARK"]
    assert type(error) is WatchStalled


async def test_a_watch_that_is_never_opened_is_given_up(connected: Connect) -> None:
    _, error = await watched(connected, hang, call_timeout=0.2)

    assert type(error) is ClusterUnavailable


@pytest.mark.parametrize(
    "trouble", [hang, stream(then="hang"), stream(b'{"items": [', then="hang"), stream(b'{"items": [', then="cut")]
)
async def test_a_list_that_falls_silent_is_given_up(connected: Connect, trouble: Step) -> None:
    async with ScriptedCluster(list=[trouble]) as cluster, connected(cluster, list_silence=0.2) as api:
        with pytest.raises(ClusterUnavailable):
            await listed(api)


def trickle(body: bytes, *, chunks: int, pause: float) -> Step:
    """An answer that comes bit by bit."""

    async def step(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        size = len(body) // chunks + 1
        for start in range(0, len(body), size):
            await response.write(body[start : start + size])
            await asyncio.sleep(pause)
        return response

    return step


WHOLE = json.dumps({"metadata": {"resourceVersion": "7"}, "items": [resource("demo", 5)]}).encode()


async def test_a_slow_list_has_time_for_as_long_as_it_makes_progress(connected: Connect) -> None:
    slow = trickle(WHOLE, chunks=30, pause=0.05)
    async with ScriptedCluster(list=[slow]) as cluster, connected(cluster, list_silence=1, call_timeout=0.1) as api:
        assert await listed(api) == ([resource("demo", 5)], (7, None))


async def test_a_list_that_never_ends_is_given_up(connected: Connect) -> None:
    endless = trickle(WHOLE, chunks=len(WHOLE), pause=0.05)
    async with ScriptedCluster(list=[endless]) as cluster, connected(cluster, list_timeout=0.5) as api:
        with pytest.raises(ClusterUnavailable):
            await listed(api)


async def test_a_list_that_was_left_early_disturbs_no_other(connected: Connect) -> None:
    many = page(*(resource(f"demo-{number:05}", number + 1) for number in range(1000)), revision=5000)
    async with ScriptedCluster(list=[many]) as cluster, connected(cluster) as api:
        async with aclosing(api.list()) as parts:
            await anext(parts)
        found, end = await listed(api)

    assert (len(found), end.revision) == (1000, 5000)


async def test_a_list_is_asked_for_uncompressed_and_never_from_a_cache(connected: Connect) -> None:
    async with ScriptedCluster(list=[page(revision=5)]) as cluster, connected(cluster) as api:
        await listed(api)
        await listed(api, limit=5, continue_token="next please")
        whole, following = cluster.seen("list")

    assert dict(whole.query) == {}
    assert dict(following.query) == {"limit": "5", "continue": "next please"}
    assert whole.headers["Accept-Encoding"] == "identity"

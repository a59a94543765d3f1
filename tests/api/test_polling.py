"""Polls: the answers that are given at once are the ones that the handlers give, and just as fresh."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from tests.api.bodies import EDITOR, VIEWER, body
from tests.api.client import Answer, Client, raw, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.conftest import Deploy, Deployment

ORIGIN = "https://dash.example.com"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# of a connection, and of a moment; aiohttp's own name is in none of the answers that are given at once
VARYING = {"date", "x-trace-id", "x-index-age", "server", "connection"}

PATHS = [
    "/segments",
    "/segments?pagesize=2",
    "/segments?offset=1&pagesize=2",
    "/segments?offset=1&pagesize=2&action=self",
    "/segments?offset=99&pagesize=1000",
    "/segments?pagesize=2&sort=-displayName",
    "/segments?label=a&label=b&_=1",
    "/segments?search=demo%20segmnet&sort=relevance",
    "/segments?search=demo&label=b&offset=1",
    "/segments?search=",
    "/segments?minRevision=1",
    "/segments/demo-1",
    "/segments/demo-1?export=TRUE",
    "/segments/demo-1?action=self&_x=y",
]


@pytest_asyncio.fixture(scope="module")
async def polled(deploy: Deploy) -> AsyncIterator[Deployment]:
    async with deploy(cors_origins=frozenset({ORIGIN})) as deployment:
        for number in range(6):
            labels = ["a", "b"] if number % 2 else ["b"]
            given = body(f"Demo Segment {number}", description="d" * 400, labels=labels)
            assert (await deployment.editor.create(given, f"demo-{number}")).status == 200
        yield deployment


def is_at_once(answer: Answer) -> bool:
    return "Server" not in answer.headers


def told(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """All that an answer says, but for what differs from one moment to the next."""
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in VARYING}
    return answer.status, headers, answer.body


async def by_the_handlers(caller: Client, method: str, path: str, headers: dict[str, str]) -> Answer:
    """Ask with the same headers on a connection that is to end, which is never answered at once."""
    given = [("Authorization", f"Bearer {caller.token}"), *headers.items()]
    answer = await raw(caller.url, request_bytes(method, path, given))
    assert not is_at_once(answer)
    return answer


async def polls(caller: Client, method: str, path: str, headers: dict[str, str]) -> Answer:
    for _ in range(2):  # whatever was not at hand is now, and asked for twice it is kept
        await caller.request(method, path, headers=headers)
    answer = await caller.request(method, path, headers=headers)
    assert is_at_once(answer)
    return answer


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "headers",
    [{}, {"Accept-Encoding": "gzip"}, {"Origin": ORIGIN}, {"Origin": "https://elsewhere.example.com"}],
    ids=["plain", "gzip", "browser", "other-browser"],
)
async def test_an_answer_given_at_once_is_the_handlers(
    polled: Deployment, method: str, path: str, headers: dict[str, str]
) -> None:
    headers = {"Host": "localhost", **headers}
    at_once = await polls(polled.viewer, method, path, headers)
    del headers["Host"]  # the other way has this one already
    assert told(at_once) == told(await by_the_handlers(polled.viewer, method, path, headers))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("accepted", ["identity", "gzip"])
async def test_who_has_it_is_told_so_at_once(polled: Deployment, path: str, accepted: str) -> None:
    headers = {"Host": "localhost", "Accept-Encoding": accepted}
    known = (await polls(polled.viewer, "GET", path, headers)).etag
    at_once = await polls(polled.viewer, "GET", path, {**headers, "If-None-Match": f'"other", {known}'})
    assert at_once.status == 304
    assert "Content-Length" not in at_once.headers
    del headers["Host"]
    other = await by_the_handlers(polled.viewer, "GET", path, {**headers, "If-None-Match": known})
    assert told(at_once) == told(other)


@pytest.mark.parametrize(
    "path",
    [
        "/segments?pagesize=0",
        "/segments?offset=0&pagesize=1001",
        "/segments?unknown=1",
        "/segments?search=" + "x" * 129,
        "/segments/demo-1?export=yes",
        "/segments/no-such-segment",
        "/segments/-",
        "/segments/",
        "/segments/%64emo-1",
        "/openapi.json",
    ],
)
async def test_everything_else_is_left_to_the_handlers(polled: Deployment, path: str) -> None:
    await polled.viewer.get("/segments")
    first, second = await polled.viewer.get(path), await polled.viewer.get(path)
    assert not is_at_once(first)
    assert not is_at_once(second)
    assert first.status == second.status


async def test_who_may_not_read_is_told_by_the_handlers(polled: Deployment) -> None:
    stranger = polled.caller("some_other_role")
    assert (await polls(stranger, "GET", "/segments", {})).json["totalCount"] == 0
    answer = await stranger.read("demo-1")
    assert answer.status == 403
    assert not is_at_once(answer)
    for headers in ({"Authorization": "Bearer a.b.c"}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
        answer = await polled.viewer.list(headers=headers)
        assert answer.status in {401, 403}
        assert not is_at_once(answer)


async def test_a_poll_leaves_the_line_that_every_request_leaves(polled: Deployment) -> None:
    path = "/segments?search=demo&pagesize=3&_secret=1"
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    await polls(polled.viewer, "GET", path, headers)
    with capture_logs() as lines:
        at_once = await polled.viewer.get(path, headers=headers)
        other = await by_the_handlers(polled.viewer, "GET", path, headers)
    assert is_at_once(at_once)
    assert at_once.headers["X-Trace-Id"] == other.headers["X-Trace-Id"] == TRACE
    first, second = ({**line, "duration_ms": None} for line in lines if line["event"] == "request")
    assert first == second
    assert first["query"] == {"search": "demo", "pagesize": "3"}
    assert first["caller"] == "Vera"


async def test_a_poll_is_counted(polled: Deployment) -> None:
    await polls(polled.viewer, "GET", "/segments", {})
    before = await polled.metric("segsvc_http_request_duration_seconds_count")
    await polled.viewer.list()
    assert await polled.metric("segsvc_http_request_duration_seconds_count") == before + 1


class TestFreshness:
    async def test_a_page_that_changes_is_polled_anew(self, alone: Deployment) -> None:
        await alone.editor.create(body("First"), "first")
        await alone.editor.create(body("Second"), "second")
        page = await polls(alone.viewer, "GET", "/segments?offset=0&pagesize=1", {})
        await alone.editor.replace("first", body("First, changed"))
        changed = await alone.viewer.get("/segments?offset=0&pagesize=1")
        assert changed.json["items"][0]["metadata"]["displayName"] == "First, changed"
        assert changed.etag != page.etag

    async def test_a_change_elsewhere_keeps_a_page_and_its_tag(self, alone: Deployment) -> None:
        await alone.editor.create(body("First"), "first")
        await alone.editor.create(body("Second"), "second")
        path = "/segments?offset=0&pagesize=1"
        page = await polls(alone.viewer, "GET", path, {})
        await alone.editor.replace("second", body("Second, changed"))
        same = await alone.viewer.get(path, headers={"If-None-Match": page.etag})
        assert same.status == 304
        assert same.revision > page.revision

    async def test_one_more_segment_changes_the_total_of_every_page(self, alone: Deployment) -> None:
        await alone.editor.create(body("First"), "first")
        path = "/segments?offset=0&pagesize=1"
        page = await polls(alone.viewer, "GET", path, {})
        await alone.editor.create(body("Second"), "second")
        grown = await alone.viewer.get(path, headers={"If-None-Match": page.etag})
        assert grown.status == 200
        assert grown.json["totalCount"] == 2

    async def test_roles_taken_away_are_gone_at_once(self, alone: Deployment) -> None:
        other = alone.caller("team_view")
        await alone.editor.create(body("Shared", roles={"editor": [EDITOR], "viewer": ["team_view"]}), "shared")
        assert (await polls(other, "GET", "/segments", {})).json["totalCount"] == 1
        assert (await polls(other, "GET", "/segments/shared", {})).status == 200
        await alone.editor.replace("shared", body("Shared", roles={"editor": [EDITOR], "viewer": [VIEWER]}))
        assert (await other.list()).json["totalCount"] == 0
        assert (await other.read("shared")).status == 403

    async def test_callers_who_see_different_things_share_nothing(self, alone: Deployment) -> None:
        first, second = alone.caller("team_one"), alone.caller("team_two")
        for team in ("one", "two"):
            roles = {"editor": [EDITOR], "viewer": [f"team_{team}"]}
            await alone.editor.create(body(f"Of {team}", roles=roles), f"of-{team}")
        pages = [await polls(caller, "GET", "/segments", {}) for caller in (first, second)]
        assert [page.ids for page in pages] == [["of-one"], ["of-two"]]
        assert pages[0].etag != pages[1].etag


async def test_pages_of_labels_that_callers_make_up_are_not_kept(polled: Deployment) -> None:
    label = "%F0%9F%98%80" * 100
    for _ in range(3):
        answer = await polled.viewer.get(f"/segments?label={label}")
        assert answer.json["totalCount"] == 0
        assert not is_at_once(answer)


async def test_a_large_page_is_rendered_while_no_others_wait_for_it(polled: Deployment) -> None:
    path = "/segments?pagesize=1000&sort=createdAt"
    answers = [await polled.viewer.get(path) for _ in range(3)]
    assert [is_at_once(answer) for answer in answers] == [False, False, True]


async def test_searches_that_wait_for_each_other_all_get_their_answer(polled: Deployment) -> None:
    equal = [polled.viewer.list(search="Demo Segment 3") for _ in range(10)]
    different = [polled.viewer.list(search=f"demo segment {number}") for number in range(10)]
    answers = await asyncio.gather(*equal, *different)
    assert all(answer.status == 200 for answer in answers)
    assert all("demo-3" in answer.ids for answer in answers[:10])
    assert [f"demo-{number}" in answers[10 + number].ids for number in range(6)] == [True] * 6

"""Requests whose header fields have come in before are answered without being parsed, and are answered the same."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from segsvc.web.bounds import DEFAULT_BOUNDS, Keeper
from segsvc.web.parser import PIECE
from segsvc.web.server import _Server
from tests.web.served import GET_COLD, GET_HOT, Askers, serving
from tests.web.test_rows import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.served import Asker

TURNS = 200
"""Of the event loop: enough for anything."""


class Told:
    """A server that answers each request with who asked for what."""

    def __init__(self) -> None:
        self.askers = Askers()
        self.at_once = 0

        async def handle(request: web.BaseRequest) -> web.Response:
            await request.read()
            caller = self.askers.known(request.headers)
            return web.Response(headers={"Told": f"{caller} {request.method} {request.raw_path}"})

        loop = asyncio.get_running_loop()
        self.server = _Server(
            handle, field_reader=self.askers, at_once=self._answer, keeper=lambda _: Keeper(DEFAULT_BOUNDS, loop, print)
        )

    def _answer(self, method: str, target: str, asker: Asker, _: object) -> Iterator[int | bytes]:
        if target.startswith("/cold"):
            return
        self.at_once += 1
        yield 0
        yield f"HTTP/1.1 200 OK\r\nTold: {asker.caller} {method} {target}\r\nContent-Length: 0\r\n\r\n".encode()

    async def ask(self, pieces: list[bytes], *, answers: int, turns: int = 1) -> list[str]:
        """What the answers to requests tell that come in by a connection of their own, in pieces, some turns apart."""
        written = bytearray()

        class Kept(Wire):
            def write(self, data: Any) -> None:
                written.extend(data)

            def is_closing(self) -> bool:
                return False

            def pause_reading(self) -> None:
                pass

            def resume_reading(self) -> None:
                pass

            def abort(self) -> None:
                pass

        connection: Any = self.server()
        connection.connection_made(Kept(lambda: None))
        await asyncio.sleep(0)
        for piece in pieces:
            connection.data_received(piece)
            for _ in range(turns):
                await asyncio.sleep(0)
        told: list[bytes] = []
        for _ in range(TURNS):
            told = re.findall(rb"\r\nTold: (.*)\r\n", written)
            if len(told) >= answers:
                break
            await asyncio.sleep(0)
        connection.connection_lost(None)
        return [text.decode() for text in told]


def request_of(caller: str, method: str, target: str, more: str = "", body: str = "") -> tuple[bytes, str]:
    """A request, and what the answer to it tells."""
    fields = f"Host: a\r\nAuthorization: {caller}\r\n{more}"
    return f"{method} {target} HTTP/1.1\r\n{fields}\r\n{body}".encode(), f"{caller} {method} {target}"


def anyones(target: str) -> tuple[bytes, str]:
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), f"anyone GET {target}"


UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
# somebody's as a whole, and anyone's where it is taken for what begins within it
GUISED = (
    b"GET /hot?guised HTTP/1.1\r\nAuthorization: somebody\r\nX: GET /hot HTTP/1.1\r\nHost: a\r\n\r\n",
    "somebody GET /hot?guised",
)
REQUESTS = [
    *(request_of(caller, "GET", target) for caller in ("somebody", "other") for target in ("/hot", "/hot?x", "/cold")),
    request_of("somebody", "HEAD", "/hot"),
    request_of("somebody", "POST", "/hot", "Content-Length: 4\r\n", "GET "),
    request_of("somebody", "GET", "/hot", "Content-Length: 4\r\n", "GET "),
    request_of("somebody", "GET", "/hot", "Transfer-Encoding: chunked\r\n", "4\r\nGET \r\n0\r\n\r\n"),
    request_of("somebody", "GET", "/hot#x"),
    request_of("somebody", "GET", "/hot", "X: " + "x" * PIECE + "\r\n"),
    request_of("somebody", "GET", "/hot", UPGRADE),
    (request_of("stranger", "GET", "/hot")[0], "None GET /hot"),
    anyones("/hot"),
    GUISED,
]


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], list[str]]:
    """Requests that come in on one connection, cut into pieces, and what their answers tell."""
    asked = draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6))
    stream = b"".join(sent for sent, _ in asked)
    starts = [match.start() for match in re.finditer(rb"GET|HEAD|POST|\n", stream)]
    cuts = sorted(draw(st.sets(st.one_of(st.sampled_from(starts), st.integers(0, len(stream))), max_size=8)))
    bounds = [0, *cuts, len(stream)]
    pieces = [stream[begin:end] for begin, end in pairwise(bounds) if begin < end]
    return pieces, [told for _, told in asked]


@given(given=st.lists(streams(), min_size=1, max_size=3), turns=st.integers(0, 3))
async def test_answers_do_not_depend_on_how_requests_come_in(
    given: list[tuple[list[bytes], list[str]]], turns: int
) -> None:
    made = Told()
    for pieces, told in given:
        assert await made.ask(pieces, answers=len(told), turns=turns) == told
    for sent, told_of in (anyones("/hot"), request_of("somebody", "GET", "/hot"), request_of("other", "GET", "/hot")):
        assert await made.ask([sent], answers=1) == [told_of]


async def test_what_looks_like_a_request_within_another_gives_nobody_its_callers_rights() -> None:
    made = Told()
    cut = GUISED[0].index(b"GET /hot HTTP")
    assert await made.ask([GUISED[0][:cut], GUISED[0][cut:]], answers=1) == [GUISED[1]]
    sent, told = anyones("/hot")
    assert await made.ask([sent], answers=1) == [told]


async def test_what_comes_in_behind_an_upgrade_that_was_none_is_told_from_it() -> None:
    made = Told()
    upgrade, other = request_of("somebody", "GET", "/hot", UPGRADE), request_of("other", "GET", "/hot")
    for pieces in 2 * [[upgrade[0], other[0]]] + 2 * [[upgrade[0] + other[0]]]:
        assert await made.ask(pieces, answers=2) == [upgrade[1], other[1]]


async def test_a_head_that_comes_in_with_some_of_the_next_is_told_from_it() -> None:
    made = Told()
    sent, told = request_of("somebody", "GET", "/hot")
    for _ in range(2):
        assert await made.ask([sent + sent[:10], sent[10:]], answers=2) == [told, told]


async def test_fields_that_came_before_are_not_parsed() -> None:
    made = Told()
    asked = [request_of("somebody", method, f"/hot?{method}") for method in ("GET", "HEAD", "GET")]
    for sent, told in asked:  # each by another connection
        assert await made.ask([sent], answers=1) == [told]
    assert len(made.askers.read_keys) == 1
    assert made.at_once == 3


@given(
    target=st.one_of(
        st.from_regex(rb"[-/?:@!$&'()*+,;=.~%\w#]*", fullmatch=True),
        st.binary(max_size=20),
        st.text(max_size=20).map(str.encode),
    )
)
@example(target=b"/%zz")
@example(target=b"/a?b=c&d=%20+;,:@!$'()*")
@example(target=b"//a/b")
@example(target=b"/#a")
@example(target=b'/"<>^`{|}')
@example(target=b"/ HTTP/1.1\r\nX: /")
async def test_any_target_means_the_same_whether_it_is_parsed_or_not(target: bytes) -> None:
    sent = b"GET /%b HTTP/1.1\r\nHost: a\r\nAuthorization: somebody\r\n\r\n" % target
    parsed, recalled = Told(), Told()
    for first in (GET_HOT, request_of("somebody", "GET", "/hot")[0]):
        await recalled.ask([first], answers=1)
    told = [await made.ask([sent], answers=1, turns=3) for made in (parsed, recalled)]
    assert told[0] == told[1]


async def test_what_is_not_at_hand_after_all_is_parsed_then() -> None:
    async with serving() as served:
        caller = await served.connect()
        assert [await caller.ask(request) for request in (GET_HOT, GET_HOT, GET_COLD)] == [b"hot", b"hot", b"cccc"]
        assert len(served.askers.read_keys) == 1
        caller.writer.write(GET_HOT)
        await asyncio.sleep(0)
        caller.writer.write(GET_COLD + GET_HOT)
        answers = [await caller.answer() for _ in range(3)]
        assert answers[1:] == [b"cccc", b"cccc"]  # those that came together
        assert await caller.ask(GET_HOT) == b"hot"


@pytest.mark.parametrize("more", [b"GET /hot HT", GET_HOT, b"\x00"], ids=["some", "whole", "malformed"])
async def test_what_comes_in_behind_one_that_was_not_parsed_comes_behind_it(more: bytes) -> None:
    made = Told()
    sent, told = request_of("somebody", "GET", "/hot")
    for first in (sent, GET_HOT):
        await made.ask([first], answers=1)
    answers = await made.ask([sent, more], answers=2, turns=0)
    assert answers[0] == told
    assert answers[1:] == (["anyone GET /hot"] if more is GET_HOT else [])


async def test_one_that_was_not_parsed_is_answered_though_the_server_closes() -> None:
    async with serving() as served:
        first, second = [await served.connect() for _ in range(2)]
        for caller in (first, second):
            await caller.ask(GET_HOT)
        served.on_hot = served.close
        for caller in (first, second):
            caller.writer.write(GET_HOT)
        assert [await first.answer(), await second.answer()] == [b"hot", b"cccc"]
        assert await second.is_ended()

"""The server answers what is at hand without a detour, and leaves everything else to aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from segsvc.web.parser import PIECE
from tests.web.served import GET_COLD, GET_HOT, serving

if TYPE_CHECKING:
    from aiohttp import web

POST_HOT = b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
UPGRADE = b"GET /hot HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def piece(request: bytes) -> bytes:
    """Fill a request up to what is parsed at a time."""
    filled = request[:-2] + b"X: \r\n\r\n"
    return filled.replace(b"X: ", b"X: " + b"x" * (PIECE - len(filled)))


async def test_both_kinds_take_turns_on_one_connection() -> None:
    async with serving() as served:
        caller = await served.connect()
        asked = [GET_COLD, GET_HOT, GET_HOT, GET_COLD, GET_HOT]
        assert [await caller.ask(request) for request in asked] == [b"cccc", b"hot", b"hot", b"cccc", b"hot"]
        assert len(served.at_once) == 3


async def test_a_request_that_comes_in_pieces_is_answered_when_it_is_whole() -> None:
    async with serving() as served:
        caller = await served.connect()
        await caller.ask(GET_COLD)
        caller.writer.write(GET_HOT[:20])
        other = await served.connect()
        await other.ask(GET_COLD)  # by now the first piece has come in
        assert served.at_once == []
        assert await caller.ask(GET_HOT[20:]) == b"hot"
        assert served.at_once == ["/hot"]


async def test_what_came_in_before_the_server_closes_is_answered() -> None:
    async with serving() as served:
        first, second = [await served.connect() for _ in range(2)]
        for caller in (first, second):
            await caller.ask(GET_COLD)
        served.on_hot = served.close  # while one is being answered, the other's request is held back
        for caller in (first, second):
            caller.writer.write(GET_HOT)
        assert [await first.answer(), await second.answer()] == [b"hot", b"cccc"]
        assert await second.is_ended()


async def test_a_defect_harms_no_other_and_is_left_to_the_handlers() -> None:
    async with serving() as served:
        paths = (b"hot", b"faulty", b"unmakeable", b"unmade", b"untellable", b"hot")
        callers = [await served.connect() for _ in paths]
        for caller in callers:
            await caller.ask(GET_COLD)
        for _ in range(2):
            for caller, path in zip(callers, paths, strict=True):
                caller.writer.write(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            answers = [await caller.answer() for caller in callers]
            assert answers == [b"hot", b"cccc", b"cccc", b"cccc", b"hot", b"hot"]


async def test_a_log_that_cannot_be_written_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def error(self, *_: object, **__: object) -> None:
            raise BrokenPipeError

    async with serving() as served:
        callers = [await served.connect() for _ in range(4)]
        for caller in callers:
            await caller.ask(GET_COLD)
        monkeypatch.setattr("segsvc.web.server._log", Broken())
        for caller, path in zip(callers, (b"hot", b"faulty", b"unsendable", b"hot"), strict=True):
            caller.writer.write(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % path)
        assert [await callers[number].answer() for number in (0, 1, 3)] == [b"hot", b"cccc", b"hot"]
        assert await callers[0].ask(GET_HOT) == b"hot"


async def test_whatever_goes_wrong_the_others_are_answered() -> None:
    async with serving() as served:
        callers = [await served.connect() for _ in range(3)]
        for caller in callers:
            await caller.ask(GET_COLD)

        def fail_once() -> None:
            if len(served.at_once) == 2:
                raise asyncio.CancelledError  # what no one catches

        served.on_hot = fail_once
        for caller in callers:
            caller.writer.write(GET_HOT)
        assert [await callers[number].answer() for number in (0, 2)] == [b"hot", b"hot"]
        assert await callers[0].ask(GET_HOT) == b"hot"


async def test_an_answer_that_cannot_be_sent_harms_no_other() -> None:
    async with serving() as served:
        callers = [await served.connect() for _ in range(3)]
        for caller in callers:
            await caller.ask(GET_COLD)
        for caller, path in zip(callers, (b"unsendable", b"hot", b"hot"), strict=True):
            caller.writer.write(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % path)
        assert [await caller.answer() for caller in callers[1:]] == [b"hot", b"hot"]
        with contextlib.suppress(ConnectionError):
            assert await callers[0].is_ended()
        assert await callers[1].ask(GET_HOT) == b"hot"


async def test_requests_sent_in_a_row_are_answered_in_their_order() -> None:
    async with serving() as served:
        caller = await served.connect()
        await caller.ask(GET_COLD)
        caller.writer.write(GET_HOT + GET_COLD + GET_HOT + GET_HOT)
        # /hot is answered by the application too, with the body of a cold one
        assert [await caller.answer() for _ in range(4)] == [b"cccc"] * 4
        assert await caller.ask(GET_HOT) == b"hot"


@pytest.mark.parametrize("requests", [[GET_HOT], [GET_COLD], [GET_COLD, GET_HOT, GET_HOT]], ids=["hot", "cold", "some"])
async def test_what_cannot_be_read_does_not_harm_what_came_before(requests: list[bytes]) -> None:
    async with serving() as served:
        caller = await served.connect()
        await caller.ask(GET_COLD)
        # what is parsed at a time is a request each
        caller.writer.write(b"".join(piece(request) for request in requests) + b"\x00\r\n\r\n")
        for _ in requests:
            assert await caller.answer() == b"cccc"
        assert b"no well-formed HTTP" in await caller.answer()
        assert await caller.is_ended()


@pytest.mark.parametrize(
    "asked",
    [
        [POST_HOT, GET_HOT],
        [GET_HOT, GET_HOT, POST_HOT, GET_COLD],
        [POST_HOT, *[GET_HOT] * 100],
        [GET_COLD, UPGRADE, GET_COLD, GET_HOT],
    ],
    ids=["two", "some", "many", "an-upgrade-that-is-declined"],
)
async def test_requests_that_are_parsed_one_by_one_are_answered_in_their_order(asked: list[bytes]) -> None:
    async with serving() as served:
        caller = await served.connect()
        await caller.ask(GET_COLD)
        served.callers.clear()
        named = (request[:-2] + b"Authorization: %d\r\n\r\n" % number for number, request in enumerate(asked))
        caller.writer.write(b"".join(map(piece, named)))
        for _ in asked:
            await caller.answer()
        assert served.callers == [str(number) for number in range(len(asked))]
        assert await caller.ask(GET_HOT) == b"hot"


async def test_no_answer_overtakes_one_that_is_still_being_made() -> None:
    async with serving() as served:
        caller = await served.connect()
        await caller.ask(GET_COLD)
        served.held.clear()
        caller.writer.write(GET_COLD)
        other = await served.connect()
        other.writer.write(GET_COLD)  # both wait
        caller.writer.write(GET_HOT)
        served.held.set()
        assert [await caller.answer(), await caller.answer()] == [b"cccc", b"cccc"]


async def test_a_caller_who_asks_again_before_the_last_answer_is_put_away_is_answered_at_once() -> None:
    def ask_again(request: web.Request) -> None:
        # what is called next finds this one answered, and aiohttp not yet waiting for another
        asyncio.get_running_loop().call_soon(request.protocol.data_received, GET_HOT)

    async with serving() as served:
        served.on_cold = ask_again
        caller = await served.connect()
        assert await caller.ask(GET_COLD) == b"cccc"
        assert await caller.answer() == b"hot"
        assert served.at_once == ["/hot"]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /hot HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET /hot HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ],
    ids=["http-1.0", "close"],
)
async def test_a_connection_that_is_to_end_ends(request_: bytes) -> None:
    async with serving() as served:
        caller = await served.connect()
        assert await caller.ask(request_) == b"cccc"
        assert await caller.is_ended()
        assert served.at_once == []


async def test_a_body_is_read_before_the_next_request() -> None:
    async with serving() as served:
        caller = await served.connect()
        await caller.ask(GET_COLD)
        body = b"GET /hot HTTP/1.1\r\nHost: b\r\n\r\n"
        sent = b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        assert await caller.ask(sent) == b"cccc"
        sent = b"GET /hot HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        assert await caller.ask(sent) == b"cccc"
        assert served.at_once == []
        assert await caller.ask(GET_HOT) == b"hot"


async def test_a_caller_who_takes_nothing_is_not_sent_more() -> None:
    async with serving() as served:
        served.size = 32 * 2**20  # more than the sockets' buffers hold
        caller = await served.connect()
        caller.writer.write(GET_COLD)
        await caller.reader.readuntil(b"\r\n\r\n")
        before = len(served.at_once)
        caller.writer.write(GET_HOT)
        other = await served.connect()
        served.size = 4
        await other.ask(GET_COLD)  # by now the request has come in
        assert len(served.at_once) == before
        assert len(await caller.reader.readexactly(32 * 2**20)) == 32 * 2**20
        assert await caller.answer() == b"cccc"


async def test_an_idle_connection_is_closed_and_one_in_use_is_not() -> None:
    async with serving(keepalive=0.2) as served:
        caller = await served.connect()
        await caller.ask(GET_COLD)
        loop = asyncio.get_running_loop()
        until = loop.time() + 1
        while loop.time() < until:
            # whose request is held back when the timer goes is answered by aiohttp
            assert await caller.ask(GET_HOT) in {b"hot", b"cccc"}
        assert served.at_once
        assert await caller.is_ended()

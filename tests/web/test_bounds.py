"""What callers' connections take up has bounds; those within them are served."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING

import pytest

from segsvc.web.bounds import Bounds
from tests.api.waiting import until
from tests.web.served import GET_COLD, GET_HOT, PATIENCE, Connection, serving

if TYPE_CHECKING:
    from tests.web.served import Served

BEGUN = GET_HOT[:-2]
POST_HOT = b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
UNWANTED = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
CHUNKS = b"POST /hot HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
END_OF_CHUNKS = b"0\r\n\r\n"
LARGE = 8 * 2**20  # more than the kernel takes in for a caller who does not read


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segsvc.web.bounds.CHECK_SECONDS", 0.02)


async def narrow(served: Served, size: int) -> Connection:
    """A connection for which the kernel takes in so many bytes that are not read, and no more as time goes by."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    caller.setblocking(False)
    await asyncio.get_running_loop().sock_connect(caller, ("127.0.0.1", served.port))
    connection = Connection(*await asyncio.open_connection(sock=caller, limit=1024))
    served.connections.append(connection)
    return connection


async def deaf(served: Served) -> Connection:
    """A connection whose caller reads nothing of what it asked for."""
    connection = await narrow(served, 4096)
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    connection.writer.write(GET_COLD)
    return connection


async def busy_connection(served: Served) -> Connection:
    """A connection with a request that is being handled until ``served.held`` is set."""
    served.held.clear()
    busy = await served.connect()
    busy.writer.write(GET_COLD)

    async def handled() -> bool:
        return bool(served.callers)

    await until(handled)
    return busy


async def is_dropped(connection: Connection) -> bool:
    connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
    try:
        async with asyncio.timeout(PATIENCE):
            while await connection.reader.read(2**16):
                pass
    except ConnectionError:
        return True
    return True


async def test_the_connections_that_were_idle_for_longest_make_room() -> None:
    async with serving(bounds=Bounds(connections=8)) as served:
        idle = [await served.connect() for _ in range(8)]
        for connection in reversed(idle):
            await connection.ask(GET_COLD)
        newcomer = await served.connect()
        assert await newcomer.ask(GET_HOT) == b"hot"
        assert await is_dropped(idle[-1])
        assert served.dropped == ["crowded"]
        assert await idle[0].ask(GET_HOT) == b"hot"


async def test_a_request_under_way_makes_no_room() -> None:
    async with serving(bounds=Bounds(connections=1)) as served:
        busy = await busy_connection(served)
        other = await served.connect()
        assert await is_dropped(other)  # there was no one idle but itself
        served.held.set()
        assert await busy.answer() == b"cccc"


async def test_who_has_been_answered_and_sends_no_body_makes_room() -> None:
    async with serving(bounds=Bounds(connections=2)) as served:
        lingering = [await served.connect() for _ in range(2)]
        for connection in lingering:
            connection.writer.write(UNWANTED)
            assert b"404" in await connection.answer()
        assert await (await served.connect()).ask(GET_HOT) in {b"hot", b"cccc"}
        assert served.dropped == ["crowded"]


async def test_a_body_that_nobody_wants_may_come() -> None:
    async with serving() as served:
        caller = await served.connect()
        caller.writer.write(UNWANTED)
        assert b"404" in await caller.answer()
        assert await caller.ask(b"x" * 100 + GET_COLD) == b"cccc"
        assert await caller.ask(GET_HOT) == b"hot"


async def test_a_newcomer_who_finds_no_room_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(bounds=Bounds(connections=1)) as served:
        busy = await busy_connection(served)
        for _ in range(3):
            assert await is_dropped(await served.connect())
        served.held.set()
        assert await busy.answer() == b"cccc"
    gc.collect()  # what a task ended with and nobody asked for is told then
    assert served.dropped == ["crowded"] * 3
    assert not caplog.records


@pytest.mark.parametrize(
    "sent",
    [BEGUN, GET_HOT[:1], GET_HOT + BEGUN, GET_HOT * 40 + BEGUN, POST_HOT + BEGUN + b"X: " + b"x" * 5000],
    ids=["nearly-all-of-it", "a-byte", "behind-a-request", "behind-many", "behind-a-body"],
)
async def test_a_head_must_end(sent: bytes) -> None:
    async with serving(bounds=Bounds(head_seconds=0.05)) as served:
        slow, other = await served.connect(), await served.connect()
        slow.writer.write(sent)
        assert await is_dropped(slow)
        assert served.dropped == ["slow_head"]
        assert await other.ask(GET_HOT) in {b"hot", b"cccc"}


@pytest.mark.parametrize(
    "sent",
    [[GET_HOT, b"\r\n"], [GET_HOT + b"\r\n"], [POST_HOT, b"\r\n"], [b"\r\n", GET_HOT], [CHUNKS, END_OF_CHUNKS]],
    ids=["behind-a-request", "with-a-request", "behind-a-body", "before-a-request", "the-end-of-a-body"],
)
async def test_an_empty_line_is_no_head(sent: list[bytes]) -> None:
    async with serving(bounds=Bounds(head_seconds=0.05)) as served:
        caller, slow = await served.connect(), await served.connect()
        for part in sent:
            caller.writer.write(part)
            await slow.ask(GET_COLD)  # by now it has come in
        assert await caller.answer() in {b"hot", b"cccc"}
        slow.writer.write(BEGUN)
        assert await is_dropped(slow)  # when heads are looked at next
        assert await caller.ask(GET_HOT) == b"hot"
        assert served.dropped == ["slow_head"]


async def test_a_head_is_bounded_behind_a_body_too() -> None:
    async with serving() as served:
        caller = await served.connect()
        fields = b"".join(b"X%d: %s\r\n" % (number, b"x" * 8000) for number in range(15))
        caller.writer.write(POST_HOT + BEGUN + fields)
        assert await caller.answer() == b"cccc"
        assert b"longer than" in await caller.answer()
        assert await caller.is_ended()


async def test_a_head_in_pieces_in_time_is_answered_and_its_connection_stays() -> None:
    async with serving(bounds=Bounds(head_seconds=0.05)) as served:
        caller, slow = await served.connect(), await served.connect()
        caller.writer.write(BEGUN)
        await slow.ask(GET_COLD)  # by now it has come in
        assert await caller.ask(GET_HOT[len(BEGUN) :]) in {b"hot", b"cccc"}
        slow.writer.write(BEGUN)
        assert await is_dropped(slow)  # when heads are looked at next
        assert await caller.ask(GET_HOT) == b"hot"


async def test_who_waits_for_an_answer_is_not_blamed_for_the_head_behind() -> None:
    async with serving(bounds=Bounds(head_seconds=0.05)) as served:
        served.held.clear()
        caller, slow = await served.connect(), await served.connect()
        caller.writer.write(GET_COLD + BEGUN)
        slow.writer.write(BEGUN)
        assert await is_dropped(slow)
        served.held.set()
        assert await caller.answer() == b"cccc"


async def test_only_so_many_are_in_the_middle_of_a_head() -> None:
    async with serving(bounds=Bounds(unfinished_heads=4)) as served:
        slow = [await served.connect() for _ in range(5)]
        for connection in slow:
            connection.writer.write(BEGUN)
        assert await is_dropped(slow[0])
        assert await slow[-1].ask(GET_HOT[len(BEGUN) :]) in {b"hot", b"cccc"}
        assert served.dropped == ["slow_head"]


async def test_who_stops_reading_is_dropped() -> None:
    async with serving(bounds=Bounds(stalled_seconds=0.05)) as served:
        served.size = LARGE
        caller = await deaf(served)

        async def dropped() -> bool:
            return served.dropped == ["stalled"]

        await until(dropped)
        assert await is_dropped(caller)


async def test_who_reads_slowly_is_not() -> None:
    async with serving(bounds=Bounds(stalled_seconds=1)) as served:
        served.size = 8 * LARGE
        stalled, reader = await deaf(served), await served.connect()
        reader.writer.write(GET_COLD)
        await reader.reader.readuntil(b"\r\n\r\n")
        read = 0

        async def dropped() -> bool:
            nonlocal read
            read += len(await reader.reader.read(2**16))
            return bool(served.dropped)

        await until(dropped)
        assert read < served.size
        assert await is_dropped(stalled)
        await reader.reader.readexactly(served.size - read)
        assert served.dropped == ["stalled"]


async def test_unsent_bytes_have_a_bound_over_all_connections() -> None:
    async with serving(bounds=Bounds(unsent_bytes=LARGE)) as served:
        served.size = LARGE
        stalled = [await deaf(served) for _ in range(6)]

        async def dropped() -> bool:
            return bool(served.dropped)

        await until(dropped)
        assert set(served.dropped) == {"unsent"}
        assert await is_dropped(stalled[0])
        assert len(await (await served.connect()).ask(GET_COLD)) == LARGE


async def test_who_reads_on_is_not_dropped_for_those_who_do_not() -> None:
    async with serving(bounds=Bounds(unsent_bytes=10 * LARGE)) as served:
        served.size = left = 6 * LARGE
        reader = await served.connect()
        reader.writer.write(GET_COLD)
        await reader.reader.readuntil(b"\r\n\r\n")
        served.size = 2 * LARGE
        for _ in range(4):
            await deaf(served)
            await reader.reader.readexactly(LARGE)
            left -= LARGE

        async def dropped() -> bool:
            return bool(served.dropped)

        await until(dropped)
        await reader.reader.readexactly(left)
        assert set(served.dropped) == {"unsent"}


@pytest.mark.parametrize("request_", [GET_HOT, GET_COLD], ids=["at-once", "by-a-handler"])
async def test_the_server_stops_when_a_slow_reader_has_its_answer(request_: bytes) -> None:
    async with serving() as served:
        served.size = LARGE
        served.hot = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + b"h" * LARGE
        reader = await narrow(served, 2**18)
        assert len(await reader.ask(GET_COLD)) == LARGE
        reader.writer.write(request_)
        assert await reader.reader.readexactly(1) == b"H"
        reader.writer.transport.pause_reading()  # type: ignore[attr-defined]
        stopping = asyncio.ensure_future(served.stop())
        await asyncio.wait([stopping], timeout=0.2)
        assert not stopping.done()
        reader.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await reader.answer()) == LARGE
        async with asyncio.timeout(PATIENCE):
            await stopping


async def test_a_reader_who_keeps_up_does_not_count() -> None:
    async with serving(bounds=Bounds(unsent_bytes=LARGE)) as served:
        served.size = LARGE
        callers = [await served.connect() for _ in range(3)]
        for _ in range(3):
            for caller in callers:
                assert len(await caller.ask(GET_COLD)) == LARGE
        assert served.dropped == []

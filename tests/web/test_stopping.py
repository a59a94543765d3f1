"""All requests that have come in by the time the server stops are answered, and the last answer says that it is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.api.waiting import until
from tests.web.served import GET_COLD, GET_HOT, PATIENCE, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.web.served import Connection, Served

POST = b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
CLOSE = b"\r\nConnection: close\r\n"


@asynccontextmanager
async def stopping(served: Served, caller: Connection, requests: bytes) -> AsyncIterator[None]:
    """Stop while the first of some requests is being handled; it is answered when the context ends."""
    served.held.clear()
    caller.writer.write(requests)

    async def handled() -> bool:
        return bool(served.callers)

    await until(handled)
    stop = asyncio.ensure_future(served.stop())
    try:
        async with asyncio.timeout(PATIENCE):
            await served.closing.wait()
        await asyncio.sleep(0)
        yield
    finally:
        served.held.set()
    async with asyncio.timeout(PATIENCE):
        await stop


@pytest.mark.parametrize(
    "requests",
    [[GET_COLD], [GET_COLD, GET_HOT, POST + b"abc", GET_HOT], [GET_COLD] * 100],
    ids=["one", "some", "more-than-are-parsed"],
)
async def test_requests_in_a_row_are_answered(requests: list[bytes]) -> None:
    async with serving() as served:
        caller = await served.connect()
        async with stopping(served, caller, b"".join(requests)):
            caller.writer.write(GET_COLD)  # too late
        for _ in requests[1:]:
            assert await caller.answer() == b"cccc"
            assert CLOSE not in caller.head
        assert await caller.answer() == b"cccc"
        assert CLOSE in caller.head
        assert await caller.is_ended()


@pytest.mark.parametrize("requests", [[POST], [GET_COLD, POST]], ids=["under-way", "waiting"])
async def test_a_body_may_come_in(requests: list[bytes]) -> None:
    async with serving() as served:
        caller = await served.connect()
        async with stopping(served, caller, b"".join(requests)):
            caller.writer.write(b"abc" + GET_COLD)
        for _ in requests:
            assert await caller.answer() == b"cccc"
        assert CLOSE in caller.head
        assert await caller.is_ended()


async def test_requests_that_wait_for_one_that_takes_too_long_do_not_hold_it_up() -> None:
    async with serving() as served:
        caller = await served.connect()
        served.held.clear()
        caller.writer.write(GET_COLD * 3)

        async def handled() -> bool:
            return bool(served.callers)

        await until(handled)
        async with asyncio.timeout(2 * 1 + 1):  # twice the time that it has
            await served.stop()
        assert len(served.callers) == 1

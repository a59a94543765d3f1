"""Bodies have their time, and all that are coming in their room."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from segsvc.web.body import SMALL_BODY
from tests.api.bodies import body
from tests.api.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.client import Client

# what has nothing to do with which cluster it is
pytestmark = pytest.mark.parametrize("cluster", ["emulator"], indirect=True, scope="session")


@asynccontextmanager
async def posting(editor: Client, begun: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A caller who sends the beginning of a body."""
    address = urlsplit(editor.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        b"POST /segments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n"
        b"Authorization: Bearer %s\r\n\r\n%s" % (str(editor.token).encode(), begun)
    )
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def test_one_that_does_not_come_in_is_408(editor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segsvc.web.body.BODY_SECONDS", 0.05)
    async with posting(editor, b'{"metadata":') as reader, asyncio.timeout(10):
        assert b" 408 " in await reader.readline()
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        problem = json.loads(await reader.readexactly(int(length.split(b":")[1])))
    assert problem["type"] == "bad_parameter_value"
    assert [told["name"] for told in problem["invalidParams"]] == ["body"]


async def test_too_many_at_a_time_are_told_to_come_back(editor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    document = body(description="x" * SMALL_BODY)
    size = len(json.dumps(document))
    monkeypatch.setattr("segsvc.web.body.BODIES_BUDGET", 2 * size)

    async def refused() -> bool:
        answer = await editor.create(document, dryRun="true")
        assert answer.status in {200, 503}
        if answer.status == 503:
            assert answer.json["type"] == "service_unavailable"
            assert int(answer.headers["Retry-After"]) >= 1
        return answer.status == 503

    async def taken() -> bool:
        return not await refused()

    assert await taken()
    async with posting(editor, b" " * (size + 10)):
        await until(refused)
        assert (await editor.create(body(), dryRun="true")).status == 200  # a small one has room
    await until(taken)  # what it took has been given back

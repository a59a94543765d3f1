"""A stop takes its time and no longer, whatever callers do meanwhile, and no write is lost."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.api.bodies import body
from tests.api.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.conftest import Deploy, Deployment
    from tests.support.faults import Call, Relay

SHORT = 0.2
PROMPT = 4 * SHORT + 2  # the same for slow machines

# what has nothing to do with which cluster it is
pytestmark = pytest.mark.parametrize("cluster", ["emulator"], indirect=True, scope="session")


@asynccontextmanager
async def connection(deployment: Deployment) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = deployment.url.removeprefix("http://").split(":")
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # one that reads nothing is to be noticed soon
    caller.setblocking(False)
    await asyncio.get_running_loop().sock_connect(caller, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=caller)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_a_caller_that_sends_on_and_reads_nothing_does_not_hold_it_up(deploy: Deploy) -> None:
    async with AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(deploy(grace=SHORT))
        async with connection(deployment) as (reader, writer):
            reader.set_exception(ConnectionError("never read from"))
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000)
            answered = [0.0, 0.0, 0.0]

            async def stuck() -> bool:
                answered.append(await deployment.metric("segsvc_http_request_duration_seconds_count"))
                return 0 < answered[-3] == answered[-2] == answered[-1]

            await until(stuck)
            assert answered[-1] < 2000
            async with asyncio.timeout(PROMPT):
                await stack.aclose()


async def test_a_body_that_comes_slowly_does_not_hold_it_up_and_is_answered(deploy: Deploy) -> None:
    async with AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(deploy(grace=SHORT))
        async with connection(deployment) as (reader, writer):
            writer.write(
                b"POST /segments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1000\r\nExpect: 100-continue\r\n"
                b"Authorization: Bearer %s\r\n\r\n" % str(deployment.editor.token).encode()
            )
            assert b" 100 " in await reader.readline()
            writer.write(b'{"metadata": ')
            async with asyncio.timeout(PROMPT):
                await stack.aclose()
                answer = await reader.read()  # the connection ends, too
            assert answer.lstrip().startswith(b"HTTP/1.1 503 ")
            assert b'"type":"service_unavailable"' in answer


async def test_a_write_in_flight_outlives_its_connection_and_is_recorded(deploy: Deploy, relay: Relay) -> None:
    arrived, proceed = asyncio.Event(), asyncio.Event()

    async def hold(call: Call) -> None:
        if call.is_write:
            arrived.set()
            await proceed.wait()

    async with AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(deploy(relay=relay, grace=SHORT))
        relay.before = hold
        writing = asyncio.create_task(deployment.editor.create(body(), "some-segment"))
        await arrived.wait()
        with capture_logs() as lines:
            stopping = asyncio.create_task(stack.aclose())
            with pytest.raises(aiohttp.ClientConnectionError):
                await writing
            assert not stopping.done()
            proceed.set()
            async with asyncio.timeout(PROMPT):
                await stopping
        assert await deployment.resources.names() == ["some-segment"]
    assert [line["outcome"] for line in lines if line["event"] == "segment_write"] == ["stored"]


async def test_a_body_that_is_still_coming_in_is_taken_and_answered(deploy: Deploy) -> None:
    document = json.dumps(body()).encode()
    async with AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(deploy(grace=10))
        async with connection(deployment) as (reader, writer):
            writer.write(
                b"POST /segments/some-segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\nExpect: 100-continue\r\n"
                b"Authorization: Bearer %s\r\n\r\n" % (len(document), str(deployment.editor.token).encode())
            )
            assert b" 100 " in await reader.readline()
            writer.write(document[:20])
            stopping = asyncio.create_task(stack.aclose())
            await until(lambda: refused(deployment))
            writer.write(document[20:])
            await reader.readline()
            assert b" 200 " in await reader.readline()
            async with asyncio.timeout(PROMPT):
                await stopping
        assert await deployment.resources.names() == ["some-segment"]


async def test_writes_sent_in_a_row_are_made_and_answered(deploy: Deploy, relay: Relay) -> None:
    arrived, proceed = asyncio.Event(), asyncio.Event()

    async def hold(call: Call) -> None:
        if call.is_write:
            arrived.set()
            await proceed.wait()

    document, names = json.dumps(body()).encode(), ["demo-a", "demo-b", "demo-c"]
    async with AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(deploy(relay=relay, grace=10))
        relay.before = hold
        async with connection(deployment) as (reader, writer):
            for name in names:
                writer.write(
                    b"POST /segments/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\nAuthorization: Bearer %s\r\n\r\n%s"
                    % (name.encode(), len(document), str(deployment.editor.token).encode(), document)
                )
            await arrived.wait()
            stopping = asyncio.create_task(stack.aclose())
            await until(lambda: refused(deployment))
            proceed.set()
            async with asyncio.timeout(PROMPT):
                answers = await reader.read()  # until the connection ends
                await stopping
        assert answers.count(b"HTTP/1.1 200 ") == len(names)
        assert answers.count(b"Connection: close") == 1
        assert await deployment.resources.names() == names


async def refused(deployment: Deployment) -> bool:
    """Tell whether the service takes no more connections."""
    host, port = deployment.url.removeprefix("http://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionError:
        return True
    writer.close()
    await writer.wait_closed()
    return False

"""What goes wrong between a service and its cluster: a relay that delays, loses, tears, refuses and holds back.

Stands in front of a real API server, of the emulator, or of whatever else speaks HTTP, and knows requests from
answers and watches from calls: so it can lose the answer to a write that the cluster has committed, and no other.
Passes on everything unchanged until a test says otherwise. Uses nothing of the package under test.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from tests.api.clusters import Cluster

    Hook = Callable[["Call"], Awaitable[None]]

_KEPT = ("Content-Type", "Content-Encoding", "Retry-After")
_OF_THE_CONNECTION = {"host", "connection", "content-length", "transfer-encoding"}
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Call:
    """A request of the service to its cluster."""

    method: str
    target: str

    @property
    def is_watch(self) -> bool:
        return "watch" in parse_qs(urlsplit(self.target).query)

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def is_item(self) -> bool:
        return not urlsplit(self.target).path.endswith("/segments")


class Lost(Exception):
    """Raised by a test's hook: the connection is reset here."""


class Torn(Exception):
    """Raised by a test's hook: half of what should be passed on comes through, then the connection ends."""


@dataclass(frozen=True)
class Refused(Exception):
    """Raised by a test's hook: this is the answer. Without a body it is what an API server says with that status."""

    status: int
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Relay:
    """Stands between the service and its cluster; passes everything on, remembers it, and interferes when told to.

    `before` is awaited before a call is passed on, `after` when the cluster has answered and the service has not
    heard of it, `during` before each piece of a watch that has events. A hook that takes its time delays, and one that
    raises Lost, Torn or Refused does that instead (a watch that has begun can only be lost or torn).

    While `watching` is clear, no event of a watch comes through. While `flowing` is clear, nothing at all does, and all
    connections stay open: as with a frozen server, or a network that drops packets. A relay that is cut takes no
    connections.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._site: web.TCPSite | None = None
        self._asking: set[asyncio.Task[aiohttp.ClientResponse]] = set()
        self.calls: list[Call] = []
        self.before: Hook | None = None
        self.after: Hook | None = None
        self.during: Hook | None = None
        self.watching = asyncio.Event()
        self.flowing = asyncio.Event()
        self.url = ""
        self._port = 0

    async def __aenter__(self) -> Self:
        self.behave()
        connector = self._cluster.connector()
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await self._runner.setup()
        await self._listen(self._runner, 0)
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.behave()
        await self.cut()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._asking:
            await asyncio.wait(self._asking, timeout=1)
        if self._session is not None:
            await self._session.close()

    @property
    def writes(self) -> list[Call]:
        return [call for call in self.calls if call.is_write]

    def behave(self) -> None:
        """Interfere no longer. A relay that is cut is to be mended besides."""
        self.before = self.after = self.during = None
        self.watching.set()
        self.flowing.set()

    async def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        if self._site is not None:
            await self._site.stop()
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # what has just been accepted takes two turns to be known as a connection
            self.drop()
        self._site = None

    def drop(self) -> None:
        """Break every connection that there is."""
        if self._runner is not None and self._runner.server is not None:
            for connection in self._runner.server.connections:
                connection.force_close()

    async def mend(self) -> None:
        """Take connections again."""
        if self._site is None and self._runner is not None:
            await self._listen(self._runner, self._port)

    async def _listen(self, runner: web.AppRunner, port: int) -> None:
        self._site = web.TCPSite(runner, "127.0.0.1", port)
        await self._site.start()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(request.method, request.path_qs)
        self.calls.append(call)
        reply = None
        try:
            await self._meet(self.before, call)
            async with self._passed_on(request) as upstream:
                if call.is_watch:
                    return await self._stream(request, upstream, call)
                kept = {name: upstream.headers[name] for name in _KEPT if name in upstream.headers}
                reply = web.Response(status=upstream.status, body=await upstream.read(), headers=kept)
            await self._meet(self.after, call)
        except Refused as refused:
            return _refusal(refused)
        except Torn:
            return _reset(request) if reply is None else await _torn(request, reply)
        except (Lost, aiohttp.ClientError):  # the cluster's own illness is handed on
            return _reset(request)
        return reply

    @asynccontextmanager
    async def _passed_on(self, request: web.Request) -> AsyncIterator[aiohttp.ClientResponse]:
        asking = asyncio.create_task(self._ask(request, await request.read()))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        try:
            # what has been sent is on its way, whether or not the service still waits; and cancelled within its first
            # turns, asyncio never closes a TLS connection
            upstream = await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(_let_go)
            raise
        async with upstream:
            yield upstream

    async def _ask(self, request: web.Request, body: bytes) -> aiohttp.ClientResponse:
        assert self._session is not None
        return await self._session.request(
            request.method,
            URL(self._cluster.url + request.raw_path, encoded=True),
            data=body or None,
            headers={name: text for name, text in request.headers.items() if name.lower() not in _OF_THE_CONNECTION},
            timeout=aiohttp.ClientTimeout(),
        )

    async def _meet(self, hook: Hook | None, call: Call) -> None:
        await self.flowing.wait()
        if hook is not None:
            await hook(call)

    async def _stream(self, request: web.Request, upstream: aiohttp.ClientResponse, call: Call) -> web.StreamResponse:
        await self.flowing.wait()
        response = web.StreamResponse(status=upstream.status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            await self.watching.wait()
            try:
                await self._meet(self.during, call)
            except Torn:
                last = chunk.rstrip().rfind(b"\n") + 1
                await response.write(chunk[: (last + len(chunk)) // 2])
                _close(request)
                break
            await response.write(chunk)
        return response


def _let_go(asking: asyncio.Task[aiohttp.ClientResponse]) -> None:
    """Close the answer that nobody waits for."""
    if not asking.cancelled() and asking.exception() is None:
        asking.result().close()


def _refusal(refused: Refused) -> web.Response:
    body, headers = refused.body, {"Content-Type": "text/html", **refused.headers}
    if body is None:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": refused.status}
        body, headers["Content-Type"] = json.dumps(status).encode(), "application/json"
    return web.Response(status=refused.status, body=body, headers=headers)


async def _torn(request: web.Request, reply: web.Response) -> web.StreamResponse:
    assert isinstance(reply.body, bytes)
    response = web.StreamResponse(
        status=reply.status, headers={**reply.headers, "Content-Length": str(len(reply.body))}
    )
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    _close(request)
    return response


def _close(request: web.Request) -> None:
    """End the connection once all that was written has gone out."""
    if request.transport is not None:
        request.transport.close()


def _reset(request: web.Request) -> web.Response:
    """Have the other side meet a RST."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        request.transport.abort()
    return web.Response(status=500)

"""An application with a path that is at hand and others that are not, and connections to it."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from segsvc.web.bounds import DEFAULT_BOUNDS, Bounds, Keeper
from segsvc.web.server import AT_ONCE, FIELD_READER, KEEPER, Runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from multidict import MultiMapping

PATIENCE = 10
HOT = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhot"
GET_HOT = b"GET /hot HTTP/1.1\r\nHost: a\r\n\r\n"
GET_COLD = b"GET /cold HTTP/1.1\r\nHost: a\r\n\r\n"


def steps(answer: bytes) -> Iterator[int | bytes]:
    """Answer with this."""
    yield len(answer)
    yield answer


def unmade(answer: bytes) -> Iterator[int | bytes]:
    """Leave it to the handlers after all."""
    yield len(answer)


def unmakeable(answer: bytes) -> Iterator[int | bytes]:
    yield len(answer)
    raise ValueError("a defect")


def untellable(answer: bytes) -> Iterator[int | bytes]:
    yield from steps(answer)
    raise ValueError("a defect")


UNUSUAL = {"/unmade": unmade, "/unmakeable": unmakeable, "/untellable": untellable}


@dataclass
class Asker:
    caller: str
    headers: MultiMapping[str]


class Askers:
    """Knows everyone but those who say that they are strangers, and keeps all that is told of them."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Asker] = {}
        self.read_keys: list[bytes | None] = []

    def known(self, headers: MultiMapping[str]) -> str | None:
        given = " ".join(headers.get("Authorization", "anyone").split())
        return None if given.startswith("stranger") else given

    def read(self, headers: MultiMapping[str], key: bytes | None) -> Asker | None:
        self.read_keys.append(key)
        caller = self.known(headers)
        if caller is None:
            return None
        asker = Asker(caller, headers)
        if key is not None:
            self.kept[key] = asker
        return asker

    def recall(self, key: bytes) -> Asker | None:
        return self.kept.get(key)


class Served:
    """An application with a path that is at hand and one that is not."""

    def __init__(self) -> None:
        self.at_once: list[str] = []
        self.callers: list[str] = []  # in the order in which their requests were looked at
        self.dropped: list[str] = []  # why connections were ended
        self.closing = asyncio.Event()  # no more requests are taken in
        self.held = asyncio.Event()
        self.held.set()
        self.size = 4
        self.hot = HOT
        self.application = web.Application()
        self.application[AT_ONCE] = self._at_hand
        self.askers = self.application[FIELD_READER] = Askers()
        self.application.on_shutdown.append(self._close)
        self.application.router.add_get("/hot", self._cold)
        self.application.router.add_get("/cold", self._cold)
        for path in ("/faulty", *UNUSUAL):
            self.application.router.add_get(path, self._cold)
        self.application.router.add_post("/hot", self._cold)
        self.on_hot: Callable[[], None] = lambda: None
        self.on_cold: Callable[[web.Request], None] = lambda _: None
        self.close: Callable[[], None] = lambda: None
        self.stop: Callable[[], Awaitable[None]]
        self.port = 0
        self.connections: list[Connection] = []

    def _at_hand(self, method: str, target: str, asker: Asker, remote: str | None) -> Iterator[int | bytes]:
        assert remote == "127.0.0.1"
        if target == "/faulty":
            raise ValueError("a defect")
        if target == "/unsendable":
            yield from steps("a defect")  # type: ignore[arg-type]
        if target in UNUSUAL:
            yield from UNUSUAL[target](self.hot)
        if method != "GET" or target != "/hot":
            return
        self.at_once.append(target)
        self.callers.append(asker.headers.get("Authorization", ""))
        self.on_hot()
        yield from steps(self.hot)

    async def _close(self, _: web.Application) -> None:
        self.closing.set()

    async def _cold(self, request: web.Request) -> web.Response:
        self.callers.append(request.headers.get("Authorization", ""))
        await self.held.wait()
        await request.read()
        self.on_cold(request)
        return web.Response(body=b"c" * self.size)

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self.connections.append(connection)
        return connection


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""  # the last answer's

    async def answer(self) -> bytes:
        """Read one answer's body."""
        async with asyncio.timeout(PATIENCE):
            head = self.head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return await self.reader.readexactly(int(length.split(b":")[1]))

    async def ask(self, request: bytes) -> bytes:
        self.writer.write(request)
        return await self.answer()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def is_ended(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read() == b""


@asynccontextmanager
async def serving(*, keepalive: float = 60, bounds: Bounds = DEFAULT_BOUNDS) -> AsyncIterator[Served]:
    served = Served()
    served.application[KEEPER] = lambda loop: Keeper(bounds, loop, served.dropped.append)
    runner = Runner(served.application, access_log=None, shutdown_timeout=1, keepalive_timeout=keepalive)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.port = runner.addresses[0][1]
    assert runner.server is not None
    served.close = runner.server.pre_shutdown
    served.stop = runner.cleanup
    try:
        yield served
    finally:
        served.held.set()
        for connection in served.connections:
            await connection.close()
        await runner.cleanup()

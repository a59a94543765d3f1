"""Thousands of callers who keep connections, send slowly or do not read: memory is bounded, and others are served."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import socket
import sys
import time
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.api.bodies import body
from tests.api.client import Client
from tests.api.process import Running, environment, running
from tests.api.waiting import until
from tests.chaos.conftest import takes_its_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [
    takes_its_time,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc"),
]

MIB = 2**20
SMALL = body("Small")
SEGMENTS = 3000
LARGE_PAGE = 1000
IDLE = 10_000
MAX_CONNECTIONS = 12_000  # the service's, unless told
DESCRIPTORS = 13_000  # what a side needs for all of that
PROMPT = 5.0  # seconds, for slow machines; it takes some milliseconds


class Service:
    """A ``segsvc dev`` with a caller, and what it takes up."""

    def __init__(self, process: Running, http: aiohttp.ClientSession) -> None:
        said = "".join(process.out)
        urls = re.findall(r"http://127\.0\.0\.1:\d+", said)
        self.url = next(url for url in urls if f"{url}/segments" in said)
        self.ops_url = next(url for url in urls if f"{url}/readyz" in said or f"{url}/metrics" in said)
        self.port = int(self.url.rpartition(":")[2])
        editor, viewer = re.search(r"EDITOR_TOKEN=(\S+)", said), re.search(r"VIEWER_TOKEN=(\S+)", said)
        assert editor
        assert viewer
        self.editor = Client(http, self.url, editor[1])
        self.viewer = Client(http, self.url, viewer[1])
        self._http = http
        self._proc = Path(f"/proc/{process.pid}")

    def memory(self) -> int:
        """The bytes of memory that it has."""
        found = re.search(r"VmRSS:\s+(\d+) kB", (self._proc / "status").read_text(encoding="ascii"))
        assert found
        return int(found[1]) * 1024

    def descriptors(self) -> int:
        return sum(1 for _ in (self._proc / "fd").iterdir())

    async def dropped(self, reason: str) -> float:
        async with self._http.get(f"{self.ops_url}/metrics") as response:
            text = await response.text()
        found = re.search(rf'segsvc_connections_dropped_total{{reason="{reason}"}} (\S+)', text)
        return float(found[1]) if found else 0

    async def is_filled(self) -> bool:
        answer = await self.viewer.list()
        return answer.status == 200 and answer.json["totalCount"] >= LARGE_PAGE

    async def serves_others(self) -> None:
        """Check that one who comes now, on a new connection, is served at once; and health is, too."""
        for _ in range(5):
            async with aiohttp.ClientSession(auto_decompress=False) as http:
                began = time.monotonic()
                assert (await Client(http, self.url, self.viewer.token).list()).status == 200
                took = time.monotonic() - began
                assert took < PROMPT
        async with self._http.get(f"{self.ops_url}/livez") as response:
            assert response.status == 200


COMMAND = ("dev", "--port", "0", "--ops-port", "0", "--segments", str(SEGMENTS))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running(*COMMAND) as process, serving(process) as served:
        yield served


@asynccontextmanager
async def serving(process: Running) -> AsyncIterator[Service]:
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        await process.line(lambda line: "Ctrl-C" in line)
        served = Service(process, http)
        await until(served.is_filled)
        await served.viewer.list(pagesize=LARGE_PAGE)  # what that takes is there before anything is measured
        yield served


@contextmanager
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"takes {DESCRIPTORS} file descriptors, and this machine gives a process {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Connections that nobody reads from."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.members: list[socket.socket] = []

    async def grow(self, count: int, sends: bytes = b"") -> None:
        """Connect so many more, each of which sends this."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            member = socket.socket()
            member.setblocking(False)
            self.members.append(member)
            await loop.sock_connect(member, ("127.0.0.1", self._port))
            with contextlib.suppress(ConnectionError):  # it has been dropped already
                await loop.sock_sendall(member, sends)

    def ended(self) -> int:
        """How many connections the service has ended."""
        return sum(map(_is_ended, self.members))


def _is_ended(member: socket.socket) -> bool:
    try:
        while data := member.recv(MIB):
            del data
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


@asynccontextmanager
async def crowd(service: Service) -> AsyncIterator[Crowd]:
    with many_descriptors():
        found = Crowd(service.port)
        try:
            yield found
        finally:
            for member in found.members:
                member.close()


def poll(service: Service, path: str = "/segments") -> bytes:
    """A request by the crowd, which is another caller than the others."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.editor.token}\r\n\r\n".encode()


@pytest.mark.timeout(180)
async def test_10_000_idle_connections_and_more_than_there_may_be(service: Service) -> None:
    before, descriptors = service.memory(), service.descriptors()
    async with crowd(service) as idle:
        await idle.grow(IDLE // 2)
        await idle.grow(IDLE // 2, poll(service))
        await service.serves_others()
        assert idle.ended() == 0
        assert service.descriptors() > IDLE
        assert service.memory() - before < IDLE * 16 * 1024
        await idle.grow(MAX_CONNECTIONS + 200 - IDLE)
        await service.serves_others()
        assert 100 < idle.ended() < 1000
        assert all(map(_is_ended, idle.members[:100]))  # they had been idle for longest
        assert service.descriptors() < MAX_CONNECTIONS + 100

    async def gone() -> bool:
        return service.descriptors() < descriptors + 50

    await until(gone)
    await service.serves_others()


@pytest.mark.timeout(180)
async def test_heads_that_never_end(service: Service) -> None:
    before = service.memory()
    head = poll(service)[:-2] + b"X-Long: " + b"x" * 60 * 1024
    async with crowd(service) as slow:
        await slow.grow(3000, head)
        await service.serves_others()
        assert service.memory() - before < 160 * MIB  # all of them would be 180 MiB, and take twice that
        assert await service.dropped("slow_head") > 2000

        async def all_gone() -> bool:
            return slow.ended() == len(slow.members)

        await until(all_gone)


@pytest.mark.timeout(180)
async def test_bodies_that_trickle(service: Service) -> None:
    before = service.memory()
    head = (
        "POST /segments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {MIB}\r\nAuthorization: Bearer {service.editor.token}\r\n\r\n"
    ).encode()
    async with crowd(service) as slow:
        await slow.grow(300, head + b" " * (MIB - 1))
        await service.serves_others()
        assert service.memory() - before < 200 * MIB
        assert (await service.editor.create(SMALL)).status == 200


@pytest.mark.timeout(180)
async def test_callers_who_do_not_read(service: Service) -> None:
    before = service.memory()
    async with crowd(service) as deaf:
        await deaf.grow(1000, poll(service, f"/segments?pagesize={LARGE_PAGE}") * 4)

        async def dropped() -> bool:
            return await service.dropped("unsent") > 100

        await until(dropped)
        await service.serves_others()
        assert service.memory() - before < 250 * MIB  # what they asked for is 4 GB, and 1 GB in one answer each


@pytest.mark.timeout(120)
async def test_a_process_with_few_descriptors_keeps_some_for_itself() -> None:
    shell = 'ulimit -n 400; exec "$0" -m segsvc "$@"'
    process = Running(
        await asyncio.create_subprocess_exec(
            "sh", "-c", shell, sys.executable, *COMMAND, stdout=PIPE, stderr=PIPE, env=environment()
        )
    )
    try:
        async with serving(process) as service, crowd(service) as idle:
            await idle.grow(600)
            await service.serves_others()
            assert service.descriptors() < 300
            assert (await service.editor.create(SMALL)).status == 200  # which takes a connection to the cluster
    finally:
        await process.end()

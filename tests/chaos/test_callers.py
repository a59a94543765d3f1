"""Thousands of callers who keep connections, send slowly or do not read, and one who asks at full speed: memory is
bounded, and others are served.

The service is ``segsvc serve`` in front of a real API server, where there is one, else ``segsvc dev``.
"""

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
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Protocol

import aiohttp
import pytest
import pytest_asyncio

from tests.api.bodies import EDITOR, VIEWER, body
from tests.api.client import Client
from tests.api.conftest import serving_segments
from tests.api.process import SEGSVC, Running, environment, running
from tests.api.waiting import PATIENCE, until
from tests.chaos.conftest import takes_its_time
from tests.chaos.filled import fill
from tests.support.envtest import assets_directory, unique_namespace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from segsvc.devcluster.issuer import TokenIssuer

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
    """A service with callers, and what it takes up."""

    def __init__(self, process: Running, http: aiohttp.ClientSession, urls: tuple[str, str], *tokens: str) -> None:
        self.url, self.ops_url = urls
        self.port = int(self.url.rpartition(":")[2])
        self.editor, self.viewer = (Client(http, self.url, token) for token in tokens)
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


class Serve(Protocol):
    """Runs a service, or the program that runs it."""

    def __call__(self, *, program: Sequence[str] = SEGSVC) -> AbstractAsyncContextManager[Service]: ...


@pytest_asyncio.fixture(scope="module")
async def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str] | None:
    """What leads a service to a real API server with segments; None where there is none."""
    if assets_directory() is None:
        return None
    cluster, namespace = serving_segments(request.getfixturevalue("real_cluster")), unique_namespace("callers")
    async with aiohttp.ClientSession(connector=cluster.connector()) as admin:
        await fill(admin, cluster, namespace, SEGMENTS)
    kubeconfig = cluster.write_kubeconfig(tmp_path_factory.mktemp("callers") / "kubeconfig", namespace=namespace)
    return {"KUBECONFIG": str(kubeconfig), "SEGSVC_NAMESPACE": namespace, "SEGSVC_OIDC_ISSUER": ""}


@pytest.fixture
def serve(settings: dict[str, str] | None, issuer: TokenIssuer) -> Serve:
    return (
        serving_dev if settings is None else partial(serving, {**settings, "SEGSVC_OIDC_ISSUER": issuer.issuer}, issuer)
    )


@pytest_asyncio.fixture
async def service(serve: Serve) -> AsyncIterator[Service]:
    async with serve() as service:
        yield service


@asynccontextmanager
async def serving(
    settings: dict[str, str], issuer: TokenIssuer, *, program: Sequence[str] = SEGSVC
) -> AsyncIterator[Service]:
    own = {"SEGSVC_HOST": "127.0.0.1", "SEGSVC_PORT": "0", "SEGSVC_OPS_PORT": "0"}
    async with running("serve", program=program, **settings, **own) as process, callers() as http:
        started = await process.event("started")
        roles = {"Edda": [EDITOR, VIEWER], "Vera": [VIEWER]}
        tokens = [issuer.issue(name=name, email="", roles=roles[name]) for name in roles]
        yield await filled(Service(process, http, (started["url"], started["ops_url"]), *tokens))


@asynccontextmanager
async def serving_dev(*, program: Sequence[str] = SEGSVC) -> AsyncIterator[Service]:
    arguments = ("--port", "0", "--ops-port", "0", "--segments", str(SEGMENTS))
    async with running("dev", *arguments, program=program) as process, callers() as http:
        await process.line(lambda line: "Ctrl-C" in line)
        said = "".join(process.out)
        urls = re.findall(r"http://127\.0\.0\.1:\d+", said)
        url = next(url for url in urls if f"{url}/segments" in said)
        ops_url = next(url for url in urls if f"{url}/readyz" in said or f"{url}/metrics" in said)
        editor, viewer = re.search(r"EDITOR_TOKEN=(\S+)", said), re.search(r"VIEWER_TOKEN=(\S+)", said)
        assert editor
        assert viewer
        yield await filled(Service(process, http, (url, ops_url), editor[1], viewer[1]))


def callers() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(auto_decompress=False)


async def filled(service: Service) -> Service:
    """Return a service that is ready to be measured."""
    await until(service.is_filled)
    await service.viewer.list(pagesize=LARGE_PAGE)  # what that takes is there before anything is measured
    return service


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
        async with asyncio.timeout(100):  # a GB is on its way before there is anything to drop
            while await service.dropped("unsent") <= 100:  # noqa: ASYNC110 (it is another process that drops)
                await asyncio.sleep(0.1)
        await service.serves_others()
        assert service.memory() - before < 250 * MIB  # what they asked for is 4 GB, and 1 GB in one answer each


FEW_DESCRIPTORS = """
import resource
from segsvc.cli import process

resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))
process()
"""


@pytest.mark.timeout(120)
async def test_a_process_with_few_descriptors_keeps_some_for_itself(serve: Serve) -> None:
    async with serve(program=("-c", FEW_DESCRIPTORS)) as service, crowd(service) as idle:
        await idle.grow(600)
        await service.serves_others()
        assert service.descriptors() < 300
        assert (await service.editor.create(SMALL)).status == 200  # which takes a connection to the cluster


POLLS = 20
SLICE = 0.003  # seconds for which a busy machine may have a process wait


class Greed:
    """One who asks at full speed, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answers(self) -> int:
        """How many answers there have been."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"\n")
        async with asyncio.timeout(PATIENCE):
            return int(await self._process.stdout.readline())


@asynccontextmanager
async def greedy(service: Service, path: str) -> AsyncIterator[Greed]:
    command = ("-m", "tests.chaos.greedy", service.url, service.editor.token or "", path)
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdin=PIPE, stdout=PIPE, env=environment())
    try:
        greed = Greed(process)

        async def is_at_it() -> bool:
            return await greed.answers() > 0

        await until(is_at_it)
        yield greed
    finally:
        process.kill()
        await process.communicate()


async def latency(service: Service, path: str, numbers: range) -> float:
    """How long the polls of one who asks this with these numbers take, in the median."""
    seconds = []
    for number in numbers:
        began = time.perf_counter()
        assert (await service.viewer.get(path.format(number))).status == 200
        seconds.append(time.perf_counter() - began)
    return median(seconds)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("coveted", "polled"),
    [
        pytest.param("/segments", "/segments?pagesize=5", id="what-is-at-hand"),
        pytest.param("/segments?search=berlin+{}", "/segments?search=summer+{}", id="searches"),
    ],
)
async def test_one_who_asks_at_full_speed(service: Service, coveted: str, polled: str) -> None:
    """Coarse, to see that there are turns: what is promised of them is measured by tests/bench/fairness.py."""
    await latency(service, polled, range(POLLS))  # once, for what is made but once
    alone = await latency(service, polled, range(POLLS, 2 * POLLS))
    async with greedy(service, coveted) as greed:
        before = await greed.answers()
        beside = await latency(service, polled, range(2 * POLLS, 3 * POLLS))
        assert await greed.answers() > before + POLLS
    assert beside < 10 * alone + SLICE

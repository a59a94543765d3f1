"""SIGTERM under load loses no answer, and SIGKILL within a write leaves nothing that a restart sees wrongly."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.bodies import body, with_env
from tests.api.clusters import Lost, Resources
from tests.api.conftest import admin, cluster, http, issuer, no_public_authorities, relay
from tests.api.process import Running, running
from tests.api.test_process import Served, settings
from tests.api.waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    import aiohttp

    from segsvc.devcluster.issuer import TokenIssuer
    from tests.api.client import Answer, Client
    from tests.api.clusters import Call, Cluster, Relay

__all__ = ["admin", "cluster", "http", "issuer", "no_public_authorities", "relay", "settings"]

pytestmark = [
    pytest.mark.parametrize(
        "cluster",
        [pytest.param("kube-apiserver", marks=pytest.mark.real_cluster)],
        indirect=True,
        scope="session",
    ),
    pytest.mark.timeout(120),
]

STOP_SECONDS = 15
POLLERS, WRITERS, SLOW_READERS = 32, 8, 8
ID = "some-segment"
LARGE, LARGE_ONES = "x" * 100_000, 80
"""In one answer, they are more than the kernel takes in for a slow reader."""


class Scene:
    """A cluster, a way to it that can be held up, and processes that serve it."""

    def __init__(
        self, settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession, resources: Resources
    ) -> None:
        self._settings = settings
        self._issuer = issuer
        self._http = http
        self.resources = resources

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Served]:
        async with running("serve", **self._settings) as process:
            served = Served(process, await process.event("started"), self._issuer, self._http)
            await until(served.is_ready)
            yield served


@pytest.fixture
def resources(cluster: Cluster, settings: dict[str, str], admin: aiohttp.ClientSession) -> Resources:
    return Resources(admin, cluster, settings["SEGSVC_NAMESPACE"])


@pytest.fixture
def relayed_settings(cluster: Cluster, settings: dict[str, str], relay: Relay) -> dict[str, str]:
    namespace = settings["SEGSVC_NAMESPACE"]
    cluster.write_kubeconfig(Path(settings["KUBECONFIG"]), namespace=namespace, url=relay.url)
    return settings


@pytest.fixture
def scene(
    relayed_settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession, resources: Resources
) -> Scene:
    return Scene(relayed_settings, issuer, http, resources)


class Caller:
    """A connection that requests are sent on one by one, each with a trace id of its own."""

    def __init__(self, client: Client, *, reads_slowly: bool = False) -> None:
        self._client = client
        self._slowly = reads_slowly
        self.answered: list[str] = []
        self.statuses: set[int] = set()

    async def connect(self) -> None:
        host, port = self._client.url.removeprefix("http://").split(":")
        connection = socket.socket()
        connection.setblocking(False)
        if self._slowly:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
        self._reader, self._writer = await asyncio.open_connection(sock=connection, limit=2**16)

    def send(self, path: str) -> str:
        trace = secrets.token_hex(16)
        self._writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._client.token}\r\n"
            f"traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n".encode()
        )
        return trace

    async def receive(self, trace: str) -> None:
        """Read an answer to its end. Raises IncompleteReadError, ConnectionError."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        left = int(head.partition("content-length: ")[2].split("\r\n")[0])
        self.statuses.add(int(head.split()[1]))
        while left:
            if self._slowly:
                await asyncio.sleep(0.01)  # this is what a slow reader does
            part = await self._reader.read(min(left, 2**15))
            if not part:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(part)
        self.answered.append(trace)

    async def poll(self, path: str) -> None:
        """Ask again and again until the connection ends."""
        try:
            while True:
                await self.receive(self.send(path))
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    def close(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def connected(client: Client, count: int, *, reads_slowly: bool = False) -> AsyncIterator[list[Caller]]:
    callers = [Caller(client, reads_slowly=reads_slowly) for _ in range(count)]
    for caller in callers:
        await caller.connect()
    try:
        yield callers
    finally:
        for caller in callers:
            caller.close()


def requests(process: Running) -> list[str]:
    """The trace ids of the requests that the process has taken, as its log has them."""
    return [event["trace_id"] for event in process.events if event["event"] == "request"]


async def test_sigterm_under_load_loses_no_answer(scene: Scene, relay: Relay) -> None:
    for number in range(LARGE_ONES):
        spec = with_env(FILL=LARGE)
        await scene.resources.create(f"large-{number}", spec=spec)
    under_way: list[Call] = []

    async def slow(call: Call) -> None:
        if call.is_write:
            under_way.append(call)
            await asyncio.sleep(1)

    async with scene.serving() as served:
        large_page = f"/segments?pagesize={LARGE_ONES}"
        answers = [await served.editor.get(large_page) for _ in range(2)]  # from then on it is at hand
        relay.before = slow
        async with (
            connected(served.editor, POLLERS) as pollers,
            connected(served.editor, SLOW_READERS, reads_slowly=True) as readers,
            asyncio.TaskGroup() as tasks,
        ):
            polling = [tasks.create_task(caller.poll("/segments?pagesize=1")) for caller in pollers]
            reading = [tasks.create_task(caller.poll(large_page)) for caller in readers]

            async def all_read() -> bool:
                return all(caller.answered for caller in (*pollers, *readers))

            await until(all_read)  # the first answer of a connection is a handler's, the next ones are not
            writing = [
                tasks.create_task(served.editor.create(body(), f"written-{number}")) for number in range(WRITERS)
            ]

            async def all_write() -> bool:
                return len(under_way) == WRITERS

            await until(all_write)
            began = time.monotonic()
            served.process.tell(signal.SIGTERM)
            assert await served.process.ended() == 0
            assert time.monotonic() - began < STOP_SECONDS
            await asyncio.wait([*polling, *reading])
        answers += [task.result() for task in writing]
        answered = {trace for caller in (*pollers, *readers) for trace in caller.answered}
        answered |= {answer.headers["X-Trace-Id"] for answer in answers}
        logged = [trace for trace in requests(served.process) if trace not in answered]
    assert {answer.status for answer in answers} == {200}
    assert {status for caller in (*pollers, *readers) for status in caller.statuses} == {200}
    assert logged == []
    assert {f"written-{number}" for number in range(WRITERS)} <= set(await scene.resources.names())


async def test_what_had_come_in_before_sigterm_is_answered(scene: Scene) -> None:
    async with scene.serving() as served, connected(served.editor, 50) as callers:
        for caller in callers:
            await caller.receive(caller.send("/segments"))
        served.process.tell(signal.SIGSTOP)
        async with connected(served.editor, 50) as newcomers:
            sent = [(caller, caller.send("/segments")) for caller in (*callers, *newcomers)]
            served.process.tell(signal.SIGTERM)
            served.process.tell(signal.SIGCONT)
            async with asyncio.timeout(PATIENCE):
                for caller, trace in sent:
                    await caller.receive(trace)
            assert await served.process.ended() == 0


async def create(editor: Client) -> Answer:
    return await editor.create(body("New"), ID)


async def replace(editor: Client) -> Answer:
    return await editor.replace(ID, body("New"))


async def delete(editor: Client) -> Answer:
    return await editor.delete(ID)


def is_read(call: Call) -> bool:
    return call.method == "GET" and call.target.endswith(f"/{ID}")


def is_write(call: Call) -> bool:
    return call.is_write


class Kill:
    """Holds up a call of a write, and decides what becomes of it once the process is dead."""

    def __init__(self, holds: Callable[[Call], bool], *, arrives: bool) -> None:
        self._holds = holds
        self._arrives = arrives
        self.reached = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, call: Call) -> None:
        if self._holds(call) and not self.reached.is_set():
            self.reached.set()
            await self.released.wait()
            if not self._arrives:
                raise Lost


MOMENTS: dict[str, Any] = {
    "before-it-reads": ("before", is_read, False),
    "when-it-has-read": ("after", is_read, False),
    "before-it-writes": ("before", is_write, False),
    "when-it-has-written": ("after", is_write, False),
}


@pytest.mark.parametrize(
    ("write", "moment"),
    [
        (write, moment)
        for write in (create, replace, delete)
        for moment, (_, holds, _) in MOMENTS.items()
        if write is not create or holds is is_write  # a create reads nothing before it writes
    ],
)
async def test_sigkill_within_a_write_leaves_all_of_it_or_nothing(
    scene: Scene, relay: Relay, write: Callable[[Client], Coroutine[Any, Any, Answer]], moment: str
) -> None:
    hook, holds, arrives = MOMENTS[moment]
    old = None if write is create else "Old"
    if old:
        await scene.resources.create(ID, annotations={"segment.grnry.io/display-name": old})
    kill = Kill(holds, arrives=arrives)
    async with scene.serving() as served:
        setattr(relay, hook, kill)
        writing = asyncio.create_task(write(served.editor))
        reached = asyncio.create_task(kill.reached.wait())
        await asyncio.wait([writing, reached], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        assert reached.done(), writing
        served.process.tell(signal.SIGKILL)
        assert await served.process.ended() == -signal.SIGKILL
        await asyncio.wait([writing])
        assert writing.exception() is not None  # nobody was told of a success
    kill.released.set()
    written = moment == "when-it-has-written"
    new = None if write is delete else "New"
    async with scene.serving() as served:
        answer = await served.editor.read(ID, minRevision=await scene.resources.revision())
        shown = answer.json["metadata"]["displayName"] if answer.status == 200 else None
        assert shown == (new if written else old)
        assert (await scene.resources.names() == [ID]) == (shown is not None)
        # and whoever asks again gets what the first time should have been
        again = await write(served.editor)
        assert again.status in ({409, 404} if written and write is not replace else {200, 204})

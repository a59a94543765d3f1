"""How much is done in a turn of the event loop, without sockets: what is looked at, and what is sent."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from segsvc.web.bounds import DEFAULT_BOUNDS, Keeper
from segsvc.web.server import _BYTES, HANDLED, ROW, ROW_SECONDS, _Server
from tests.web.served import Askers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from tests.web.served import Asker

SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def request_of(caller: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {caller}\r\n\r\n".encode()


class Wire(asyncio.Transport):
    """A connection's transport: one that has always sent all, or so it says."""

    def __init__(self, written: Callable[[], None]) -> None:
        super().__init__()
        self._written = written

    def write(self, _: object) -> None:
        self._written()

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        pass


class Driven:
    """A server, and what it did: ``looked`` at whose requests, and sent whom (``sent``) their answers."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.told = 0
        self.answer = SHORT
        self.on_look: Callable[[], None] = lambda: None
        self.on_make: Callable[[], None] = lambda: None
        self.connections: list[Any] = []

        async def handle(_: web.BaseRequest) -> web.Response:
            raise NotImplementedError

        loop = asyncio.get_running_loop()
        self.server = _Server(
            handle,
            field_reader=Askers(),
            at_once=self._look,
            keeper=lambda _: Keeper(DEFAULT_BOUNDS, loop, self.done.append),
        )

    def _look(self, _method: str, _target: str, asker: Asker, _remote: object) -> Iterator[int | bytes]:
        self.done.append(f"looked {asker.caller}")
        self.on_look()
        yield len(self.answer)
        self.on_make()
        yield self.answer
        self.told += 1

    def connect(self, wire: Wire) -> Any:
        connection: Any = self.server()
        connection.connection_made(wire)
        self.connections.append(connection)
        return connection

    async def ask(self, *callers: str) -> None:
        """Have requests come in, each by a connection of its own."""
        connections = [
            self.connect(Wire(lambda caller=caller: self.done.append(f"sent {caller}")))  # type: ignore[misc]
            for caller in callers
        ]
        await asyncio.sleep(0)  # they wait for a request now
        for connection, caller in zip(connections, callers, strict=True):
            connection.data_received(request_of(caller))

    async def turn(self) -> list[str]:
        """What is done in a turn of the loop."""
        self.done.clear()
        await asyncio.sleep(0)
        return list(self.done)


@contextmanager
def driven() -> Iterator[Driven]:
    made = Driven()
    try:
        yield made
    finally:
        for connection in made.connections:
            connection.connection_lost(None)


async def test_a_row_is_answered_at_a_time() -> None:
    with driven() as made:
        await made.ask(*["a"] * (ROW + 1))
        assert await made.turn() == ["looked a"] * ROW + ["sent a"] * ROW
        assert await made.turn() == ["looked a", "sent a"]


async def test_nobody_has_a_second_turn_before_all_have_been_sent_their_first_answer() -> None:
    with driven() as made:
        await made.ask("a", "a", "a", "b")
        assert await made.turn() == ["looked a", "looked b", "sent a", "sent b"]
        assert await made.turn() == ["looked a", "looked a", "sent a", "sent a"]


async def test_a_large_answer_counts_for_several() -> None:
    with driven() as made:
        await made.ask(*["a"] * 4)
        made.answer = SHORT + b"x" * (ROW // 2 * _BYTES)
        assert await made.turn() == ["looked a", "looked a", "sent a", "sent a"]


@pytest.fixture
def take_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The only way in which time passes: each call takes half of what a row has."""
    now = 0.0

    def pass_time() -> None:
        nonlocal now
        now += ROW_SECONDS / 2

    monkeypatch.setattr("segsvc.web.server.perf_counter", lambda: now)
    return pass_time


async def test_what_takes_long_ends_a_row(take_time: Callable[[], None]) -> None:
    with driven() as made:
        made.on_look = take_time
        await made.ask(*["a"] * 4)
        assert await made.turn() == ["looked a", "looked a", "sent a", "sent a"]


async def test_what_takes_long_to_make_ends_a_row_and_the_rest_is_found_anew(take_time: Callable[[], None]) -> None:
    with driven() as made:
        made.on_make = take_time
        await made.ask("a", "b", "c", "a")
        assert await made.turn() == ["looked a", "looked b", "looked c", "sent a", "sent b"]
        assert await made.turn() == ["looked a", "looked c", "sent a", "sent c"]
        assert await made.turn() == []
        assert made.told == 4


@pytest.mark.parametrize("slow", ["on_look", "on_make"])
async def test_who_comes_later_has_a_turn_before_the_rest_of_a_row_that_took_long(
    take_time: Callable[[], None], slow: str
) -> None:
    with driven() as made:
        setattr(made, slow, take_time)
        await made.ask(*["a"] * ROW)
        assert (await made.turn())[-2:] == ["sent a"] * 2
        waiting = asyncio.create_task(made.ask("b"))
        turns = [await made.turn() for _ in range(3)]
        assert any("sent b" in turn for turn in turns)
        await waiting


async def test_the_rest_of_a_row_comes_before_its_callers_later_requests(take_time: Callable[[], None]) -> None:
    with driven() as made:
        made.on_make = take_time
        sent: list[int] = []
        connections = [made.connect(Wire(partial(sent.append, number))) for number in range(ROW + 2)]
        await asyncio.sleep(0)
        for connection in connections:
            connection.data_received(request_of("a"))
        for _ in connections:
            await made.turn()
        assert sent == list(range(ROW + 2))


async def test_a_request_with_two_places_in_the_queue_is_answered_once() -> None:
    class Kept(Wire):
        def __init__(self) -> None:
            super().__init__(lambda: None)
            self.written = b""

        def write(self, data: Any) -> None:
            self.written += bytes(data)

    with driven() as made:
        wire = Kept()
        connection = made.connect(wire)
        await asyncio.sleep(0)
        made.server.hold(connection, "a")  # as if a request that aiohttp has answered meanwhile had been held back
        connection.data_received(request_of("a"))
        assert await made.turn() == ["looked a"]
        assert wire.written == SHORT


async def test_who_does_not_read_is_left_to_aiohttp() -> None:
    with driven() as made:
        connection = made.connect(Wire(lambda: None))
        await asyncio.sleep(0)
        connection.pause_writing()
        connection.data_received(request_of("a"))
        assert await made.turn() == []


async def test_few_requests_left_to_the_handlers_begin_in_a_turn() -> None:
    with driven() as made:
        handled = []

        async def handle() -> None:
            await made.server.turn("a")
            handled.append("a")

        async with asyncio.TaskGroup() as tasks:
            for _ in range(2 * ROW):
                tasks.create_task(handle())
            await asyncio.sleep(0)
            for turns in range(4):  # a task goes on in the turn after that in which it may
                assert len(handled) <= turns * HANDLED
                await asyncio.sleep(0)
        assert len(handled) == 2 * ROW


async def test_what_is_at_hand_does_not_wait_for_what_is_not() -> None:
    with driven() as made:
        waiting = [asyncio.create_task(made.server.turn("a")) for _ in range(2 * HANDLED)]
        await asyncio.sleep(0)
        await made.ask(*["b"] * ROW)
        assert await made.turn() == ["looked b"] * ROW + ["sent b"] * ROW
        await asyncio.gather(*waiting)


async def test_all_of_an_answer_is_held_until_it_has_been_sent() -> None:
    with driven() as made:
        await made.ask("a")
        await made.turn()
        assert made.connections[0].unsent == 0
        assert made.connections[0].held == len(SHORT)

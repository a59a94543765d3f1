"""Callers take turns: one who asks for much does not keep the others waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from segsvc.web.server import ROW
from segsvc.web.turns import FairLock, Rounds
from tests.web.served import GET_COLD, PATIENCE, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.web.served import Connection, Served

MANY = 5 * ROW


def asks(path: str, caller: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {caller}\r\n\r\n".encode()


async def connected(served: Served, count: int) -> list[Connection]:
    """Connections that have had an answer, so that the server waits for their next request."""
    connections = [await served.connect() for _ in range(count)]
    for connection in connections:
        await connection.ask(GET_COLD)
    served.callers.clear()
    return connections


def test_rounds_hand_out_one_of_each_caller() -> None:
    rounds: Rounds[int] = Rounds()
    for number in range(4):
        rounds.put("greedy", number)
    rounds.put("other", 10)
    taken = [rounds.take(), rounds.take()]
    rounds.put("third", 20)
    while rounds:
        taken.append(rounds.take())
    assert taken == [0, 10, 1, 20, 2, 3]


def test_what_is_put_back_comes_first_of_its_callers_own_and_behind_the_others() -> None:
    rounds: Rounds[int] = Rounds()
    for number in range(3):
        rounds.put("greedy", number)
    rounds.put("other", 10)
    taken = [rounds.take() for _ in range(3)]
    assert taken == [0, 10, 1]
    for caller, item in (("greedy", 1), ("other", 10), ("greedy", 0)):
        rounds.put(caller, item, first=True)
    assert [rounds.take() for _ in range(4)] == [0, 10, 1, 2]
    assert not rounds


@pytest.mark.parametrize("path", ["/hot", "/cold"], ids=["at-once", "by-handlers"])
async def test_a_request_does_not_wait_for_all_of_a_greedy_caller(path: str) -> None:
    async with serving() as served:
        *greedy, other = await connected(served, MANY + 1)
        for connection in greedy:
            connection.writer.write(asks(path, "greedy"))
        other.writer.write(asks(path, "other"))
        for connection in (*greedy, other):
            await connection.answer()
    assert served.callers.index("other") <= 1


@pytest.mark.parametrize("path", ["/hot", "/cold"], ids=["at-once", "by-handlers"])
@pytest.mark.parametrize(
    "named",
    [lambda number: f"one{' ' * number}name", lambda number: f"stranger {number}"],
    ids=["spellings", "strangers"],
)
async def test_no_one_has_more_turns_by_other_names(path: str, named: Callable[[int], str]) -> None:
    async with serving() as served:
        *greedy, other = await connected(served, MANY + 1)
        for number, connection in enumerate(greedy):
            connection.writer.write(asks(path, named(number + 1)))
        other.writer.write(asks(path, "other"))
        for connection in (*greedy, other):
            await connection.answer()
    assert served.callers.index("other") < ROW


async def test_a_request_that_comes_in_later_does_not_wait_for_all_of_a_greedy_caller() -> None:
    async with serving() as served:
        *greedy, other = await connected(served, MANY + 1)

        def come_in() -> None:
            if len(served.callers) == 1:
                other.writer.write(asks("/hot", "other"))

        served.on_hot = come_in
        for connection in greedy:
            connection.writer.write(asks("/hot", "greedy"))
        for connection in (*greedy, other):
            await connection.answer()
    assert served.callers.index("other") <= 2 * ROW + 1


class TestFairLock:
    async def test_it_goes_round(self) -> None:
        lock, order = FairLock(), []

        async def hold(caller: str) -> None:
            async with lock.held_by(caller):
                order.append(caller)
                await asyncio.sleep(0)

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            for caller in ("greedy",) * 4 + ("other",):
                tasks.create_task(hold(caller))
        assert order == ["greedy", "greedy", "other", "greedy", "greedy"]

    @pytest.mark.parametrize("at_once", [False, True], ids=["while-it-waits", "as-its-turn-comes"])
    async def test_who_goes_away_holds_nobody_up(self, at_once: bool) -> None:
        lock, held, release = FairLock(), asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with lock.held_by("a"):
                held.set()
                await release.wait()
            if at_once:
                second.cancel()

        async def pass_through() -> None:
            async with lock.held_by("b"):
                pass

        async with asyncio.timeout(PATIENCE):
            first = asyncio.create_task(hold())
            await held.wait()
            second, third = asyncio.create_task(pass_through()), asyncio.create_task(pass_through())
            await asyncio.sleep(0)
            if not at_once:
                second.cancel()
            release.set()
            await asyncio.wait([first, second])
            await third
            await pass_through()
        assert second.cancelled()

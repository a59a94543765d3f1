"""Whom the keeper drops, by a clock that is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from segsvc.web.bounds import CHECK_SECONDS, Bounds, Keeper

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """An event loop, as far as a keeper uses it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._soon: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._later: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self._soon.append((callback, args))

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        self._later.append((self.now + delay, callback))
        return object()

    def turn(self) -> None:
        due, self._soon = self._soon, []
        for callback, args in due:
            callback(*args)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        self.turn()
        while self._later and self._later[0][0] <= end:
            self.now, callback = self._later.pop(0)
            callback()
        self.now = end

    @property
    def rests(self) -> bool:
        return not self._later


class Caller:
    def __init__(self, *, unsent: int = 0, idle: bool = True, active_at: float = 0) -> None:
        self.idle = idle
        self.active_at = active_at
        self.unsent = self.held = unsent
        self.dropped = False

    def drop(self) -> None:
        self.dropped = True


class Kept:
    """A keeper and its clock."""

    def __init__(self, **bounds: Any) -> None:
        self.clock = Clock()
        self.reasons: list[str] = []
        loop: Any = self.clock
        self.keeper = Keeper(Bounds(**bounds), loop, self.reasons.append)

    def stalls(self, unsent: int) -> Caller:
        caller = Caller(unsent=unsent)
        self.keeper.stalls(caller)
        self.clock.turn()
        return caller


def dropped(*callers: Caller) -> list[bool]:
    return [caller.dropped for caller in callers]


class TestUnsent:
    def test_who_has_read_nothing_for_longest_goes_first(self) -> None:
        kept = Kept(unsent_bytes=300)
        reader, deaf, other = [kept.stalls(100) for _ in range(3)]
        reader.unsent -= 10
        newcomer = kept.stalls(100)
        assert dropped(reader, deaf, other, newcomer) == [False, True, False, False]
        assert kept.reasons == ["unsent"]

    def test_what_was_read_some_time_ago_counts_as_of_then(self) -> None:
        kept = Kept(unsent_bytes=300)
        reader, deaf, other = [kept.stalls(100) for _ in range(3)]
        for caller in (other, deaf, reader):
            caller.unsent -= 10
            kept.clock.wait(CHECK_SECONDS)
        newcomer = kept.stalls(100)
        assert dropped(reader, deaf, other, newcomer) == [False, False, True, False]

    def test_where_all_read_the_one_that_stalled_first_goes(self) -> None:
        kept = Kept(unsent_bytes=300)
        readers = [kept.stalls(100) for _ in range(3)]
        for reader in readers:
            reader.unsent -= 10
        newcomer = kept.stalls(100)
        assert dropped(*readers, newcomer) == [True, False, False, False]

    def test_what_the_kernel_takes_is_nothing_that_was_read(self) -> None:
        kept = Kept(unsent_bytes=300)
        reader = kept.stalls(100)
        deaf = Caller(unsent=100)
        kept.keeper.stalls(deaf)
        deaf.unsent -= 50
        kept.clock.turn()
        reader.unsent -= 10
        kept.stalls(200)
        assert dropped(reader, deaf) == [False, True]

    def test_all_of_an_answer_counts_and_not_what_is_left_of_it(self) -> None:
        kept = Kept(unsent_bytes=300)
        for _ in range(3):
            caller = Caller(unsent=10)
            caller.held = 100
            kept.keeper.stalls(caller)
        assert kept.reasons == []
        kept.stalls(1)
        assert kept.reasons == ["unsent"]

    def test_who_has_caught_up_does_not_count(self) -> None:
        kept = Kept(unsent_bytes=300)
        first = kept.stalls(300)
        kept.keeper.flows(first)
        kept.stalls(300)
        assert kept.reasons == []

    def test_one_alone_may_have_any_answer(self) -> None:
        kept = Kept(unsent_bytes=300)
        kept.stalls(1000)
        assert kept.reasons == []


class TestStalled:
    def test_who_reads_nothing_for_too_long_is_dropped(self) -> None:
        kept = Kept(stalled_seconds=10)
        reader, deaf = kept.stalls(100), kept.stalls(100)
        for _ in range(8):
            reader.unsent -= 1
            kept.clock.wait(2)
        assert dropped(reader, deaf) == [False, True]
        assert kept.reasons == ["stalled"]


class TestHeads:
    def test_a_connection_that_is_gone_is_in_no_head(self) -> None:
        kept = Kept(unfinished_heads=2, head_seconds=10)
        gone, first, second = Caller(), Caller(), Caller()
        kept.keeper.head_begins(gone)
        kept.keeper.closed(gone)
        for caller in (first, second):
            kept.keeper.head_begins(caller)
        assert kept.reasons == []
        kept.keeper.head_ends(first)
        kept.keeper.head_ends(second)
        kept.clock.wait(20)
        assert kept.reasons == []
        assert kept.clock.rests

    def test_the_one_that_has_been_at_it_for_longest_goes_first(self) -> None:
        kept = Kept(unfinished_heads=2)
        callers = [Caller() for _ in range(3)]
        for caller in callers:
            kept.keeper.head_begins(caller)
        assert dropped(*callers) == [True, False, False]

    @pytest.mark.parametrize("idle", [False, True])
    def test_only_who_is_slow_is_dropped(self, idle: bool) -> None:
        kept = Kept(head_seconds=10)
        caller = Caller(idle=idle)
        kept.keeper.head_begins(caller)
        kept.clock.wait(9)
        assert dropped(caller) == [False]
        kept.clock.wait(3)
        assert dropped(caller) == [idle]
        caller.idle = True
        kept.clock.wait(12)
        assert dropped(caller) == [True]
        assert kept.reasons == ["slow_head"]


class TestCrowded:
    def test_who_has_been_idle_for_longest_makes_room(self) -> None:
        kept = Kept(connections=3)
        callers = [Caller(active_at=at) for at in (3, 1, 2)]
        newcomer = Caller(idle=False)
        kept.keeper.opened(newcomer, [*callers, newcomer])
        kept.clock.turn()
        assert dropped(*callers, newcomer) == [False, True, False, False]
        assert kept.reasons == ["crowded"]

    def test_where_nobody_is_idle_the_newcomer_goes_in_the_next_turn(self) -> None:
        kept = Kept(connections=1)
        busy, newcomer = Caller(idle=False), Caller(idle=False)
        kept.keeper.opened(newcomer, [busy, newcomer])
        assert not newcomer.dropped
        kept.clock.turn()
        assert dropped(busy, newcomer) == [False, True]

"""Turns: callers who wait for the same thing get it one each per round, however much each of them asks for."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Rounds(Generic[_Item]):
    """A queue that hands out one item of each caller per round, each caller's own in their order."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[_Item]] = {}  # whose turn it is comes first

    def __len__(self) -> int:
        """Return how many callers wait."""
        return len(self._waiting)

    def put(self, caller: Hashable, item: _Item, *, first: bool = False) -> None:
        """Take in an item, which comes last of its caller's own, or ``first``, as one that had been handed out."""
        own = self._waiting.get(caller)
        if own is None:
            self._waiting[caller] = deque((item,))
        elif first:
            own.appendleft(item)
        else:
            own.append(item)

    def take(self) -> _Item:
        """Hand out the next one; there must be one."""
        caller = next(iter(self._waiting))
        own = self._waiting.pop(caller)
        item = own.popleft()
        if own:
            self._waiting[caller] = own
        return item


class FairLock:
    """A lock that goes round among the callers who wait for it."""

    def __init__(self) -> None:
        self._held = False
        self._waiting: Rounds[asyncio.Future[None]] = Rounds()

    @asynccontextmanager
    async def held_by(self, caller: Hashable) -> AsyncIterator[None]:
        """Hold the lock, when it is this caller's turn."""
        if self._held:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.put(caller, turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._pass_on()  # it came at the same time
                raise
        self._held = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.take()
            if not turn.done():
                turn.set_result(None)
                return
        self._held = False

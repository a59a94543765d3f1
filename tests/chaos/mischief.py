"""Faults as they come at random: made through a relay, each for a while or for a few calls, and kept account of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.faults import Call, Lost, Refused, Relay, Torn


@dataclass(frozen=True)
class Fault:
    """Something that befalls the next ``times`` calls of some kinds, ``before`` or ``after`` the cluster has them."""

    what: Lost | Torn | Refused | float
    where: str
    kinds: frozenset[str]
    times: int


class Mischief:
    """What interferes, by way of a relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._faults: list[Fault] = []
        self._mending: asyncio.Task[None] | None = None
        self._thaw: asyncio.TimerHandle | None = None
        self._met = 0
        self.blinded = False
        """Whether something may have been in the way of looking at what became of a write."""
        relay.before = lambda call: self._befall("before", call)
        relay.after = lambda call: self._befall("after", call)

    def begin(self) -> None:
        """Forget what was in the way of earlier writes; what still is, may be in the way of any call."""
        self._met = 0
        self.blinded = not self._relay.flowing.is_set() or self._mending is not None

    @property
    def hindered(self) -> bool:
        """Whether anything was in the way of any call."""
        return self._met > 0 or self.blinded

    def arrange(self, *faults: Fault) -> None:
        """Have these befall the next calls of their kinds, one each."""
        for fault in faults:
            self._faults += [fault] * fault.times

    async def hold_watch(self) -> None:
        self._relay.watching.clear()

    async def tear_watch(self, fault: Lost | Torn) -> None:
        """Break the watch off in its next event."""

        async def tear(_: Call) -> None:
            self._relay.during = None
            raise fault

        self._relay.during = tear

    async def freeze(self, seconds: float) -> None:
        """Let nothing through for so long from now, whatever was to be before."""
        self._forget_thaw()
        self._relay.flowing.clear()
        self._thaw = asyncio.get_running_loop().call_later(seconds, self._relay.flowing.set)

    def _forget_thaw(self) -> None:
        if self._thaw is not None:
            self._thaw.cancel()
            self._thaw = None

    async def drop(self) -> None:
        self._relay.drop()

    async def cut(self, seconds: float) -> None:
        """Break all connections, and refuse new ones for a while."""
        if self._mending is None:
            await self._relay.cut()
            self._mending = asyncio.create_task(self._mend_after(seconds))

    async def _mend_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._relay.mend()
        self._mending = None

    async def heal(self) -> None:
        """End all faults."""
        self._faults.clear()
        self._relay.during = None
        self._relay.watching.set()
        self._forget_thaw()
        self._relay.flowing.set()
        if self._mending is not None:
            await asyncio.shield(self._mending)  # who is cancelled here leaves nothing cut

    async def _befall(self, where: str, call: Call) -> None:
        kind = _kind(call)
        fault = next((each for each in self._faults if each.where == where and kind in each.kinds), None)
        if fault is None:
            return
        self._faults.remove(fault)
        self._met += 1
        self.blinded |= kind == "get"
        if isinstance(fault.what, float):
            await asyncio.sleep(fault.what)
        else:
            raise fault.what


def _kind(call: Call) -> str:
    if call.is_watch:
        return "watch"
    if call.is_write:
        return "write"
    return "get" if call.is_item else "list"

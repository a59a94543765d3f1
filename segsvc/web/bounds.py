"""What callers' connections may take up: in number, in time, and in memory.

A connection costs some 10 KB, one in the middle of a head up to 100 KB, one whose caller does not read as much as its
answer is long. So each kind has its bound, and whoever has been at it longest goes first: callers who ask and read are
done long before.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Collection
from dataclasses import dataclass
from heapq import nsmallest
from typing import Protocol

from segsvc.settings import Settings

CHECK_SECONDS = 1.0
_AT_ONCE = 64
"""How many idle connections make room at once: finding them takes a look at all."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much, and for how long."""

    connections: int = Settings.max_connections
    """How many there are at a time; beyond, those that have been idle for longest are closed."""
    head_seconds: float = 10.0
    """How long the head of a request takes to come in, from its first byte on."""
    unfinished_heads: int = 512
    """How many connections are in the middle of a head at a time."""
    stalled_seconds: float = 60.0
    """How long a caller takes to read any more of an answer."""
    unsent_bytes: int = 128 * 2**20
    """How many bytes have the answers that are not sent to their end, over all callers who do not keep up."""


DEFAULT_BOUNDS = Bounds()


class Connection(Protocol):
    """A connection, as far as its bounds go."""

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, for the rest of one's head, or for that of a body that nobody wants."""
        ...

    @property
    def active_at(self) -> float:
        """When it was last of any use; counted from whenever, for all alike."""
        ...

    @property
    def unsent(self) -> int:
        """How many bytes of answers have not been sent yet."""
        ...

    @property
    def held(self) -> int:
        """How many bytes of answers are kept in memory: all of an answer, until the last of it has been sent."""
        ...

    def drop(self) -> None:
        """End it now; `Keeper.closed` is called later."""
        ...


class Keeper:
    """Keeps connections within bounds; ``dropped`` hears why one was ended: crowded, slow_head, stalled or unsent."""

    def __init__(self, bounds: Bounds, loop: AbstractEventLoop, dropped: Callable[[str], None]) -> None:
        self._bounds = bounds
        self._loop = loop
        self._dropped = dropped
        self._heads: dict[Connection, float] = {}  # since when; the longest first, as below
        self._stalled: dict[Connection, tuple[float, int]] = {}  # with how much has been unsent since
        self._held: dict[Connection, int] = {}
        self._total_held = 0
        self._timer: TimerHandle | None = None

    def opened(self, connection: Connection, everyone: Collection[Connection]) -> None:
        """Make room for a connection, if that is needed, or refuse it; ``everyone``: all that there are, with it."""
        over = len(everyone) - self._bounds.connections
        if over > 0:
            idle = [each for each in everyone if each.idle]
            for longest in nsmallest(max(over, min(_AT_ONCE, len(idle) // 16)), idle, key=lambda each: each.active_at):
                self._drop(longest, "crowded")
            if len(idle) < over:  # later: it has not begun
                self._loop.call_soon(self._drop, connection, "crowded")

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._heads.pop(connection, None)
        self.flows(connection)

    def head_begins(self, connection: Connection) -> None:
        """Note that some of a head has come in, and not all of it."""
        if connection not in self._heads:
            self._heads[connection] = self._loop.time()
            self._check_later()
            if len(self._heads) > self._bounds.unfinished_heads:
                self._drop(next(iter(self._heads)), "slow_head")

    def head_ends(self, connection: Connection) -> None:
        """Note that the head has come in."""
        self._heads.pop(connection, None)

    def stalls(self, connection: Connection) -> None:
        """Note that a caller does not read as fast as answers are sent."""
        held = connection.held
        while self._stalled and self._total_held + held > self._bounds.unsent_bytes:
            self._drop(self._slowest(), "unsent")
        self._stalled[connection] = (self._loop.time(), connection.unsent)
        self._held[connection] = held
        self._total_held += held
        self._loop.call_soon(self._settle, connection)
        self._check_later()

    def flows(self, connection: Connection) -> None:
        """Note that a caller has caught up."""
        self._stalled.pop(connection, None)
        self._total_held -= self._held.pop(connection, 0)

    def _settle(self, connection: Connection) -> None:
        """Note how much is unsent once the kernel has taken what it takes: that is none of the caller's doing."""
        if connection in self._stalled:
            since, _ = self._stalled[connection]
            self._stalled[connection] = (since, connection.unsent)

    def _slowest(self) -> Connection:
        """Return the connection whose caller has read nothing for longest."""
        while self._moves(connection := next(iter(self._stalled))):
            pass
        return connection

    def _moves(self, connection: Connection) -> bool:
        """Tell whether a stalled caller has read more since this was last asked; then it comes behind the others."""
        _, before = self._stalled[connection]
        unsent = connection.unsent
        if unsent == before:
            return False
        del self._stalled[connection]
        self._stalled[connection] = (self._loop.time(), unsent)
        return True

    def _drop(self, connection: Connection, reason: str) -> None:
        self.closed(connection)
        self._dropped(reason)
        connection.drop()

    def _check_later(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self._loop.time()
        for connection, since in list(self._heads.items()):
            if now - since <= self._bounds.head_seconds:
                break
            if connection.idle:
                self._drop(connection, "slow_head")
            else:  # there are earlier requests to answer: it is not the caller who is slow
                del self._heads[connection]
                self._heads[connection] = now
        for connection, (since, _) in list(self._stalled.items()):
            if not self._moves(connection) and now - since > self._bounds.stalled_seconds:
                self._drop(connection, "stalled")
        if self._heads or self._stalled:
            self._check_later()

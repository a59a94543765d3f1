"""What has been counted for views: how many segments in view stand in each block of an order.

The running count of these tells in which blocks a page stands; it is made when next needed. Both take a number for each
block, so there is room for those of a great many views. What nobody reads is not kept up for ever.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeAlias, TypeVar

import numpy as np

MAX_BYTES = 16 * 2**20
"""How much all counts together take: those of 2,000 views of 100,000 segments, in one order each."""
MAX_UNREAD = 256
"""How many changes a count follows without being read: to count anew costs as much as some hundred of them."""
LEAST_BYTES = 512
"""What a count takes besides its numbers."""
BLOCK_BYTES = 8
"""What it takes for each block."""

Running: TypeAlias = "array[int]"
"""How many segments in view stand before each block, and at last how many there are in all; four bytes each."""

_Viewer = TypeVar("_Viewer")


class Count:
    """How many segments in view each block of an order holds."""

    __slots__ = ("_held", "_running", "unread")

    def __init__(self, held: "array[int]") -> None:
        """Begin with these numbers, of four bytes each, by block."""
        self._held = held
        self._running: Running | None = None
        self.unread = 0
        """How many changes it has followed since it was read."""

    @property
    def bytes(self) -> int:
        """About how many bytes it takes to keep."""
        return len(self._held) * BLOCK_BYTES + LEAST_BYTES

    @property
    def running(self) -> Running:
        """The running count, to be read at once."""
        if self._running is None:
            sums = np.zeros(len(self._held) + 1, np.int32)
            np.cumsum(np.frombuffer(self._held, np.int32), out=sums[1:])
            self._running = array("i", sums.tobytes())
        return self._running

    def follow(self, left: int, entered: int, *, saw: bool, sees: bool) -> None:
        """Follow a segment that left a block, in view if ``saw``, and entered one, in view if ``sees``."""
        if saw:
            self._held[left] -= 1
        if sees:
            self._held[entered] += 1
        self._running = None
        self.unread += 1

    def split(self, block: int, first: int) -> None:
        """Follow the split of a block, with so many of its segments in view in its first half."""
        self._held[block] -= first
        self._held.insert(block, first)
        self._running = None

    def copy(self) -> "Count":
        """Return another one of the same numbers."""
        return Count(self._held[:])


class Counts(Generic[_Viewer]):
    """Counts by view and order; those read last, as far as there is room."""

    def __init__(self, max_bytes: int) -> None:
        """One that alone takes more than ``max_bytes`` is kept while it is the only one."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._counts: OrderedDict[tuple[_Viewer, str | None], Count] = OrderedDict()
        self._of_order: dict[str | None, dict[_Viewer, Count]] = {}

    def get(self, viewer: _Viewer, sort: str | None) -> Count | None:
        """Return what was counted for a view in an order, or None."""
        key = (viewer, sort)
        count = self._counts.get(key)
        if count is None:
            return None
        self._counts.move_to_end(key)
        count.unread = 0
        return count

    def put(self, viewer: _Viewer, sort: str | None, count: Count) -> None:
        """Keep what was counted, at the cost of what was not read for longest."""
        self._remove(viewer, sort)
        self._counts[viewer, sort] = count
        self._of_order.setdefault(sort, {})[viewer] = count
        self._bytes += count.bytes
        self.make_room()

    def viewers(self, sort: str | None) -> list[_Viewer]:
        """Return the views for which something is kept in an order."""
        return list(self._of_order.get(sort, ()))

    def follow(self, seen: Iterable[tuple[_Viewer, bool, bool]], sort: str | None, left: int, entered: int) -> None:
        """Let what is kept in an order follow a segment that left a block and entered one, or was in it and is.

        ``seen`` are views, and whether each saw it before and sees it after. What nobody has read for long is dropped.
        """
        kept = self._of_order.get(sort)
        if not kept:
            return
        for viewer, saw, sees in seen:
            count = kept.get(viewer)
            if count is None:
                continue
            if count.unread == MAX_UNREAD:
                self._remove(viewer, sort)
            else:
                count.follow(left, entered, saw=saw, sees=sees)

    def split(self, viewer: _Viewer, sort: str | None, block: int, first: int) -> None:
        """Let what is kept follow the split of a block, with so many segments in view in its first half."""
        self._counts[viewer, sort].split(block, first)
        self._bytes += BLOCK_BYTES

    def make_room(self) -> None:
        """Drop what was not read for longest, if all together has grown too large."""
        while self._bytes > self._max_bytes and len(self._counts) > 1:
            self._remove(*next(iter(self._counts)))

    def copy(self, viewer: _Viewer, other: _Viewer) -> None:
        """Keep what is kept for a view for another too, of the same segments, unless it has its own."""
        for sort, kept in self._of_order.items():
            if viewer in kept and other not in kept:
                self.put(other, sort, kept[viewer].copy())

    def forget(self, viewer: _Viewer) -> None:
        """Drop all that is kept for a view."""
        for sort in self._of_order:
            self._remove(viewer, sort)

    def clear(self, sort: str | None) -> None:
        """Drop all that is kept in an order."""
        for viewer in self.viewers(sort):
            self._remove(viewer, sort)

    def _remove(self, viewer: _Viewer, sort: str | None) -> None:
        count = self._counts.pop((viewer, sort), None)
        if count is not None:
            self._bytes -= count.bytes
            del self._of_order[sort][viewer]

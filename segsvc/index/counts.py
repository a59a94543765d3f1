"""What has been counted for views: how many segments in view stand in the blocks of an order, for one view each.

A running count tells in which blocks a page stands. It takes a number for each block, so there is room for that of a
great many views. One that nobody reads is not kept up for ever.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from array import array

MAX_BYTES = 16 * 2**20
"""How much all counts together take: those of 4,000 views of 100,000 segments, in one order each."""
MAX_UNREAD = 256
"""How many changes a count follows without being read: to count anew costs as much as some hundred of them."""
LEAST_BYTES = 512
"""What a count takes besides its numbers."""

Running: TypeAlias = "array[int]"
"""How many segments in view stand before each block, and at last how many there are in all; four bytes each."""

_Viewer = TypeVar("_Viewer")


class _Count:
    """A running count, and how many changes it has followed since it was read."""

    __slots__ = ("bytes", "running", "unread")

    def __init__(self, running: Running) -> None:
        self.running = running
        self.bytes = len(running) * running.itemsize + LEAST_BYTES
        self.unread = 0


class Counts(Generic[_Viewer]):
    """Running counts by view and order; those read last, as far as there is room."""

    def __init__(self, max_bytes: int) -> None:
        """One that alone takes more than ``max_bytes`` is kept while it is the only one."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._counts: OrderedDict[tuple[_Viewer, str | None], _Count] = OrderedDict()
        self._viewers: dict[str | None, dict[_Viewer, None]] = {}

    def get(self, viewer: _Viewer, sort: str | None) -> "Running | None":
        """Return what was counted for a view in an order, or None."""
        key = (viewer, sort)
        count = self._counts.get(key)
        if count is None:
            return None
        self._counts.move_to_end(key)
        count.unread = 0
        return count.running

    def put(self, viewer: _Viewer, sort: str | None, running: Running) -> None:
        """Keep what was counted, at the cost of what was not read for longest."""
        self._remove(viewer, sort)
        count = self._counts[viewer, sort] = _Count(running)
        self._viewers.setdefault(sort, {})[viewer] = None
        self._bytes += count.bytes
        self.make_room()

    def viewers(self, sort: str | None) -> list[_Viewer]:
        """Return the views for which something is kept in an order."""
        return list(self._viewers.get(sort, ()))

    def changing(self, viewer: _Viewer, sort: str | None) -> "Running | None":
        """Return what is kept, to follow a change; it is dropped instead if nobody has read it for long."""
        count = self._counts.get((viewer, sort))
        if count is None:
            return None
        count.unread += 1
        if count.unread > MAX_UNREAD:
            self._remove(viewer, sort)
            return None
        return count.running

    def split(self, viewer: _Viewer, sort: str | None, block: int, held: int) -> None:
        """Let what is kept follow the split of a block, with so many segments in view in its first half."""
        count = self._counts[viewer, sort]
        count.running.insert(block + 1, count.running[block] + held)
        count.bytes += count.running.itemsize
        self._bytes += count.running.itemsize

    def make_room(self) -> None:
        """Drop what was not read for longest, if all together has grown too large."""
        while self._bytes > self._max_bytes and len(self._counts) > 1:
            self._remove(*next(iter(self._counts)))

    def copy(self, viewer: _Viewer, other: _Viewer) -> None:
        """Keep what is kept for a view for another too, of the same segments, unless it has its own."""
        for sort, viewers in self._viewers.items():
            if viewer in viewers and other not in viewers:
                self.put(other, sort, self._counts[viewer, sort].running[:])

    def forget(self, viewer: _Viewer) -> None:
        """Drop all that is kept for a view."""
        for sort in self._viewers:
            self._remove(viewer, sort)

    def clear(self, sort: str | None) -> None:
        """Drop all that is kept in an order."""
        for viewer in self.viewers(sort):
            self._remove(viewer, sort)

    def _remove(self, viewer: _Viewer, sort: str | None) -> None:
        count = self._counts.pop((viewer, sort), None)
        if count is not None:
            self._bytes -= count.bytes
            del self._viewers[sort][viewer]

"""What has been picked for views: slots in an order, of one view each; those used last, as far as there is room.

A pick that nobody reads is not kept up for long: to pick anew costs no more than some changes do.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from segsvc.index.slotlist import SlotArray, SlotList

MAX_BYTES = 32 * 2**20
"""How much all picks together take: 80 views of 100,000 segments in one order."""
MAX_UNREAD = 16
"""How many changes a pick follows without being read."""
_LEAST_BYTES = 2048

_Viewer = TypeVar("_Viewer")


@dataclass(slots=True)
class _Pick:
    slots: SlotList
    unread: int = 0


class Picks(Generic[_Viewer]):
    """Slots by view and order."""

    def __init__(self, max_bytes: int) -> None:
        """One that alone takes more than ``max_bytes`` is kept while it is the only one."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._picks: OrderedDict[tuple[_Viewer, str | None], _Pick] = OrderedDict()
        self._viewers: dict[str | None, dict[_Viewer, None]] = {}

    def get(self, viewer: _Viewer, sort: str | None) -> SlotArray | None:
        """Return what was picked for a view in an order, or None."""
        pick = self._picks.get((viewer, sort))
        if pick is None:
            return None
        self._picks.move_to_end((viewer, sort))
        pick.unread = 0
        return pick.slots.array

    def put(self, viewer: _Viewer, sort: str | None, array: SlotArray) -> None:
        """Keep what was picked, in an array of its own, at the cost of what was not read for longest."""
        self._remove(viewer, sort)
        pick = self._picks[viewer, sort] = _Pick(SlotList(array))
        self._viewers.setdefault(sort, {})[viewer] = None
        self._bytes += _bytes(pick)
        self._make_room()

    def viewers(self, sort: str | None) -> list[_Viewer]:
        """Return the views for which something is kept in an order."""
        return list(self._viewers.get(sort, ()))

    def change(self, viewer: _Viewer, sort: str | None, follow: Callable[[SlotList], None]) -> None:
        """Let what is kept follow a change; it is dropped if nobody has read it for long."""
        pick = self._picks.get((viewer, sort))
        if pick is None:
            return
        pick.unread += 1
        if pick.unread > MAX_UNREAD:
            self._remove(viewer, sort)
            return
        self._bytes -= _bytes(pick)
        follow(pick.slots)
        self._bytes += _bytes(pick)
        self._make_room()

    def copy(self, viewer: _Viewer, other: _Viewer) -> None:
        """Keep what is kept for a view for another too, of the same segments, unless it has its own."""
        for sort, viewers in self._viewers.items():
            if viewer in viewers and other not in viewers:
                self.put(other, sort, self._picks[viewer, sort].slots.array.copy())

    def forget(self, viewer: _Viewer) -> None:
        """Drop all that is kept for a view."""
        for sort in self._viewers:
            self._remove(viewer, sort)

    def _remove(self, viewer: _Viewer, sort: str | None) -> None:
        pick = self._picks.pop((viewer, sort), None)
        if pick is not None:
            self._bytes -= _bytes(pick)
            del self._viewers[sort][viewer]

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes and len(self._picks) > 1:
            self._remove(*next(iter(self._picks)))


def _bytes(pick: _Pick) -> int:
    return pick.slots.nbytes + _LEAST_BYTES

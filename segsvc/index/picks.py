"""What has been picked from views: slots in view, in an order, where pages have been asked for.

To pick a page takes a look at all segments of the blocks in which it stands. Whoever pages through a view asks for
neighbours next, and most polls are for a few places of a few views; so what has been picked stays, as long as the
same segments are in view in the same order.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segsvc.index.lru import LruCache

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_BYTES = 8 * 2**20
"""How much all together take: those of 200 views of 10,000 segments, or of 20 of 100,000."""
LEAST_BYTES = 512
"""What one takes besides its slots."""
WORTH = 512
"""How many slots a page that is asked for is worth: once they make up all in view, with no change meanwhile, what is
picked is kept, which takes room for all of these."""
BLOCKS = 8
"""How many blocks are looked at for a page where what is found is kept: it takes little longer than one or two."""
UNKNOWN = -1

Picked: TypeAlias = NDArray[np.int32]
"""The slots in view in their order, `UNKNOWN` in place of those that have not been picked."""


@dataclass(slots=True)
class _Kept:
    seal: object
    slots: Picked | None = None
    asked: int = 0

    @property
    def bytes(self) -> int:
        return LEAST_BYTES + (0 if self.slots is None else self.slots.nbytes)


class Picks:
    """What has been picked, by view and order; that asked for last, as far as there is room."""

    def __init__(self, max_bytes: int = MAX_BYTES, *, worth: int = WORTH) -> None:
        """With a ``worth`` of 0 nothing is kept."""
        self._worth = worth
        self._kept: LruCache[Hashable, _Kept] = LruCache(max_bytes, lambda kept: kept.bytes)

    def get(self, key: "Hashable", seal: object, count: int) -> Picked | None:
        """Return what has been picked, to be added to, or None as long as it is not worth it.

        key: stands for a view and an order. seal: stands for which segments are in view, and how they are ordered.
        count: how many these are.
        """
        kept = self._kept.get(key)
        if kept is None or kept.seal != seal:
            kept = _Kept(seal)
            self._kept.put(key, kept)
        if kept.slots is None:
            kept.asked += 1
            if kept.asked * self._worth > count:
                kept = _Kept(seal, np.full(count, UNKNOWN, np.int32))
                self._kept.put(key, kept)
        return kept.slots

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

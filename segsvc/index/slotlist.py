"""A list of slots, four bytes each, that numpy reads in place."""

import numpy as np
from numpy.typing import NDArray

SlotArray = NDArray[np.int32]

_LEAST_SPARE = 16


class SlotList:
    """Slots in any order, each once."""

    __slots__ = ("_buffer", "_bytes", "_length")

    def __init__(self, slots: SlotArray) -> None:
        """Begin with these, in an array that nobody else changes."""
        self._buffer = np.ascontiguousarray(slots)
        self._bytes = self._buffer.data  # moves what overlaps in place, where numpy makes a copy first
        self._length = len(slots)

    def __len__(self) -> int:
        """Return the number of slots."""
        return self._length

    @property
    def array(self) -> SlotArray:
        """The slots as they are. To be read at once: a change may show in it."""
        return self._buffer[: self._length]

    def insert(self, at: int, slot: int) -> None:
        """Put a slot at a position."""
        if self._length == len(self._buffer):
            longer = np.empty(self._length + self._length // 16 + _LEAST_SPARE, np.int32)
            longer[: self._length] = self._buffer
            self._buffer, self._bytes = longer, longer.data
        self._bytes[at + 1 : self._length + 1] = self._bytes[at : self._length]
        self._buffer[at] = slot
        self._length += 1

    def remove(self, at: int) -> None:
        """Take out the slot at a position."""
        self._bytes[at : self._length - 1] = self._bytes[at + 1 : self._length]
        self._length -= 1

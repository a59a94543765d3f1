"""Which slots match, and how well: what is found for one word of a search, and how that of several is combined.

What one word finds is spread out over all slots, so that it can be looked up by slot. What remains of all words is a
list of slots, which gets shorter from word to word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segsvc.index.slots import SomeSlots

if TYPE_CHECKING:
    from array import array

POSITION_BITS = 20
"""A place is a slot and a position in its name, as one number with so many bits for the position."""

Places: TypeAlias = "array[int] | memoryview"
"""Places upwards, eight bytes each."""

_NONE = 255  # no match
_NO_RANK = np.iinfo(np.uint16).max


@dataclass(frozen=True, slots=True)
class Ranked:
    """Slots, each once and with its rank, which is lower for a better match."""

    slots: SomeSlots
    ranks: NDArray[np.uint16]

    def __len__(self) -> int:
        """Return the number of slots."""
        return len(self.slots)


NOTHING = Ranked(np.empty(0, np.intp), np.empty(0, np.uint16))


class Match:
    """What a word, or two together, of a search match. What takes time is worked out when first needed."""

    def __init__(self, found: Sequence[tuple[int, Sequence[Places]]], capacity: int) -> None:
        """Take places by rank, the better ranks first, and the number of slots that there are."""
        self.size = sum(len(places) for _, several in found for places in several)
        """The number of places; there are no more slots than that, and none if it is 0."""
        self._found = found
        self._capacity = capacity

    @cached_property
    def _slots(self) -> list[tuple[int, NDArray[np.int64]]]:
        # joining some hundred arrays as bytes takes a tenth of what numpy takes for them
        return [(rank, np.frombuffer(b"".join(places), np.int64) >> POSITION_BITS) for rank, places in self._found]

    @cached_property
    def by_slot(self) -> NDArray[np.uint8]:
        """The rank of each slot, or what stands for none."""
        ranks = np.full(self._capacity, _NONE, np.uint8)
        for rank, slots in reversed(self._slots):  # the better ones come later and stay
            ranks[slots] = rank
        return ranks

    def ranked(self, *, times: int = 1) -> Ranked:
        """Return the slots that match, with their ranks so many times."""
        if not self.size:
            return NOTHING
        if self.size < self._capacity // 64:
            slots = distinct(np.concatenate([slots for _, slots in self._slots]))
        else:
            slots = np.flatnonzero(self.by_slot != _NONE)
        return Ranked(slots, self.by_slot.take(slots) * np.uint16(times))


def distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers upwards, each once. As `np.unique`, which imports half of numpy when first called."""
    ordered = np.sort(numbers)
    return ordered.compress(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else ordered


def both(left: Ranked, right: Match, *, times: int = 1) -> Ranked:
    """Keep the slots that match both, and add the second's ranks to the first's, so many times."""
    if not len(left) or not right.size:
        return NOTHING
    ranks = right.by_slot.take(left.slots)
    kept = np.flatnonzero(ranks != _NONE)
    return Ranked(left.slots.take(kept), left.ranks.take(kept) + ranks.take(kept) * np.uint16(times))


def either(left: Ranked, right: Ranked, *, capacity: int) -> Ranked:
    """Keep the slots that match one or the other, with the lower rank."""
    if not len(left) or not len(right):
        return left if len(left) else right
    ranks = np.full(capacity, _NO_RANK, np.uint16)
    ranks[left.slots] = left.ranks
    ranks[right.slots] = np.minimum(ranks.take(right.slots), right.ranks)
    slots = np.flatnonzero(ranks != _NO_RANK)
    return Ranked(slots, ranks.take(slots))

"""Orders: all segments by id, and by what else lists can be sorted by, as arrays of slots.

An order is made when first asked for and then follows each change, by a binary search. Ties stand by id upwards in
every order, the descending ones too.

An order is one array, and in thought a row of blocks of neighbours, so that others can count by blocks. A block grows
and shrinks with what comes and goes in it, which moves no segment from one block to another. One that has grown is
split.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segsvc.index.contents import Change
from segsvc.index.entry import Entry
from segsvc.index.slotlist import SlotArray, SlotList
from segsvc.index.slots import PREFIX, Slots, instant, prefix

BLOCK = 128
"""How many segments a block has at first; it is split when there are more than twice as many."""
_SPARE_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class _Key:
    """What segments are sorted by: a text, and for most comparisons a key of it that is at hand for each slot.

    Keys sort as texts do, but where texts were cut (see `segsvc.index.slots.prefix`) several may have the same.
    """

    text: Callable[[Entry], str]
    of_text: Callable[[str], Any]
    of_slot: Callable[[Slots, int], Any]


@dataclass(frozen=True, slots=True)
class _SortKey(_Key):
    """``column`` has the keys of all slots."""

    column: Callable[[Slots], NDArray[Any]]


_BY_ID = _Key(attrgetter("id"), str, lambda slots, slot: slots.entries[slot].id)
_KEYS: Mapping[str, _SortKey] = {
    "displayName": _SortKey(
        attrgetter("display_name"),
        prefix,
        lambda slots, slot: slots.prefixes[slot * PREFIX : (slot + 1) * PREFIX],
        lambda slots: np.frombuffer(slots.prefixes, f"S{PREFIX}"),
    ),
    "createdAt": _SortKey(
        attrgetter("created_at"),
        instant,
        lambda slots, slot: slots.created[slot],
        lambda slots: np.frombuffer(slots.created, np.int64),
    ),
    "modifiedAt": _SortKey(
        attrgetter("modified_at"),
        instant,
        lambda slots, slot: slots.modified[slot],
        lambda slots: np.frombuffer(slots.modified, np.int64),
    ),
}
SORT_KEYS = (*_KEYS, *(f"-{name}" for name in _KEYS))
"""The orders other than by id."""


class Move(NamedTuple):
    """Which block a segment left, and which it entered: the number of the block, or `NOWHERE`."""

    left: int
    entered: int


NOWHERE = -1


class Order:
    """All slots that are in use, in one order. ``sort`` is one of `SORT_KEYS`, or None for by id."""

    def __init__(self, slots: Slots, sort: str | None, ordered: SlotArray) -> None:
        self._list = SlotList(ordered)
        self.stamp = object()
        """Stands for the order as it is: another object after each change."""
        self._slots = slots
        self._key = _BY_ID if sort is None else _KEYS[sort.removeprefix("-")]
        self._is_descending = sort is not None and sort.startswith("-")
        self._positions: SlotArray | None = None  # by slot, of the array as it is
        self.starts: array[int]
        """Where each block begins, and at last where the last one ends. There is one block at least."""
        self.partition()

    @property
    def array(self) -> SlotArray:
        """All slots. To be read at once."""
        return self._list.array

    def follow(self, change: Change) -> Move | None:
        """Follow a segment's change; tell how it moved, or None if it stands where it stood."""
        before, after = change.before, change.after
        if before is not None and after is not None and self._key.text(before) == self._key.text(after):
            return None
        left = entered = NOWHERE
        if before is not None:
            position = self._find(change.slot, before)
            left = self._block(position)
            self._list.remove(position)
            shift(self.starts, left + 1, None, by=-1)
        if after is not None:
            position = self._find(change.slot, after)
            entered = self._block(position)
            self._list.insert(position, change.slot)
            shift(self.starts, entered + 1, None, by=1)
        self.stamp = object()
        self._positions = None
        return Move(left, entered)

    def block(self, slot: int, entry: Entry) -> int:
        """Return the number of the block in which a segment stands, by a state in which it has stood there."""
        return self._block(self._find(slot, entry))

    def split(self, block: int) -> bool:
        """Split a block if it is too large; tell whether. The second half is the block with the next number."""
        start, end = self.starts[block], self.starts[block + 1]
        if end - start <= 2 * BLOCK:
            return False
        self.starts.insert(block + 1, (start + end) // 2)
        return True

    @property
    def is_scattered(self) -> bool:
        """Whether there are far more blocks than needed, most of them nearly empty."""
        return len(self.starts) > 2 * (len(self._list) // BLOCK) + _SPARE_BLOCKS

    def partition(self) -> None:
        """Part the order into blocks anew."""
        length = len(self._list)
        self.starts = array("i", range(0, max(length, 1), BLOCK))
        self.starts.append(length)

    def _block(self, position: int) -> int:
        """Return the number of the block that has a position; the last one has the end too."""
        return min(bisect_right(self.starts, position), len(self.starts) - 1) - 1

    def arranged(self, found: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
        """Return where these slots stand in this order: indices into ``found``."""
        if self._positions is None:
            self._positions = np.empty(self._slots.capacity, np.int32)
            self._positions[self.array] = np.arange(len(self._list), dtype=np.int32)
        # what was found is mostly in the order of slots, which is mostly that of ids: then this is quick
        return np.argsort(self._positions.take(found), kind="stable")

    def _find(self, slot: int, entry: Entry) -> int:
        """Return where a segment in this state stands or would stand."""
        held = self.array
        slots, of_slot, item = self._slots, self._key.of_slot, held.item
        text = self._key.text(entry)
        mine = self._key.of_text(text)
        low, high = 0, len(held)
        while low < high:
            middle = (low + high) // 2
            other = item(middle)
            if other == slot:
                return middle  # and its key there may be another by now
            theirs = of_slot(slots, other)
            if theirs != mine:
                is_before = (theirs < mine) is not self._is_descending
            elif (other_text := self._key.text(slots.entries[other])) != text:
                is_before = (other_text < text) is not self._is_descending
            else:
                is_before = slots.entries[other].id < entry.id
            if is_before:
                low = middle + 1
            else:
                high = middle
        return low


def shift(numbers: "array[int]", start: int, stop: int | None, *, by: int) -> None:
    """Add to each of a range of numbers of four bytes."""
    part = np.frombuffer(numbers, np.int32)[start:stop]
    np.add(part, by, out=part)


def sorted_by(sort: str | None, slots: Slots, ids: SlotArray) -> SlotArray:
    """Return slots in an order, which are given by id."""
    if sort is None:
        return ids
    key = _KEYS[sort.removeprefix("-")]
    keys = key.column(slots).take(ids)
    order = np.argsort(keys, kind="stable")
    array, keys = ids.take(order), keys.take(order)
    is_first = np.empty(len(array), np.bool_)  # of those with equal keys
    is_first[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    if keys.dtype.kind == "S":
        is_cut = keys.view(np.uint8)[PREFIX - 1 :: PREFIX] == 1
        _settle_ties(array, is_first, is_cut=is_cut, text=lambda slot: key.text(slots.entries[slot]))
    return _reversed(array, is_first) if sort.startswith("-") else array


def _settle_ties(
    array: SlotArray, is_first: NDArray[np.bool_], *, is_cut: NDArray[np.bool_], text: Callable[[int], str]
) -> None:
    """Sort slots that seem equal by what has been cut off."""
    starts = np.flatnonzero(is_first)
    ends = np.append(starts[1:], len(array))
    for run in np.flatnonzero((ends - starts > 1) & is_cut.take(starts)).tolist():
        start, end = int(starts[run]), int(ends[run])
        tied = array[start:end].tolist()
        texts = {slot: text(slot) for slot in tied}
        tied.sort(key=texts.__getitem__)  # and those that are equal indeed stay by id
        array[start:end] = tied
        is_first[start + 1 : end] = [texts[one] != texts[other] for one, other in pairwise(tied)]


def _reversed(array: SlotArray, is_first: NDArray[np.bool_]) -> SlotArray:
    """Turn an order round, but for the slots in each run of ties."""
    starts = np.flatnonzero(is_first)
    lengths = np.diff(starts, append=len(array))
    # where a run has its first slot: what comes after it now comes before it then
    shifts = np.repeat(len(array) - starts - lengths - starts, lengths)
    turned = np.empty_like(array)
    turned[np.arange(len(array)) + shifts] = array
    return turned

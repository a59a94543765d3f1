"""Orders: all segments by id, and by what else lists can be sorted by, as arrays of slots.

An order is made when first asked for and then follows each change. Ties stand by id upwards in every order, the
descending ones too.

An order is a row of blocks of some hundred neighbours, so that a change moves no more than these, and so that others
can count by blocks. A block has a fence: the key of the segment that was its first when it was made. Between its own
fence and the next it grows and shrinks with what comes and goes; no segment moves from one block to another. One that
has grown is split.
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter, neg
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segsvc.index.contents import Change
from segsvc.index.slots import CREATED_AT, DISPLAY_NAME, ID, MODIFIED_AT, PREFIX, SlotArray, Slots

BLOCK = 128
"""How many segments a block has at first, unless told; it is split when there are more than twice as many."""
_SPARE_BLOCKS = 16

_Key: TypeAlias = tuple[Any, str]


class _Descending(str):
    """A text that comes before those that others come before."""

    __slots__ = ()
    __lt__ = str.__gt__
    __gt__ = str.__lt__
    __hash__ = str.__hash__


_Value: TypeAlias = Callable[[int], Any]
"""What a segment is sorted by, or something short in its place, by its slot."""


@dataclass(frozen=True, slots=True)
class _Field:
    """What segments are sorted by, as `contents.Sorted` has it, and as it stands in a slot.

    ``short`` sorts alike and takes little time, but where texts were cut (see `segsvc.index.slots.prefix`) several
    slots may have the same. ``turned`` makes what sorts the other way round.
    """

    value: Callable[[Slots], _Value]
    short: Callable[[Slots], _Value]
    turned: Callable[[Any], Any]


def _ids(slots: Slots) -> _Value:
    entries = slots.entries
    return lambda slot: entries[slot].id


def _prefixes(slots: Slots) -> _Value:
    prefixes = slots.prefixes
    return lambda slot: prefixes[slot * PREFIX : (slot + 1) * PREFIX]


def _created(slots: Slots) -> _Value:
    return slots.created.__getitem__


def _modified(slots: Slots) -> _Value:
    return slots.modified.__getitem__


_FIELDS: Mapping[str, _Field] = {
    ID: _Field(_ids, _ids, _Descending),
    DISPLAY_NAME: _Field(attrgetter("name"), _prefixes, _Descending),
    CREATED_AT: _Field(_created, _created, neg),
    MODIFIED_AT: _Field(_modified, _modified, neg),
}
_COLUMNS: Mapping[str, Callable[[Slots], NDArray[Any]]] = {
    DISPLAY_NAME: lambda slots: np.frombuffer(slots.prefixes, f"S{PREFIX}"),
    CREATED_AT: lambda slots: np.frombuffer(slots.created, np.int64),
    MODIFIED_AT: lambda slots: np.frombuffer(slots.modified, np.int64),
}
"""What is short of all slots at once."""
SORT_KEYS = (*_COLUMNS, *(f"-{name}" for name in _COLUMNS))
"""The orders other than by id."""


Move: TypeAlias = tuple[int, int]
"""Which block a segment left, and which it entered: the number of the block, or `NOWHERE`."""
NOWHERE = -1


class Order:
    """All slots that are in use, in one order. ``sort`` is one of `SORT_KEYS`, or None for by id."""

    def __init__(self, slots: Slots, sort: str | None, ordered: SlotArray, *, block: int = BLOCK) -> None:
        self.stamp = object()
        """Stands for the order as it is: another object after each change."""
        self.blocks: list[array[int]] = []
        """Slots; there is one block at least. To be read at once, and changed by nobody else."""
        self._fences: list[Any] = []  # by block; whatever comes before the first one's is in the first block too
        self._length = len(ordered)
        self._block = block
        self._slots = slots
        name = ID if sort is None else sort.removeprefix("-")
        field = _FIELDS[name]
        self._name = name
        self._value, self._short, self._turned = field.value(slots), field.short(slots), field.turned
        self._is_descending = name != (sort or ID)
        self._positions: SlotArray | None = None  # by slot
        self._part(ordered)

    @property
    def whole(self) -> SlotArray:
        """All slots."""
        return np.frombuffer(b"".join(self.blocks), np.int64)

    def follow(self, change: Change) -> Move | None:
        """Follow a segment's change; tell how it moved, or None if it stands where it stood."""
        was, now = change.left.get(self._name), change.entered.get(self._name)
        left = entered = NOWHERE
        if was is not None and change.before is not None:
            left = self._block_of(self._key(was, change.before.id))
            _take(self.blocks[left], change.slot)
            self._length -= 1
        if now is not None and change.after is not None:
            key = self._key(now, change.after.id)
            entered = self._block_of(key)
            block = self.blocks[entered]
            block.insert(self._place(change.slot, key, block), change.slot)
            self._length += 1
        if left == entered == NOWHERE:
            return None
        self.stamp = object()
        self._positions = None
        return left, entered

    def block(self, slot: int) -> int:
        """Return the number of the block in which a slot stands."""
        return self._block_of(self._key_of(slot))

    def split(self, number: int) -> bool:
        """Split a block if it is too large; tell whether. The second half is the block with the next number."""
        block = self.blocks[number]
        if len(block) <= 2 * self._block:
            return False
        half = len(block) // 2
        self.blocks[number : number + 1] = [block[:half], block[half:]]
        self._fences.insert(number + 1, self._key_of(block[half]))
        return True

    @property
    def is_scattered(self) -> bool:
        """Whether there are far more blocks than needed, most of them nearly empty."""
        return len(self.blocks) > 2 * (self._length // self._block) + _SPARE_BLOCKS

    def partition(self) -> None:
        """Part the order into blocks anew."""
        self._part(self.whole)

    def arranged(self, found: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return where these slots stand in this order: indices into ``found``."""
        if self._positions is None:
            self._positions = np.empty(self._slots.capacity, np.int64)
            self._positions[self.whole] = np.arange(self._length)
        # what was found is mostly in the order of slots, which is mostly that of ids: then this is quick
        return np.argsort(self._positions.take(found), kind="stable")

    def _part(self, ordered: SlotArray) -> None:
        starts = range(0, max(self._length, 1), self._block)
        parts = [ordered[start : start + self._block] for start in starts]
        self.blocks = [array("q", part.tobytes()) for part in parts]
        self._fences = [self._key_of(block[0]) for block in self.blocks if block] or [None]

    def _block_of(self, key: _Key) -> int:
        return bisect_right(self._fences, key, 1) - 1

    def _place(self, slot: int, key: _Key, block: "array[int]") -> int:
        """Return where in a block a segment would stand that is in its slot already."""
        short, is_descending = self._short, self._is_descending
        mine = short(slot)
        low, high = 0, len(block)
        while low < high:
            middle = (low + high) // 2
            other = block[middle]
            theirs = short(other)
            # the same of both: a tie, or two texts that begin alike
            if self._key_of(other) < key if theirs == mine else (theirs < mine) is not is_descending:
                low = middle + 1
            else:
                high = middle
        return low

    def _key(self, value: Any, segment_id: str) -> _Key:
        """Return what tells the place of a segment, and is never the same of two."""
        return (self._turned(value) if self._is_descending else value), segment_id

    def _key_of(self, slot: int) -> _Key:
        return self._key(self._value(slot), self._slots.entries[slot].id)


def _take(block: "array[int]", slot: int) -> None:
    """Remove a slot from a block: it is found as bytes in a third of the time. Raises ValueError if it is not there."""
    held, sought = block.tobytes(), slot.to_bytes(block.itemsize, sys.byteorder)
    at = held.index(sought)
    while at % block.itemsize:  # the end of one and the beginning of another
        at = held.index(sought, at + 1)
    del block[at // block.itemsize]


def sorted_by(sort: str | None, slots: Slots, ids: SlotArray) -> SlotArray:
    """Return slots in an order, which are given by id."""
    if sort is None:
        return ids
    keys = _COLUMNS[sort.removeprefix("-")](slots).take(ids)
    order = np.argsort(keys, kind="stable")
    array, keys = ids.take(order), keys.take(order)
    is_first = np.empty(len(array), np.bool_)  # of those with equal keys
    is_first[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    if keys.dtype.kind == "S":
        is_cut = keys.view(np.uint8)[PREFIX - 1 :: PREFIX] == 1
        _settle_ties(array, is_first, is_cut=is_cut, text=slots.name)
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

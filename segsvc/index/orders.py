"""Orders: all segments by id, and by what else lists can be sorted by, as arrays of slots.

An order is made when first asked for and then follows each change. Ties stand by id upwards in every order, the
descending ones too.

An order is a row of blocks of some hundred neighbours, so that a change moves no more than these, and so that others
can count by blocks. A block has a fence: the key of the segment that was its first when it was made. Between its own
fence and the next it grows and shrinks with what comes and goes; no segment moves from one block to another. One that
has grown is split.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segsvc.index.contents import Change
from segsvc.index.entry import Entry
from segsvc.index.slots import CREATED_AT, DISPLAY_NAME, MODIFIED_AT, PREFIX, SlotArray, Slots

BLOCK = 128
"""How many segments a block has at first, unless told; it is split when there are more than twice as many."""
_SPARE_BLOCKS = 16


class _Descending(str):
    """A text that comes before those that others come before."""

    __slots__ = ()
    __lt__ = str.__gt__
    __gt__ = str.__lt__
    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True)
class _Field:
    """What segments are sorted by: a text, and a number by slot that is at hand, one by one or as a column of all.

    Numbers sort as texts do, but where texts were cut (see `segsvc.index.slots.prefix`) several may have the same.
    """

    text: Callable[[Entry], str]
    number: Callable[[Slots], Callable[[int], int]]
    column: Callable[[Slots], NDArray[Any]]


_FIELDS: Mapping[str, _Field] = {
    DISPLAY_NAME: _Field(
        attrgetter("display_name"),
        lambda slots: lambda slot: int.from_bytes(slots.prefixes[slot * PREFIX : (slot + 1) * PREFIX]),
        lambda slots: np.frombuffer(slots.prefixes, f"S{PREFIX}"),
    ),
    CREATED_AT: _Field(
        attrgetter("created_at"),
        lambda slots: slots.created.__getitem__,
        lambda slots: np.frombuffer(slots.created, np.int64),
    ),
    MODIFIED_AT: _Field(
        attrgetter("modified_at"),
        lambda slots: slots.modified.__getitem__,
        lambda slots: np.frombuffer(slots.modified, np.int64),
    ),
}
SORT_KEYS = (*_FIELDS, *(f"-{name}" for name in _FIELDS))
"""The orders other than by id."""


class Move(NamedTuple):
    """Which block a segment left, and which it entered: the number of the block, or `NOWHERE`."""

    left: int
    entered: int


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
        self._sort = "" if sort is None else sort.removeprefix("-")
        self._key, self._short_key = _key(sort), _short_key(sort, slots)
        self._positions: SlotArray | None = None  # by slot
        self._part(ordered)

    @property
    def whole(self) -> SlotArray:
        """All slots."""
        return np.frombuffer(b"".join(self.blocks), np.int32)

    def follow(self, change: Change) -> Move | None:
        """Follow a segment's change; tell how it moved, or None if it stands where it stood."""
        before, after = change.before, change.after
        left = entered = NOWHERE
        if before is not None:
            if after is not None and self._sort not in change.changed:
                return None
            left = self.block(before)
            self.blocks[left].remove(change.slot)
            self._length -= 1
        if after is not None:
            entered = self.block(after)
            block = self.blocks[entered]
            block.insert(self._place(change.slot, block), change.slot)
            self._length += 1
        self.stamp = object()
        self._positions = None
        return Move(left, entered)

    def block(self, entry: Entry) -> int:
        """Return the number of the block in which a segment in this state stands or would stand."""
        return bisect_right(self._fences, self._key(entry), 1) - 1

    def split(self, number: int) -> bool:
        """Split a block if it is too large; tell whether. The second half is the block with the next number."""
        block = self.blocks[number]
        if len(block) <= 2 * self._block:
            return False
        half = len(block) // 2
        self.blocks[number : number + 1] = [block[:half], block[half:]]
        self._fences.insert(number + 1, self._key(self._slots.entries[block[half]]))
        return True

    @property
    def is_scattered(self) -> bool:
        """Whether there are far more blocks than needed, most of them nearly empty."""
        return len(self.blocks) > 2 * (self._length // self._block) + _SPARE_BLOCKS

    def partition(self) -> None:
        """Part the order into blocks anew."""
        self._part(self.whole)

    def arranged(self, found: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
        """Return where these slots stand in this order: indices into ``found``."""
        if self._positions is None:
            self._positions = np.empty(self._slots.capacity, np.int32)
            self._positions[self.whole] = np.arange(self._length, dtype=np.int32)
        # what was found is mostly in the order of slots, which is mostly that of ids: then this is quick
        return np.argsort(self._positions.take(found), kind="stable")

    def _part(self, ordered: SlotArray) -> None:
        starts = range(0, max(self._length, 1), self._block)
        parts = [ordered[start : start + self._block] for start in starts]
        self.blocks = [array("i", part.tobytes()) for part in parts]
        self._fences = [self._key(self._slots.entries[block[0]]) for block in self.blocks if block] or [None]

    def _place(self, slot: int, block: "array[int]") -> int:
        """Return where in a block a segment would stand that is in its slot already."""
        short, entries = self._short_key, self._slots.entries
        mine = short(slot)
        at = bisect_left(block, mine, key=short)
        if at < len(block) and short(block[at]) == mine:  # a tie, or two texts that begin alike
            end = bisect_right(block, mine, at, key=short)
            at = bisect_left(block, self._key(entries[slot]), at, end, key=lambda other: self._key(entries[other]))
        return at


def _key(sort: str | None) -> Callable[[Entry], Any]:
    """Return what tells the place of a segment in an order, and is never the same of two."""
    if sort is None:
        return attrgetter("id")
    text = _FIELDS[sort.removeprefix("-")].text
    if sort.startswith("-"):
        return lambda entry: (_Descending(text(entry)), entry.id)
    return lambda entry: (text(entry), entry.id)


def _short_key(sort: str | None, slots: Slots) -> Callable[[int], Any]:
    """Return what tells the place of a slot, takes little time, and may be the same of several."""
    if sort is None:
        return lambda slot: slots.entries[slot].id
    number = _FIELDS[sort.removeprefix("-")].number(slots)
    return (lambda slot: -number(slot)) if sort.startswith("-") else number


def sorted_by(sort: str | None, slots: Slots, ids: SlotArray) -> SlotArray:
    """Return slots in an order, which are given by id."""
    if sort is None:
        return ids
    field = _FIELDS[sort.removeprefix("-")]
    keys = field.column(slots).take(ids)
    order = np.argsort(keys, kind="stable")
    array, keys = ids.take(order), keys.take(order)
    is_first = np.empty(len(array), np.bool_)  # of those with equal keys
    is_first[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    if keys.dtype.kind == "S":
        is_cut = keys.view(np.uint8)[PREFIX - 1 :: PREFIX] == 1
        _settle_ties(array, is_first, is_cut=is_cut, text=lambda slot: field.text(slots.entries[slot]))
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

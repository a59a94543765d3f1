"""Orders: all segments by id, and by what else lists can be sorted by, as arrays of slots.

An order is made when first asked for and then follows each change, by a binary search. Ties stand by id upwards in
every order, the descending ones too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segsvc.index.contents import Change
from segsvc.index.entry import Entry
from segsvc.index.slotlist import SlotArray, SlotList
from segsvc.index.slots import PREFIX, Slots, instant, prefix


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


class Order:
    """All slots that are in use, in one order. ``sort`` is one of `SORT_KEYS`, or None for by id."""

    def __init__(self, slots: Slots, sort: str | None, array: SlotArray) -> None:
        self._list = SlotList(array)
        self.stamp = object()
        """Stands for the order as it is: another object after each change."""
        self._slots = slots
        self._key = _BY_ID if sort is None else _KEYS[sort.removeprefix("-")]
        self._is_descending = sort is not None and sort.startswith("-")
        self._positions: SlotArray | None = None  # by slot, of the array as it is

    @property
    def array(self) -> SlotArray:
        """All slots. To be read at once."""
        return self._list.array

    def follow(self, change: Change) -> bool:
        """Follow a segment's change; tell whether its position may be another, or it has one no longer or only now."""
        before, after = change.before, change.after
        if before is not None and after is not None and self._key.text(before) == self._key.text(after):
            return False
        self.move(self._list, change, leaves=before is not None, enters=after is not None)
        self.stamp = object()
        self._positions = None
        return True

    def move(self, slots: SlotList, change: Change, *, leaves: bool, enters: bool) -> None:
        """Take a segment as it was before a change out of a list in this order, and put it in as it is now."""
        if leaves and change.before is not None:
            slots.remove(self._find(slots.array, change.slot, change.before))
        if enters and change.after is not None:
            slots.insert(self._find(slots.array, change.slot, change.after), change.slot)

    def arranged(self, found: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
        """Return where these slots stand in this order: indices into ``found``."""
        if self._positions is None:
            self._positions = np.empty(self._slots.capacity, np.int32)
            self._positions[self.array] = np.arange(len(self._list), dtype=np.int32)
        # what was found is mostly in the order of slots, which is mostly that of ids: then this is quick
        return np.argsort(self._positions.take(found), kind="stable")

    def _find(self, array: SlotArray, slot: int, entry: Entry) -> int:
        """Return where a segment in this state stands or would stand."""
        slots, of_slot, item = self._slots, self._key.of_slot, array.item
        text = self._key.text(entry)
        mine = self._key.of_text(text)
        low, high = 0, len(array)
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

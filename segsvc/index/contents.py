"""All that is known of the segments shown, but for orders and views: what a relist makes anew and swaps in whole."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segsvc.index.classes import Classes
from segsvc.index.entry import Entry
from segsvc.index.postings import Postings
from segsvc.index.search import SearchIndex
from segsvc.index.slots import CREATED_AT, DISPLAY_NAME, MODIFIED_AT, SlotArray, Slots, Sortable


@dataclass(slots=True)
class Change:
    """What became of one segment. Where there is no entry before or after, there is no class."""

    slot: int
    before: Entry | None
    after: Entry | None
    class_before: int = -1
    class_after: int = -1
    begins: bool = False
    """Whether the class after has this segment only."""
    ends: bool = False
    """Whether the class before has none left, and its number is free."""
    shows: bool = True
    """Whether readers may see a difference."""
    changed: Collection[str] = ()
    """What of it lists can be sorted by has changed, where there is an entry before and after."""


class Contents:
    """Segments by slot, their classes, their labels, and the words of their names."""

    def __init__(self) -> None:
        self.slots = Slots()
        self.classes = Classes()
        self.labels: Postings[str] = Postings("i")
        """Slots by label."""
        self.names = SearchIndex()

    def add(self, entry: Entry, shown: Sortable | None = None) -> int:
        """Take in a segment whose id is new; return its slot. ``shown`` saves looking into the entry."""
        shown = entry if shown is None else shown
        slot = self.slots.add(entry, shown, class_=self.classes.join(entry.roles.readers))
        for label in entry.labels:
            self.labels.add(label, slot)
        self.names.put(slot, shown.display_name)
        return slot

    def put(self, entry: Entry) -> Change:
        """Take in a segment, or a new state of one."""
        slot = self.slots.find(entry.id)
        if slot is None:
            slot = self.add(entry)
            class_ = self.slots.classes[slot]
            return Change(slot, None, entry, class_after=class_, begins=self.classes.counts[class_] == 1)
        before, class_before = self.slots.entries[slot], self.slots.classes[slot]
        if before.body == entry.body:  # a new version that shows nothing new, such as the operator's report on a run
            self.slots.entries[slot] = entry
            self.slots.bodies[slot] = entry.body
            return Change(slot, before, entry, class_before, class_before, shows=False)
        class_after = self.classes.join(entry.roles.readers)
        begins = self.classes.counts[class_after] == 1
        self.classes.leave(class_before)
        changed = _changed(before, entry)
        self.slots.replace(slot, entry, class_=class_after)
        if changed:
            self.slots.place(slot, entry)
            if DISPLAY_NAME in changed:
                self.names.remove(slot, before.display_name)
                self.names.put(slot, entry.display_name)
        if before.labels != entry.labels:
            for label in before.labels:
                self.labels.remove(label, slot)
            for label in entry.labels:
                self.labels.add(label, slot)
        ends = not self.classes.counts[class_before]
        return Change(slot, before, entry, class_before, class_after, begins, ends, changed=changed)

    def remove(self, segment_id: str) -> Change | None:
        """Forget a segment, where it is known."""
        slot = self.slots.find(segment_id)
        if slot is None:
            return None
        before, class_ = self.slots.entries[slot], self.slots.classes[slot]
        self.slots.remove(segment_id)
        self.classes.leave(class_)
        for label in before.labels:
            self.labels.remove(label, slot)
        self.names.remove(slot, before.display_name)
        return Change(slot, before, None, class_before=class_, ends=not self.classes.counts[class_])

    def in_classes(self, flags: NDArray[np.bool_], slots: NDArray[np.signedinteger[Any]]) -> NDArray[np.bool_]:
        """Tell of each slot whether its segment is in a class that is flagged."""
        # none is too high, but this mode is quicker
        return flags.take(self.slots.class_numbers.take(slots), mode="clip")

    def labelled(self, flags: NDArray[np.bool_], labels: tuple[str, ...]) -> SlotArray:
        """Return the slots, upwards, of the segments that have all of these labels, in the classes that are flagged."""
        held = [self.labels.get(label) for label in labels]
        rarest, *others = sorted((np.frombuffer(slots or b"", np.int32) for slots in held), key=len)
        found = rarest.compress(self.in_classes(flags, rarest))
        for slots in others:
            has_label = np.zeros(self.slots.capacity, np.bool_)
            has_label[slots] = True
            found = found.compress(has_label.take(found))
        return found


def _changed(before: Entry, after: Entry) -> list[str]:
    """Return which of what lists can be sorted by is not the same."""
    (created_before, modified_before), (created, modified) = before.times(), after.times()
    changed = [] if before.name_json == after.name_json else [DISPLAY_NAME]
    if created_before != created:
        changed.append(CREATED_AT)
    if modified_before != modified:
        changed.append(MODIFIED_AT)
    return changed

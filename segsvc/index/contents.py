"""All that is known of the segments shown, but for orders and views: what a relist makes anew and swaps in whole."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segsvc.index.classes import NO_CLASS, Classes
from segsvc.index.entry import Entry
from segsvc.index.postings import Postings
from segsvc.index.search import SearchIndex
from segsvc.index.slots import CREATED_AT, DISPLAY_NAME, ID, MODIFIED_AT, Batch, SlotArray, Slots, SomeSlots, Sortable

Sorted: TypeAlias = Mapping[str, Any]
"""Some of what lists can be sorted by: a text, or a number of `segsvc.index.slots`."""


@dataclass(slots=True)
class Change:
    """What readers see become of one segment. Where there is no entry before or after, the class is `NO_CLASS`."""

    slot: int
    before: Entry | None
    after: Entry | None
    class_before: int
    class_after: int
    left: Sorted
    """What it was sorted by in the orders in which it stood elsewhere or went."""
    entered: Sorted
    """What it is sorted by in the orders in which it stands elsewhere or came."""
    crosses: bool
    """Whether there may be views that see it either before or after: it came, went, or has another class or labels."""


class Contents:
    """Segments by slot, their classes, their labels, and the words of their names."""

    def __init__(self) -> None:
        self.slots = Slots()
        self.classes = Classes()
        self.labels: Postings[str] = Postings("i")
        """Slots by label."""
        self.names = SearchIndex()

    def add(self, entry: Entry, shown: Sortable) -> int:
        """Take in a segment whose id is new, and which shows this; return its slot."""
        slot = self.slots.add(entry, shown, class_=self.classes.join(entry.roles.readers))
        for label in entry.labels:
            self.labels.add(label, slot)
        self.names.put(slot, shown.display_name)
        return slot

    def extend(self, batch: Batch) -> None:
        """Take in segments whose ids are new, and all different; none may have been removed before."""
        first = self.slots.capacity
        self.slots.extend(batch, classes=[self.classes.join(entry.roles.readers) for entry in batch.entries])
        labelled: defaultdict[str, list[int]] = defaultdict(list)
        for slot, entry in enumerate(batch.entries, first):
            for label in entry.labels:
                labelled[label].append(slot)
        for label, slots in labelled.items():
            self.labels.extend(label, slots)
        self.names.extend(first, batch.display_names)

    def put(self, entry: Entry, shown: Sortable | None = None) -> Change | None:
        """Take in a segment, or a new state of one; return what readers see of it, or None if that is nothing.

        ``shown`` is what the entry was made of, where it is at hand: it saves looking into the entry.
        """
        shown = entry if shown is None else shown
        slots, classes = self.slots, self.classes
        slot = slots.find(entry.id)
        if slot is None:
            slot = self.add(entry, shown)
            entered = self._sorted(slot, shown.display_name)
            return Change(slot, None, entry, NO_CLASS, slots.classes[slot], {}, entered, crosses=True)
        before = slots.entries[slot]
        if before.body == entry.body:  # a new version that shows nothing new, such as the operator's report on a run
            slots.replace(slot, entry, shows=False)
            return None
        left, entered = ({}, {}) if before.sorts_as(entry) else self._resort(slot, shown)
        slots.replace(slot, entry, shows=True)
        class_before = class_after = slots.classes[slot]
        if before.roles is not entry.roles:
            class_after = slots.classes[slot] = classes.join(entry.roles.readers)
            classes.leave(class_before)
        has_other_labels = before.labels != entry.labels
        if has_other_labels:
            for label in before.labels:
                self.labels.remove(label, slot)
            for label in entry.labels:
                self.labels.add(label, slot)
        crosses = has_other_labels or class_before != class_after
        return Change(slot, before, entry, class_before, class_after, left, entered, crosses)

    def remove(self, segment_id: str) -> Change | None:
        """Forget a segment, where it is known."""
        slot = self.slots.find(segment_id)
        if slot is None:
            return None
        before, class_ = self.slots.entries[slot], self.slots.classes[slot]
        left = self._sorted(slot, self.slots.name(slot))
        self.slots.remove(segment_id)
        self.classes.leave(class_)
        for label in before.labels:
            self.labels.remove(label, slot)
        self.names.remove(slot, left[DISPLAY_NAME])
        return Change(slot, before, None, class_, NO_CLASS, left, {}, crosses=True)

    def in_classes(self, flags: NDArray[np.bool_], slots: SomeSlots) -> NDArray[np.bool_]:
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

    def _sorted(self, slot: int, name: str) -> Sorted:
        """Return all that a segment is sorted by, of which the name is at hand."""
        slots = self.slots
        return {
            ID: slots.entries[slot].id,
            DISPLAY_NAME: name,
            CREATED_AT: slots.created[slot],
            MODIFIED_AT: slots.modified[slot],
        }

    def _resort(self, slot: int, shown: Sortable) -> tuple[Sorted, Sorted]:
        """Take in what a segment is sorted by from now on; return what of it has changed, as it was and as it is."""
        was = self._sorted(slot, self.slots.name(slot))
        self.slots.place(slot, shown)
        now = self._sorted(slot, shown.display_name)
        changed = [field for field, value in now.items() if value != was[field]]
        if DISPLAY_NAME in changed:
            self.names.remove(slot, was[DISPLAY_NAME])
            self.names.put(slot, now[DISPLAY_NAME])
        return {field: was[field] for field in changed}, {field: now[field] for field in changed}

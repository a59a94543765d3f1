"""Views: the segments that callers with the same rights see, or those of them with certain labels, in any order.

Segments fall into classes by their readers (`segsvc.index.classes`), and a caller sees some of the classes. Callers who
see the same classes share a view, whatever their tokens say. A view is little more than a flag for each class, or for
each slot where it is of certain labels. How many of its segments stand in each block of an order is counted when first
asked for and then follows each change; a page is picked from the few blocks in which it stands. A class that appears
may part callers who saw the same before, and one that ends may unite them: neither makes anything that is kept for them
useless.

What others work out from a view they may keep under its stamp, which each change of what is in view replaces. Nothing
here outlives a relist, which makes all of it anew.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, compress
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segsvc.index.classes import NO_CLASS
from segsvc.index.contents import Change, Contents
from segsvc.index.counts import MAX_BYTES, Count, Counts
from segsvc.index.entry import Entry
from segsvc.index.lru import LruCache
from segsvc.index.orders import BLOCK, NOWHERE, Move, Order, sorted_by
from segsvc.index.picks import BLOCKS, UNKNOWN, WORTH, Picked, Picks
from segsvc.index.slots import SlotArray, SomeSlots

MAX_VIEWS = 512
MAX_LABELLED = 64
"""Views of segments with certain labels have a room of their own: there may be any number of them."""
MAX_ROLES = 1 << 16
"""How many roles are known of callers in all, each caller counted as `_CALLER_ROLES` more, as a long label is."""
_CALLER_ROLES = 16
_MAX_SEERS = 64
"""For how many classes it is kept which views see them: there may be as many as segments."""
_ROLE_LENGTH = 16

_NONE = np.empty(0, np.int64)

_Labels = tuple[str, ...]
_Caller = tuple[frozenset[str], _Labels]
_Seen: TypeAlias = "tuple[View, bool, bool]"
"""A view, and whether a segment was in view of it and is."""


class View:
    """What one kind of caller sees. Made and changed by `Views` alone."""

    __slots__ = (
        "_count",
        "_flags",
        "_mask",
        "_views",
        "_wanted",
        "classes",
        "is_closed",
        "key",
        "labels",
        "members",
        "stamp",
    )

    def __init__(self, views: "Views", classes: bytearray, labels: _Labels, count: int) -> None:
        self.key = object()
        """Stands for this view as long as it lives, whatever becomes of what is in view."""
        self.stamp = object()
        """Stands for what is in view now: another object after each change."""
        self.members = object()
        """Stands for which segments are in view now: another object when one has come or gone."""
        self.classes = classes
        """Flags by class number: 1 for those whose segments are in view."""
        self.labels = labels
        """A segment in view has all of them."""
        self.is_closed = False
        """Whether it is forgotten, and follows no changes any more."""
        self._views = views
        self._count = count
        self._flags: NDArray[np.bool_] | None = None  # the classes, to be looked up
        self._wanted = frozenset(labels)
        self._mask = bytearray()  # by slot, and used only where there are labels

    def __len__(self) -> int:
        """Return the number of segments in view."""
        return self._count

    def array(self, sort: str | None = None) -> SlotArray:
        """Return all slots in view in an order, to be read at once: by id, or by one of `orders.SORT_KEYS`."""
        order = self._views.order(sort).whole
        return order.compress(self.in_view(order))

    def slice(self, offset: int, count: int, *, sort: str | None = None) -> SomeSlots:
        """Return ``count`` slots from ``offset`` on, to be read at once.

        What it costs does not depend on the index, but for room that is made now and then for what is picked.
        """
        end = min(offset + count, self._count)
        picked = self._views.picked(self, sort)
        if picked is not None:
            page = picked[offset:end]
            if UNKNOWN not in page.tolist():
                return page
        begin, slots = self._pick(offset, end, sort, blocks=1 if picked is None else BLOCKS)
        if picked is not None:
            picked[begin : begin + len(slots)] = slots
        return slots[offset - begin : end - begin]

    def _pick(self, offset: int, end: int, sort: str | None, *, blocks: int) -> tuple[int, SlotArray]:
        """Return the slots in view of some blocks, those in which a page stands, and how many stand before these."""
        running, order = self._views.counted(self, sort).running, self._views.order(sort)
        if offset >= end:
            return 0, _NONE
        first = bisect_right(running, offset) - 1
        last = max(bisect_left(running, end, first), min(first + blocks, len(order.blocks)))
        part = [order.blocks[block] for block in range(first, last) if running[block] < running[block + 1]]
        window = np.frombuffer(b"".join(part), np.int64)
        return running[first], window.compress(self.in_view(window))

    def among(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the indices of those of the slots that are in view."""
        return np.flatnonzero(self.in_view(slots))

    def in_view(self, slots: SomeSlots) -> NDArray[np.bool_]:
        """Tell of each slot whether its segment is in view."""
        if not self.labels:
            if self._flags is None:
                self._flags = np.frombuffer(self.classes, np.bool_)
            return self._views.contents.in_classes(self._flags, slots)
        self._widen()
        return np.frombuffer(self._mask, np.bool_).take(slots)

    def sees(self, entry: Entry | None, class_: int) -> bool:
        """Tell whether a segment of a class is in view."""
        if entry is None or not self.classes[class_]:
            return False
        return self._wanted.issubset(entry.labels)

    def follow(self, growth: int) -> None:
        """Follow a change of what is in view, by so many segments more or less."""
        self.stamp = object()
        if growth:
            self.members = self.stamp
            self._count += growth

    def mark(self, slots: SlotArray) -> None:
        """Begin with these in view, where there are labels."""
        self._widen()
        np.frombuffer(self._mask, np.bool_)[slots] = True

    def mark_one(self, slot: int, *, sees: bool) -> None:
        """Let the segment in a slot be in view or not, where there are labels."""
        if slot >= len(self._mask):
            self._widen()
        self._mask[slot] = sees

    def part(self) -> "View":
        """Return another view of the same segments."""
        view = View(self._views, self.classes.copy(), self.labels, self._count)
        view._mask = self._mask.copy()
        return view

    def close(self) -> None:
        """Follow no changes from here on, and hold nothing that is large."""
        self.is_closed = True
        self.classes = bytearray()
        self._flags = None
        self._mask = bytearray()

    def widen(self, capacity: int) -> None:
        """Have a flag for each class, also for those that are new."""
        self._flags = None  # what is looked into cannot be made longer
        self.classes.extend(bytes(capacity - len(self.classes)))

    def _widen(self) -> None:
        """Have a flag for each slot, also for those that are new."""
        missing = self._views.contents.slots.capacity - len(self._mask)
        if missing > 0:
            self._mask.extend(bytes(missing))


@dataclass(slots=True, eq=False)
class _Known:
    """A caller with these roles, and what such a caller sees."""

    caller: _Caller
    view: View


class Views:
    """All views of a store, made when first asked for and then kept up to date."""

    def __init__(
        self,
        contents: Contents,
        ids: SlotArray,
        *,
        max_bytes: int = MAX_BYTES,
        block: int = BLOCK,
        worth: int = WORTH,
    ) -> None:
        """Begin with all slots in the order of ids.

        max_bytes: the room for counts. block: as orders have it. worth: as `segsvc.index.picks` has it.
        """
        self.contents = contents
        self.recounts = 0
        """How many segments in view had to be counted among all so far."""
        self._block = block
        self._orders: dict[str | None, Order] = {None: Order(contents.slots, None, ids, block=block)}
        self._counts: Counts[View] = Counts(max_bytes)
        self._picks = Picks(worth=worth)
        # no two of the same classes and labels; least recently used first
        self._plain: OrderedDict[View, None] = OrderedDict()
        self._labelled: OrderedDict[View, None] = OrderedDict()
        # of those without labels, the ones that see a class: as far as needed since any of them has changed
        self._seers: dict[int, list[View]] = {}
        # each with one of the views above, or with one that is closed
        self._known: LruCache[_Caller, _Known] = LruCache(MAX_ROLES, _weight)

    def view(self, roles: frozenset[str], labels: _Labels = ()) -> View:
        """Return what a caller with these roles sees of the segments with all of these labels."""
        known = self._known.get((roles, labels))
        if known is None or known.view.is_closed:
            view = self._view_of(self.contents.classes.seen_with(roles), tuple(sorted(set(labels))))
            known = _Known((roles, labels), view)
            self._known.put(known.caller, known)
        self._room(known.view.labels).move_to_end(known.view)
        return known.view

    def close(self) -> None:
        """Let go of all views, which refer to this as this does to them: nothing of it is left to the collector."""
        for view in self._views():
            view.close()
        self._plain.clear()
        self._labelled.clear()
        self._seers.clear()
        self._known.clear()
        self._counts = Counts(0)
        self._picks.clear()

    def order(self, sort: str | None) -> Order:
        """Return all slots in an order."""
        order = self._orders.get(sort)
        if order is None:
            slots = self.contents.slots
            order = self._orders[sort] = Order(
                slots, sort, sorted_by(sort, slots, self._orders[None].whole), block=self._block
            )
        return order

    def picked(self, view: View, sort: str | None) -> Picked | None:
        """Return what has been picked for pages of a view in an order, to be added to; None if that is not kept."""
        return self._picks.get((view.key, sort), (view.members, self.order(sort).stamp), len(view))

    def counted(self, view: View, sort: str | None) -> Count:
        """Return how many segments in view each block of an order holds."""
        count = self._counts.get(view, sort)
        if count is None:
            order = self.order(sort)
            sums = np.zeros(len(self.contents.slots) + 1, np.int32)
            np.cumsum(view.in_view(order.whole), out=sums[1:])
            ends = np.cumsum([len(block) for block in order.blocks])
            count = Count(array("i", np.diff(sums.take(ends), prepend=np.int32(0)).tobytes()))
            self.recounts += len(view)
            self._counts.put(view, sort, count)
        return count

    def change(self, change: Change) -> None:
        """Follow one segment's change in every view that sees it before or after."""
        before, after, counts = change.class_before, change.class_after, self.contents.classes.counts
        if before != after and counts[after] == 1:
            self._open(after)
        if not change.crosses and not change.left:  # the most frequent: it shows and stands where it did
            self._renew(change)
            return
        seen = self._tell(change)
        for sort, order in self._orders.items():
            move = order.follow(change)
            if move is not None:
                self._move(move, sort, order, seen)
            elif change.crosses:
                self._cross(change, sort, order, seen)
        if before not in (after, NO_CLASS) and not counts[before]:
            self._close(before)

    def _cross(self, change: Change, sort: str | None, order: Order, seen: list[_Seen]) -> None:
        """Let counts follow a segment that stands where it stood, but came in view or went out of it."""
        crossing = [one for one in seen if one[1] is not one[2]]
        if crossing:
            block = order.block(change.slot)
            self._counts.follow(crossing, sort, block, block)

    def _move(self, move: Move, sort: str | None, order: Order, seen: list[_Seen]) -> None:
        """Let counts follow a segment that came, went or moved, and then the blocks of the order."""
        left, entered = move
        self._counts.follow(seen, sort, left, entered)
        if entered != NOWHERE and order.split(entered):
            half = np.array(order.blocks[entered], np.int64)
            for view in self._counts.viewers(sort):
                self._counts.split(view, sort, entered, int(np.count_nonzero(view.in_view(half))))
            self._counts.make_room()
        if left != NOWHERE and order.is_scattered:
            order.partition()
            self._counts.clear(sort)

    def _renew(self, change: Change) -> None:
        """Tell the views of a change of nothing but what is shown of a segment."""
        for view in self._seeing(change.class_after):
            view.stamp = object()
        for view in self._labelled:
            if view.sees(change.after, change.class_after):
                view.stamp = object()

    def _tell(self, change: Change) -> list[_Seen]:
        """Tell the views of a change; return those that a segment was or is in view of."""
        before, after = change.class_before, change.class_after
        seen: list[_Seen] = [(view, True, view.classes[after] > 0) for view in self._seeing(before)]
        if before != after:
            seen += [(view, False, True) for view in self._seeing(after) if not view.classes[before]]
        for view in self._labelled:
            saw, sees = view.sees(change.before, before), view.sees(change.after, after)
            if saw or sees:
                seen.append((view, saw, sees))
                if saw is not sees:
                    view.mark_one(change.slot, sees=sees)
        for view, saw, sees in seen:
            view.follow(sees - saw)
        return seen

    def _seeing(self, class_: int) -> list[View]:
        """Return the plain views of a class: the same for one change after another, until views change."""
        seeing = self._seers.get(class_)
        if seeing is None:
            if len(self._seers) >= _MAX_SEERS:
                self._seers.clear()
            seeing = self._seers[class_] = [view for view in self._plain if view.classes[class_]]
        return seeing

    def _views(self) -> Iterator[View]:
        return chain(self._plain, self._labelled)

    def _room(self, labels: _Labels) -> "OrderedDict[View, None]":
        return self._labelled if labels else self._plain

    def _view_of(self, classes: bytearray, labels: _Labels) -> View:
        for view in self._room(labels):
            if view.classes == classes and view.labels == labels:
                return view
        if labels:
            slots = self.contents.labelled(np.frombuffer(classes, np.bool_), labels)
            view = View(self, classes, labels, len(slots))
            view.mark(slots)
        else:
            view = View(self, classes, labels, sum(compress(self.contents.classes.counts, classes)))
        self._add(view)
        return view

    def _add(self, view: View) -> None:
        room = self._room(view.labels)
        room[view] = None
        self._seers.clear()
        if len(room) > (MAX_LABELLED if view.labels else MAX_VIEWS):
            self._forget(next(iter(room)))

    def _forget(self, view: View) -> None:
        del self._room(view.labels)[view]
        self._seers.clear()
        self._counts.forget(view)
        view.close()

    def _open(self, class_: int) -> None:
        """Let a class that is new be seen by the callers who may, as if it were empty still."""
        classes = self.contents.classes
        readers, capacity = classes.readers(class_), classes.capacity
        for view in self._views():
            view.widen(capacity)
        openers: dict[View, list[_Known]] = {}
        others: set[View] = set()
        for known in self._known.values():
            if known.view.is_closed:
                continue
            if readers.isdisjoint(known.caller[0]):
                others.add(known.view)
            else:
                openers.setdefault(known.view, []).append(known)
        for shared, callers in openers.items():
            if shared.is_closed:
                continue  # it had to make room just now
            view = shared
            if shared in others:  # from here on, its callers see different segments
                view = shared.part()
                self._counts.copy(shared, view)
                self._add(view)
                for known in callers:
                    known.view = view
            view.classes[class_] = 1
        self._seers.clear()

    def _close(self, class_: int) -> None:
        """Take a class that became empty out of all views; those that were different by it alone become one."""
        # those that may be alike are told by their length: there may be as many flags as segments, in hundreds of views
        self._seers.clear()
        apart: dict[tuple[int, _Labels], list[View]] = {}
        for view in self._views():
            if not view.classes[class_]:
                apart.setdefault((len(view), view.labels), []).append(view)
        for view in [view for view in self._views() if view.classes[class_]]:
            view.classes[class_] = 0
            alike = apart.get((len(view), view.labels), ())
            twin = next((other for other in alike if other.classes == view.classes), None)
            if twin is not None:
                # and not the other way round: what is in view of the twin has not changed
                self._counts.copy(view, twin)
                for known in self._known.values():
                    if known.view is view:
                        known.view = twin
                self._forget(view)


def _weight(known: _Known) -> int:
    roles, labels = known.caller
    return len(roles) + _CALLER_ROLES + sum(1 + len(label) // _ROLE_LENGTH for label in labels)

"""Views: the segments that callers with the same rights see, or those of them with certain labels, in any order.

Segments fall into classes by their readers (`segsvc.index.classes`), and a caller sees some of the classes. Callers who
see the same classes share a view, whatever their tokens say. A view is little more than a flag for each class. Its
segments in an order are picked from all segments in that order when first asked for, and then follow each change by a
binary search; those picked last are kept, as far as there is room. A class that appears may part callers who saw the
same before, and one that ends may unite them: neither makes anything that is kept for them useless.

What others work out from a view they may keep under its stamp, which each change of what is in view replaces. Nothing
here outlives a relist, which makes all of it anew.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, compress

import numpy as np
from numpy.typing import NDArray

from segsvc.index.contents import Change, Contents
from segsvc.index.entry import Entry
from segsvc.index.lru import LruCache
from segsvc.index.orders import Order, sorted_by
from segsvc.index.picks import MAX_BYTES, Picks
from segsvc.index.slotlist import SlotArray

MAX_VIEWS = 256
MAX_LABELLED = 64
"""Views of segments with certain labels have a room of their own: there may be any number of them."""
MAX_ROLES = 1 << 16
"""How many roles are known of callers in all, each caller counted as `_CALLER_ROLES` more, as a long label is."""
_CALLER_ROLES = 16
_ROLE_LENGTH = 16

_Labels = tuple[str, ...]
_Caller = tuple[frozenset[str], _Labels]


class View:
    """What one kind of caller sees. Made and changed by `Views` alone."""

    __slots__ = ("_count", "_views", "classes", "is_closed", "key", "labels", "members", "stamp")

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

    def __len__(self) -> int:
        """Return the number of segments in view."""
        return self._count

    def array(self, sort: str | None = None) -> SlotArray:
        """Return all slots in view in an order, to be read at once: by id, or by one of `orders.SORT_KEYS`."""
        return self._views.pick(self, sort)

    def slice(self, offset: int, count: int, *, sort: str | None = None) -> list[Entry]:
        """Return ``count`` segments from ``offset`` on, at a cost that does not depend on how many there are."""
        entries = self._views.contents.slots.entries
        return [entries[slot] for slot in self.array(sort)[offset : offset + count].tolist()]

    def among(self, slots: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the indices of those of the slots that are in view."""
        contents = self._views.contents
        if not self.labels:
            return np.flatnonzero(contents.in_classes(self.classes, slots))
        in_view = np.zeros(contents.slots.capacity, np.bool_)
        in_view[self.array()] = True
        return np.flatnonzero(in_view.take(slots))

    def sees(self, entry: Entry | None, class_: int) -> bool:
        """Tell whether a segment of a class is in view."""
        if entry is None or not self.classes[class_]:
            return False
        return not self.labels or all(label in entry.labels for label in self.labels)

    def follow(self, growth: int) -> None:
        """Follow a change of what is in view, by so many segments more or less."""
        self.stamp = object()
        if growth:
            self.members = object()
            self._count += growth

    def close(self) -> None:
        """Follow no changes from here on, and hold nothing that is large."""
        self.is_closed = True
        self.classes = bytearray()


@dataclass(slots=True, eq=False)
class _Known:
    """A caller with these roles, and what such a caller sees."""

    caller: _Caller
    view: View


class Views:
    """All views of a store, made when first asked for and then kept up to date."""

    def __init__(self, contents: Contents, ids: SlotArray, *, max_bytes: int = MAX_BYTES) -> None:
        """Begin with all slots in the order of ids."""
        self.contents = contents
        self.picked = 0
        """How many slots had to be picked from all of them so far."""
        self._orders: dict[str | None, Order] = {None: Order(contents.slots, None, ids)}
        self._picks: Picks[View] = Picks(max_bytes)
        # no two of the same classes and labels; least recently used first
        self._plain: OrderedDict[View, None] = OrderedDict()
        self._labelled: OrderedDict[View, None] = OrderedDict()
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

    def order(self, sort: str | None) -> Order:
        """Return all slots in an order."""
        order = self._orders.get(sort)
        if order is None:
            slots = self.contents.slots
            order = self._orders[sort] = Order(slots, sort, sorted_by(sort, slots, self._orders[None].array))
        return order

    def pick(self, view: View, sort: str | None) -> SlotArray:
        """Return the slots in a view in an order."""
        array = self._picks.get(view, sort)
        if array is None:
            order = self.order(sort)
            if view.labels:
                array = self.contents.labelled(view.classes, view.labels)
                array = array.take(order.arranged(array))
            else:
                array = order.array.compress(self.contents.in_classes(view.classes, order.array))
            self.picked += len(array)
            self._picks.put(view, sort, array)
        return array

    def change(self, change: Change) -> None:
        """Follow one segment's change in every view that sees it before or after."""
        if not change.shows:
            return
        if change.begins:
            self._open(change.class_after)
        crossing = self._tell(change)
        for sort, order in self._orders.items():
            moves = order.follow(change)
            for view in self._picks.viewers(sort) if moves else crossing:
                saw, sees = crossing.get(view) or _sights(view, change)
                if (saw or sees) and (moves or saw is not sees):
                    self._picks.change(view, sort, partial(order.move, change=change, leaves=saw, enters=sees))
        if change.ends:
            self._close(change.class_before)

    def _tell(self, change: Change) -> dict[View, tuple[bool, bool]]:
        """Tell the views of a change; return those that a segment enters or leaves, whether it was and is in view."""
        before, after, class_ = change.before, change.after, change.class_after
        crossing = {}
        if before is None or after is None or class_ != change.class_before or before.labels != after.labels:
            for view in self._views():
                saw, sees = _sights(view, change)
                if saw or sees:
                    view.follow(sees - saw)
                    if saw is not sees:
                        crossing[view] = (saw, sees)
        else:  # the most frequent: it shows where it showed before
            stamp = object()
            for view in self._plain:
                if view.classes[class_]:
                    view.stamp = stamp
            for view in self._labelled:
                if view.sees(after, class_):
                    view.stamp = stamp
        return crossing

    def _views(self) -> Iterator[View]:
        return chain(self._plain, self._labelled)

    def _room(self, labels: _Labels) -> "OrderedDict[View, None]":
        return self._labelled if labels else self._plain

    def _view_of(self, classes: bytearray, labels: _Labels) -> View:
        for view in self._room(labels):
            if view.classes == classes and view.labels == labels:
                return view
        if labels:
            count = len(self.contents.labelled(classes, labels))
        else:
            count = sum(compress(self.contents.classes.counts, classes))
        view = View(self, classes, labels, count)
        self._add(view)
        return view

    def _add(self, view: View) -> None:
        room = self._room(view.labels)
        room[view] = None
        if len(room) > (MAX_LABELLED if view.labels else MAX_VIEWS):
            self._forget(next(iter(room)))

    def _forget(self, view: View) -> None:
        del self._room(view.labels)[view]
        self._picks.forget(view)
        view.close()

    def _open(self, class_: int) -> None:
        """Let a class that is new be seen by the callers who may, as if it were empty still."""
        classes = self.contents.classes
        readers, capacity = classes.readers(class_), classes.capacity
        for view in self._views():
            view.classes.extend(bytes(capacity - len(view.classes)))
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
                view = View(self, shared.classes.copy(), shared.labels, len(shared))
                self._picks.copy(shared, view)
                self._add(view)
                for known in callers:
                    known.view = view
            view.classes[class_] = 1

    def _close(self, class_: int) -> None:
        """Take a class that became empty out of all views; those that were different by it alone become one."""
        apart = {(bytes(view.classes), view.labels): view for view in self._views() if not view.classes[class_]}
        for view in [view for view in self._views() if view.classes[class_]]:
            view.classes[class_] = 0
            twin = apart.get((bytes(view.classes), view.labels))
            if twin is not None:
                self._picks.copy(view, twin)  # and not the other way round: what is in view of the twin has not changed
                for known in self._known.values():
                    if known.view is view:
                        known.view = twin
                self._forget(view)


def _weight(known: _Known) -> int:
    roles, labels = known.caller
    return len(roles) + _CALLER_ROLES + sum(1 + len(label) // _ROLE_LENGTH for label in labels)


def _sights(view: View, change: Change) -> tuple[bool, bool]:
    """Tell whether a segment was in view before a change, and whether it is after it."""
    return view.sees(change.before, change.class_before), view.sees(change.after, change.class_after)

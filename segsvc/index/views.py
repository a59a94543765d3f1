"""Views: the segments that callers with the same rights see, in order.

Segments fall into classes by their readers (viewer and editor roles together), and a caller sees some of the classes.
Callers who see the same classes share a view, whatever their tokens say. A view keeps its order as the store changes:
a change costs a binary search in each view that sees it, never a sort. That holds for the first segment of a class,
which may part callers who saw the same before, and for its last, which may unite them. What others work out from a
view they may keep under its stamp, which a change replaces.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from segsvc.index.entry import Entry
from segsvc.index.lru import LruCache

MAX_VIEWS = 64
MAX_POSITIONS = 2_000_000
"""How many positions all orders of all views have together: 20 views of 100,000 segments by id, or 3 in each order.

A position takes 8 bytes in the order by id and 60 to 250 in the others. One view may have more, if it is the only one.
"""
MAX_ROLES = 1 << 16
"""How many roles are known of callers in all, each caller counted as `_CALLER_ROLES` more."""
_CALLER_ROLES = 16
_Class = frozenset[str]


def _descending(text: str) -> str:
    """Return a text that sorts the other way round among its like: every character inverted, longer before shorter."""
    return "".join([chr(max(0, 0x10FFFE - ord(character))) for character in text]) + "\U0010ffff"


SORT_KEYS: Mapping[str, Callable[[Entry], str]] = {
    "displayName": lambda entry: entry.display_name,
    "createdAt": lambda entry: entry.created_at,
    "modifiedAt": lambda entry: entry.modified_at,
    "-displayName": lambda entry: _descending(entry.display_name),
    "-createdAt": lambda entry: _descending(entry.created_at),
    "-modifiedAt": lambda entry: _descending(entry.modified_at),
}
"""The orders other than by id. Ties stand by id upwards in each, so a descending one has keys of its own."""


class View:
    """The ids that one kind of caller sees. Made and changed by `Views` alone."""

    def __init__(
        self, entries: Mapping[str, Entry], classes: set[_Class], *, ids: list[str], on_growth: Callable[[], None]
    ) -> None:
        self._entries = entries
        self._ids = ids
        self._on_growth = on_growth
        self.classes = classes
        """Those whose segments are in view."""
        self.orders: dict[str, list[tuple[str, str]]] = {}
        """Those made so far, other than by id."""
        self.stamp = object()
        """Stands for what is in view now: another object after each change."""

    def __len__(self) -> int:
        """Return the number of segments in view."""
        return len(self._ids)

    def __contains__(self, segment_id: str) -> bool:
        """Tell whether a segment is in view."""
        position = bisect_left(self._ids, segment_id)
        return position < len(self._ids) and self._ids[position] == segment_id

    def ids(self, sort: str | None = None) -> Sequence[str]:
        """Return the ids in an order: by id, or by one of `SORT_KEYS`. The caller must not change the list."""
        if sort is None:
            return self._ids
        return [segment_id for _, segment_id in self._order(sort)]

    def slice(self, offset: int, count: int, *, sort: str | None = None) -> Sequence[str]:
        """Return ``count`` ids from ``offset`` on in an order, at a cost that does not depend on how many there are."""
        if sort is None:
            return self._ids[offset : offset + count]
        return [segment_id for _, segment_id in self._order(sort)[offset : offset + count]]

    def change(self, before: Entry | None, after: Entry | None) -> None:
        """Follow one segment's change from what of it was in view to what of it is now."""
        self.stamp = object()
        if before is not None and after is None:
            del self._ids[bisect_left(self._ids, before.id)]
        elif before is None and after is not None:
            insort(self._ids, after.id)
        for sort, order in self.orders.items():
            key = SORT_KEYS[sort]
            if before is not None:
                del order[bisect_left(order, (key(before), before.id))]
            if after is not None:
                insort(order, (key(after), after.id))

    def positions(self) -> int:
        """Return how many there are in all orders; there are no more classes than that, for none is empty."""
        return len(self._ids) * (1 + len(self.orders))

    def copy(self) -> "View":
        """Return a view of the same segments that goes its own way from here."""
        copy = View(self._entries, set(self.classes), ids=self._ids.copy(), on_growth=self._on_growth)
        copy.orders = {sort: order.copy() for sort, order in self.orders.items()}
        return copy

    def adopt(self, other: "View") -> None:
        """Take over the orders of a view of the same segments, which is used no more."""
        self.orders = other.orders | self.orders

    def _order(self, sort: str) -> list[tuple[str, str]]:
        order = self.orders.get(sort)
        if order is None:
            key = SORT_KEYS[sort]
            order = self.orders[sort] = sorted((key(self._entries[id_]), id_) for id_ in self._ids)
            self._on_growth()
        return order


@dataclass(slots=True, eq=False)
class _Caller:
    """Anyone with these roles, and what they see."""

    roles: frozenset[str]
    view: View


class Views:
    """All views of a store, made when first asked for and then kept up to date."""

    def __init__(self, entries: Mapping[str, Entry], *, max_positions: int = MAX_POSITIONS) -> None:
        self._entries = entries
        self._max_positions = max_positions
        # none is empty
        self._classes: dict[_Class, set[str]] = {}
        # no two of the same classes; least recently used first
        self._views: OrderedDict[View, None] = OrderedDict()
        # each with one of the views above
        self._callers: LruCache[frozenset[str], _Caller] = LruCache(
            MAX_ROLES, lambda caller: len(caller.roles) + _CALLER_ROLES
        )

    def view(self, roles: frozenset[str]) -> View:
        """Return what a caller with these roles sees."""
        caller = self._callers.get(roles)
        if caller is None:
            opened = {class_ for class_ in self._classes if not class_.isdisjoint(roles)}
            caller = _Caller(roles, self._view_of(opened))
            self._callers.put(roles, caller)
        self._views.move_to_end(caller.view)
        return caller.view

    def change(self, before: Entry | None, after: Entry | None) -> None:
        """Follow one segment's change in every view that sees it before or after."""
        if before is not None and after is not None and before.digest == after.digest:
            return  # a new version that shows nothing new, such as the operator's report on a run
        class_before = before.roles.readers if before is not None else None
        class_after = after.roles.readers if after is not None else None
        moves = class_before != class_after
        if moves and after is not None and class_after is not None:
            self._join(class_after, after.id)
        for view in self._views:
            seen_before = before if class_before in view.classes else None
            seen_after = after if class_after in view.classes else None
            if seen_before is not None or seen_after is not None:
                view.change(seen_before, seen_after)
        if moves and before is not None and class_before is not None:
            self._leave(class_before, before.id)
        if moves:
            self._make_room()

    def rebuild(self) -> None:
        """Begin anew from the entries as they are."""
        self._classes.clear()
        self._views.clear()
        self._callers.clear()
        for entry in self._entries.values():
            self._join(entry.roles.readers, entry.id)

    def _view_of(self, classes: set[_Class]) -> View:
        for view in self._views:
            if view.classes == classes:
                return view
        ids = sorted(segment_id for class_ in classes for segment_id in self._classes[class_])
        view = View(self._entries, classes, ids=ids, on_growth=self._make_room)
        self._views[view] = None
        self._make_room()
        return view

    def _join(self, class_: _Class, segment_id: str) -> None:
        members = self._classes.get(class_)
        if members is None:
            members = self._classes[class_] = set()
            self._open(class_)
        members.add(segment_id)

    def _leave(self, class_: _Class, segment_id: str) -> None:
        members = self._classes[class_]
        members.remove(segment_id)
        if not members:
            del self._classes[class_]
            self._close(class_)

    def _open(self, class_: _Class) -> None:
        """Let a class that is new, and still empty, be seen by the callers who may."""
        openers: dict[View, list[_Caller]] = {}
        closed: set[View] = set()
        for caller in self._callers.values():
            if class_.isdisjoint(caller.roles):
                closed.add(caller.view)
            else:
                openers.setdefault(caller.view, []).append(caller)
        for shared, callers in openers.items():
            view = shared
            if shared in closed:  # from here on, its callers see different segments
                view = shared.copy()
                self._views[view] = None
                for caller in callers:
                    caller.view = view
            view.classes.add(class_)

    def _close(self, class_: _Class) -> None:
        """Take a class that became empty out of all views; those that were different by it alone become one."""
        others = [view for view in self._views if class_ not in view.classes]
        for view in [view for view in self._views if class_ in view.classes]:
            view.classes.remove(class_)
            twin = next((other for other in others if other.classes == view.classes), None)
            if twin is not None:
                twin.adopt(view)  # and not the other way round: what is in view of the twin has not changed
                del self._views[view]
                for caller in self._callers.values():
                    if caller.view is view:
                        caller.view = twin

    def _make_room(self) -> None:
        """Forget the views that were not used for longest, where there are too many or they take too much."""
        positions = sum(view.positions() for view in self._views)
        while len(self._views) > MAX_VIEWS or (positions > self._max_positions and len(self._views) > 1):
            view, _ = self._views.popitem(last=False)
            positions -= view.positions()
            for caller in list(self._callers.values()):
                if caller.view is view:
                    self._callers.remove(caller.roles)

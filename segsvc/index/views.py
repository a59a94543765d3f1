"""Views: the segments that callers with the same rights see, in order.

Segments fall into classes by their readers (viewer and editor roles together), and a caller sees some of the classes.
Callers who see the same classes share a view, whatever their tokens say. A view keeps its order as the store changes:
a change costs a binary search in each view that sees it, never a sort. What others work out from a view they may keep
under its stamp, which a change replaces.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence

from segsvc.index.entry import Entry
from segsvc.index.lru import LruCache

MAX_VIEWS = 64
MAX_ROLE_SETS = 4096
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

    def __init__(self, entries: Mapping[str, Entry], ids: list[str]) -> None:
        self._entries = entries
        self._ids = ids
        self._orders: dict[str, list[tuple[str, str]]] = {}
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
        for sort, order in self._orders.items():
            key = SORT_KEYS[sort]
            if before is not None:
                del order[bisect_left(order, (key(before), before.id))]
            if after is not None:
                insort(order, (key(after), after.id))

    def _order(self, sort: str) -> list[tuple[str, str]]:
        order = self._orders.get(sort)
        if order is None:
            key = SORT_KEYS[sort]
            order = self._orders[sort] = sorted((key(self._entries[id_]), id_) for id_ in self._ids)
        return order


class Views:
    """All views of a store, made when first asked for and then kept up to date."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._classes: dict[_Class, set[str]] = {}
        self._views: LruCache[frozenset[_Class], View] = LruCache(MAX_VIEWS)
        # which classes a caller's roles open; true until a class comes or goes
        self._opened: LruCache[frozenset[str], frozenset[_Class]] = LruCache(MAX_ROLE_SETS)

    def view(self, roles: frozenset[str]) -> View:
        """Return what a caller with these roles sees."""
        opened = self._opened.get(roles)
        if opened is None:
            opened = frozenset(class_ for class_ in self._classes if not class_.isdisjoint(roles))
            self._opened.put(roles, opened)
        view = self._views.get(opened)
        if view is None:
            view = View(self._entries, sorted(id_ for class_ in opened for id_ in self._classes[class_]))
            self._views.put(opened, view)
        return view

    def change(self, before: Entry | None, after: Entry | None) -> None:
        """Follow one segment's change in every view that sees it before or after."""
        if before is not None and after is not None and before.digest == after.digest:
            return  # a new version that shows nothing new, such as the operator's report on a run
        class_before = before.roles.readers if before is not None else None
        class_after = after.roles.readers if after is not None else None
        if class_before != class_after:
            if before is not None and class_before is not None:
                self._leave(class_before, before.id)
            if after is not None and class_after is not None:
                self._join(class_after, after.id)
        for opened, view in self._views.items():
            seen_before = before if class_before in opened else None
            seen_after = after if class_after in opened else None
            if seen_before is not None or seen_after is not None:
                view.change(seen_before, seen_after)

    def rebuild(self) -> None:
        """Begin anew from the entries as they are."""
        self._classes.clear()
        self._views.clear()
        self._opened.clear()
        for entry in self._entries.values():
            self._join(entry.roles.readers, entry.id)

    def _join(self, class_: _Class, segment_id: str) -> None:
        members = self._classes.get(class_)
        if members is None:
            members = self._classes[class_] = set()
            self._opened.clear()
        members.add(segment_id)

    def _leave(self, class_: _Class, segment_id: str) -> None:
        members = self._classes[class_]
        members.remove(segment_id)
        if not members:
            del self._classes[class_]
            self._opened.clear()
            self._forget(opened for opened, _ in self._views.items() if class_ in opened)

    def _forget(self, stale: Iterable[frozenset[_Class]]) -> None:
        for opened in list(stale):
            self._views.remove(opened)

"""One page of a view: which ids it holds, and how many there are in all."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from segsvc.index.entry import Entry
from segsvc.index.lru import LruCache
from segsvc.index.store import SegmentStore
from segsvc.index.views import SORT_KEYS, View

MAX_KEPT = 2_000_000
"""How many ids are kept in all for queries that may be asked again: 16 MB of references."""
RELEVANCE = ("relevance", "-relevance")
SORTS = (*SORT_KEYS, *RELEVANCE)
"""Every order other than by id; the relevance ones need a search."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a caller asks of a list. What the caller may see is no part of it: that is the view's.

    search: a text that is not blank, or None for no filter. sort: one of `SORTS`, or None for by id. labels: a segment
    must have all of them.
    """

    offset: int
    pagesize: int
    search: str | None = None
    sort: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """The ids on a page, in order, and ``total``, the number of all that the filters keep."""

    ids: Sequence[str]
    total: int


class Selector:
    """Answers queries, and keeps what filters found until what is in view changes."""

    def __init__(self, store: SegmentStore) -> None:
        self._store = store
        self._kept: LruCache[Hashable, Sequence[str]] = LruCache(MAX_KEPT, lambda ids: len(ids) + 32)

    def select(self, view: View, query: Query) -> Selection:
        """Answer a query from what is in view."""
        if query.search is None and not query.labels:
            return Selection(view.slice(query.offset, query.pagesize, sort=query.sort), len(view))
        key = (view.stamp, query.search, query.sort, query.labels)
        ids = self._kept.get(key)
        if ids is None:
            ids = _kept(self._store, view, query)
            self._kept.put(key, ids)
        return Selection(ids[query.offset : query.offset + query.pagesize], len(ids))


def _kept(store: SegmentStore, view: View, query: Query) -> Sequence[str]:
    """Return all ids that the filters keep, in order."""
    if query.search is None:
        return [entry.id for entry in map(store.get, view.ids(query.sort)) if entry and _has_labels(entry, query)]
    ranks = store.search(query.search)
    found = [entry for entry in map(store.get, ranks) if entry and entry.id in view and _has_labels(entry, query)]
    found.sort(key=attrgetter("id"))
    # sorting is stable: ties stay by id
    if query.sort in RELEVANCE:
        sign = 1 if query.sort == "relevance" else -1
        found.sort(key=lambda entry: sign * ranks[entry.id])
    elif query.sort is not None:
        found.sort(key=SORT_KEYS[query.sort])
    return [entry.id for entry in found]


def _has_labels(entry: Entry, query: Query) -> bool:
    return all(label in entry.labels for label in query.labels)

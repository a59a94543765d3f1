"""One page of a view: which segments it holds, and how many there are in all.

What a search finds does not depend on who asks: it is kept under its words until a name changes, comes or goes. What
of it a view shows, and in which order, is kept until another segment is in view or the order has changed. Neither
is lost by a change that cannot alter it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segsvc.index.entry import DIGEST_SIZE, body_digest
from segsvc.index.lru import LruCache
from segsvc.index.matches import Ranked
from segsvc.index.orders import SORT_KEYS
from segsvc.index.search import Asked, asked
from segsvc.index.slots import UNMADE, SomeSlots
from segsvc.index.store import SegmentStore
from segsvc.index.views import View

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_BYTES = 16 * 2**20
"""How much is kept of what searches found, and as much again of what of it views show."""
LEAST_BYTES = 1024
"""What is kept of a search counts as so much more than the slots in it."""
RELEVANCE = ("relevance", "-relevance")
SORTS = (*SORT_KEYS, *RELEVANCE)
"""Every order other than by id; the relevance ones need a search."""


class Query(NamedTuple):
    """What a caller asks of a list. What the caller may see is no part of it: that is the view's.

    search: a text that is not blank, or None for no filter. sort: one of `SORTS`, or None for by id. labels: a segment
    must have all of them.
    """

    offset: int
    pagesize: int
    search: str | None = None
    sort: str | None = None
    labels: tuple[str, ...] = ()


class Selection(NamedTuple):
    """The segments on a page, in order, and how many there are in all.

    slots: good until the next change only. bodies: as entries have them. size: how many bytes they have together.
    digests: what stands for each of them, one behind the other; `UNMADE` for those that have never been asked for.
    total: the number of all that the filters keep.
    """

    slots: SomeSlots
    bodies: list[bytes]
    size: int
    digests: bytes
    total: int


@dataclass(frozen=True, slots=True)
class _Found:
    """What a search found among all names, by id, and the stamp of these."""

    stamp: object
    ranked: Ranked
    size: int


@dataclass(frozen=True, slots=True)
class _Shown:
    """What of that is in a view, in an order, and what stands for all that it depends on."""

    seal: tuple[object, ...]
    array: SomeSlots


class Selector:
    """Answers queries."""

    def __init__(self, store: SegmentStore, *, max_bytes: int = MAX_BYTES) -> None:
        self._store = store
        self._found: LruCache[Asked, _Found] = LruCache(max_bytes, lambda found: found.size)
        self._shown: LruCache[Hashable, _Shown] = LruCache(max_bytes, lambda shown: shown.array.nbytes + LEAST_BYTES)

    def at_hand(self, view: View, query: Query) -> bool:
        """Tell whether `select` would not have to search anew, which is what takes it long."""
        if query.search is None:
            return True
        found = self._found.get(asked(query.search))
        return found is not None and found.stamp is self._store.names_stamp

    def select(self, view: View, query: Query) -> Selection:
        """Answer a query from what is in view. The view must have been made with the query's labels."""
        if query.search is None:
            slots, total = view.slice(query.offset, query.pagesize, sort=query.sort), len(view)
        else:
            array = self._searched(view, asked(query.search), query.sort)
            slots, total = array[query.offset : query.offset + query.pagesize], len(array)
        bodies, digests = self._store.shown(slots)
        return Selection(slots, bodies, sum(map(len, bodies)), digests, total)

    def make_digests(self, selection: Selection) -> Iterator[bytes]:
        """Return each of a page's digests; those that are `UNMADE` are made one by one, whatever changes meanwhile."""
        for number, (slot, body) in enumerate(zip(selection.slots.tolist(), selection.bodies, strict=True)):
            digest = selection.digests[number * DIGEST_SIZE : (number + 1) * DIGEST_SIZE]
            if digest == UNMADE:
                digest = body_digest(body)
                self._store.keep_digest(slot, body, digest)
            yield digest

    def _searched(self, view: View, search: Asked, sort: str | None) -> SomeSlots:
        """Return all slots in view that a search finds, in order."""
        order = self._store.order(None if sort in RELEVANCE else sort)
        seal = (self._store.names_stamp, view.members, order.stamp)
        key = (view.key, search, sort)
        shown = self._shown.get(key)
        if shown is None or shown.seal != seal:
            found = self._search(search)
            seen = view.among(found.slots)
            slots, ranks = found.slots.take(seen), found.ranks.take(seen)
            # sorting is stable: ties stay by id
            if sort == "relevance":
                slots = slots.take(np.argsort(ranks, kind="stable"))
            elif sort == "-relevance":
                slots = slots.take(np.argsort(~ranks, kind="stable"))
            elif sort is not None:
                slots = slots.take(order.arranged(slots))
            shown = _Shown(seal, slots)
            self._shown.put(key, shown)
        return shown.array

    def _search(self, search: Asked) -> Ranked:
        """Return all slots that a search finds, by id."""
        found = self._found.get(search)
        if found is None or found.stamp is not self._store.names_stamp:
            ranked = self._store.search(search)
            by_id = self._store.order(None).arranged(ranked.slots)
            ranked = Ranked(ranked.slots.take(by_id).astype(np.int32), ranked.ranks.take(by_id))
            size = ranked.slots.nbytes + ranked.ranks.nbytes + LEAST_BYTES
            found = _Found(self._store.names_stamp, ranked, size)
            self._found.put(search, found)
        return found.ranked


def page_digest(selection: Selection, digests: bytes) -> bytes:
    """Return what stands for what a page shows, the same in every process; ``digests`` are those of all its bodies."""
    return blake2b(b"%d:%b" % (selection.total, digests), digest_size=DIGEST_SIZE).digest()

"""Searches while segments come, change and go, and what is kept of them: what the rules say of the names there."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segsvc.domain.segment import Roles, Segment
from segsvc.index.entry import Entry, Version, entry
from segsvc.index.query import LEAST_BYTES, Query, Selector
from segsvc.index.store import SegmentStore
from tests.index import oracle
from tests.index.shown import ids_on

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segsvc.index.matches import Ranked
    from segsvc.index.search import Asked

LETTERS = "aab\u00e1B1-"
ROLES = (Roles(editor=("a",), viewer=()), Roles(editor=("a", "b"), viewer=()), Roles(editor=("b",), viewer=()))
CALLERS = (frozenset("a"), frozenset("b"), frozenset("ab"))


def shown(segment_id: str, revision: int, name: str, *, roles: Roles = ROLES[0], description: str = "") -> Entry:
    segment = Segment(segment_id, name, description, roles, (), {})
    return entry(segment, Version(f"uid of {segment_id}", revision))


class CountingStore(SegmentStore):
    """A store that counts how often it is searched."""

    searches = 0

    def search(self, asked: Asked) -> Ranked:
        self.searches += 1
        return super().search(asked)


class Life:
    """A store through changes made up from a seed, next to the entries that it must have.

    Every choice as one that hypothesis knows of would take longer than all the rest.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._revision = 0
        self.store = CountingStore()
        self.held: dict[str, Entry] = {}
        self.relist()

    def step(self) -> None:
        """Change something."""
        self._random.choice((self._put, self._put, self._put, self._describe, self._remove, self.relist))()

    def query(self) -> tuple[frozenset[str], Query]:
        """Make up who asks, and for what."""
        names = [shown.display_name for shown in self.held.values()] or ["a"]
        words = [word for name in names for word in oracle.words_of(name)] or ["a"]
        parts = [self._mutated(self._random.choice(words)) for _ in range(self._random.randint(1, 3))]
        search = self._random.choice((" ", "", "-")).join(parts)
        sort = self._random.choice((None, "relevance", "-relevance", "displayName", "-displayName"))
        query = Query(self._random.randint(0, 2), self._random.randint(1, 9), search if search.strip() else "a", sort)
        return self._random.choice(CALLERS), query

    def relist(self) -> None:
        """Swap in other segments, some of them as they were."""
        kept = [found for found in self.held.values() if self._random.random() < 0.7]
        made = [self._made(self._random.choice("abcdefgh")) for _ in range(self._random.randint(0, 4))]
        self.held = {found.id: found for found in (*kept, *made)}
        relist = self.store.relist()
        for found in sorted(self.held.values(), key=lambda found: found.id, reverse=self._random.random() < 0.2):
            relist.add(found.id, found.version, found)
        self.store.finish(relist, self._revision)

    def _put(self) -> None:
        self._take_in(self._made(self._random.choice("abcdefgh")))

    def _describe(self) -> None:
        if self.held:
            found = self._random.choice(list(self.held.values()))
            self._revision += 1
            text = str(self._revision)
            self._take_in(shown(found.id, self._revision, found.display_name, roles=found.roles, description=text))

    def _remove(self) -> None:
        if self.held:
            found = self.held.pop(self._random.choice(list(self.held)))
            self._revision += 1
            self.store.forget(found.id, Version(found.version.uid, self._revision))

    def _take_in(self, found: Entry) -> None:
        self.held[found.id] = found
        self.store.observe(found.id, found.version, found)

    def _made(self, segment_id: str) -> Entry:
        self._revision += 1
        words = ["".join(self._random.choices(LETTERS, k=self._random.randint(1, 9))) for _ in range(3)]
        name = " ".join(words[: self._random.randint(1, 3)])
        return shown(segment_id, self._revision, name, roles=self._random.choice(ROLES))

    def _mutated(self, word: str) -> str:
        at, letter = self._random.randint(0, len(word)), self._random.choice(LETTERS)
        changed = (word, word[at:], word[:at], word[:at] + letter + word[at:], word[:at] + letter + word[at + 1 :])
        return self._random.choice(changed)


def expected(held: Iterable[Entry], roles: frozenset[str], query: Query) -> list[Entry]:
    """Return all that a search keeps, in order."""
    seen = {found.id: found for found in held if roles & found.roles.readers}
    ranks = oracle.search({id_: found.display_name for id_, found in seen.items()}, query.search or "")
    kept = sorted((seen[id_] for id_ in ranks), key=lambda found: found.id)
    if query.sort is not None:
        is_rank, descends = query.sort.endswith("relevance"), query.sort.startswith("-")
        kept.sort(key=lambda found: ranks[found.id] if is_rank else found.display_name, reverse=descends)
    return kept


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**64))
def test_what_is_found_is_what_the_rules_say_whatever_changes(seed: int) -> None:
    life = Life(seed)
    selector = Selector(life.store)
    asked: list[tuple[frozenset[str], Query]] = []
    for _ in range(12):
        life.step()
        asked = [*asked[-4:], *(life.query() for _ in range(4))]
        for roles, query in asked:
            kept = expected(life.held.values(), roles, query)
            view = life.store.view(roles)
            for _ in range(2):
                selection = selector.select(view, query)
                assert selection.total == len(kept), query
                wanted = kept[query.offset : query.offset + query.pagesize]
                assert selection.bodies == [shown.body for shown in wanted], query
                assert selector.at_hand(view, query)


@pytest.fixture
def store() -> CountingStore:
    store = CountingStore()
    for revision, segment_id in enumerate("abc", start=1):
        store.observe(segment_id, Version(f"uid of {segment_id}", revision), shown(segment_id, revision, "Demo"))
    return store


def found(store: SegmentStore, selector: Selector, search: str, *, sort: str | None = None) -> str:
    selection = selector.select(store.view(frozenset("a")), Query(0, 9, search, sort))
    return "".join(ids_on(selection))


def test_only_changes_that_can_alter_what_is_found_make_searches_necessary(store: CountingStore) -> None:
    selector = Selector(store)
    assert found(store, selector, "demo") == "abc"
    store.observe("a", Version("uid of a", 10), shown("a", 10, "Demo", description="other"))
    store.observe("b", Version("uid of b", 11), shown("b", 11, "Demo", roles=ROLES[2]))
    assert found(store, selector, "demo") == "ac"
    assert found(store, selector, "DEMO ") == "ac"
    assert found(store, selector, "demo", sort="-displayName") == "ac"
    assert store.searches == 1

    store.observe("c", Version("uid of c", 12), shown("c", 12, "Other"))
    assert not selector.at_hand(store.view(frozenset("a")), Query(0, 9, "demo"))
    assert found(store, selector, "demo") == "a"
    store.observe("d", Version("uid of d", 13), shown("d", 13, "Demo"))
    assert found(store, selector, "demo") == "ad"
    store.forget("a", Version("uid of a", 14))
    assert found(store, selector, "demo") == "d"
    assert store.searches == 4


def test_who_asks_makes_no_search_necessary(store: CountingStore) -> None:
    selector = Selector(store)
    for roles in ("a", "b", "ab", "x"):
        for labels in ((), ("x",)):
            view = store.view(frozenset(roles), labels)
            assert selector.select(view, Query(0, 9, "dmeo", labels=labels)).total == (0 if labels else len(view))
    assert store.searches == 1


def test_a_page_without_a_search_is_at_hand_always(store: CountingStore) -> None:
    selector = Selector(store)
    view = store.view(frozenset("a"))
    assert selector.at_hand(view, Query(0, 9))
    assert selector.at_hand(view, Query(0, 9, sort="-createdAt"))
    assert not selector.at_hand(view, Query(0, 9, "demo"))


def test_of_any_number_of_searches_only_the_last_are_kept(store: CountingStore) -> None:
    selector = Selector(store, max_bytes=10 * (LEAST_BYTES + 100))
    view = store.view(frozenset("a"))
    searches = [f"{'x' * (number % 100)} demo {number}" for number in range(1_000)]
    for search in searches:
        selector.select(view, Query(0, 9, search))
    kept = [search for search in searches if selector.at_hand(view, Query(0, 9, search))]
    assert kept == searches[-len(kept) :]
    assert 8 <= len(kept) <= 10

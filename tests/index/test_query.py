"""Queries: filters, orders, pages and totals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segsvc.domain.access import may_read
from segsvc.domain.segment import Roles, Segment
from segsvc.index.entry import Entry, Version, entry
from segsvc.index.query import RELEVANCE, SORTS, Query, Selection, Selector, page_digest
from segsvc.index.store import SegmentStore
from tests.index import oracle
from tests.index.shown import ids_on

CALLER = frozenset({"a"})

names = st.lists(
    st.sampled_from(["demo", "Demos", "dem\u00f3", "segment", "segmnet", "store", "eventstore"]), max_size=3
).map(" ".join)
dates = st.sampled_from(["", "2020-03-18T18:08:31.850", "2021-01-01T00:00:00.000"])
labels = st.lists(st.sampled_from(["x", "y", "X", ""]), max_size=3).map(tuple)


def entry_of(
    segment_id: str,
    name: str = "Demo",
    *,
    labels: tuple[str, ...] = (),
    created_at: str = "",
    modified_at: str = "",
    role: str = "a",
    revision: int = 1,
) -> Entry:
    segment = Segment(
        id=segment_id,
        display_name=name,
        description="",
        roles=Roles(editor=(role,), viewer=()),
        labels=labels,
        data={"cronjob": {"schedule": "@daily"}},
        created_at=created_at,
        modified_at=modified_at,
    )
    return entry(segment, Version(f"uid of {segment_id}", revision))


def store_of(*entries: Entry) -> SegmentStore:
    store = SegmentStore()
    relist = store.relist()
    for shown in entries:
        relist.add(shown.id, shown.version, shown)
    store.finish(relist, 1)
    return store


def query(**asked: object) -> Query:
    return Query(offset=0, pagesize=100)._replace(**asked)  # type: ignore[arg-type]


def select(store: SegmentStore, **asked: object) -> tuple[list[str], int]:
    wanted = query(**asked)
    selection = Selector(store).select(store.view(CALLER, wanted.labels), wanted)
    return ids_on(selection), selection.total


entries = st.builds(
    entry_of,
    st.sampled_from([*"abcdef", "a-1", "a.1"]),
    names,
    labels=labels,
    created_at=dates,
    modified_at=dates,
    role=st.sampled_from("aaab"),
)
queries = st.builds(
    Query,
    offset=st.integers(0, 9),
    pagesize=st.integers(1, 9),
    search=st.none() | st.sampled_from(["demo", "dmeo", "seg", "event store", "store demo", "nonsense", "-"]),
    sort=st.none() | st.sampled_from(SORTS),
    labels=st.lists(st.sampled_from(["x", "y", ""]), max_size=2, unique=True).map(tuple),
).filter(lambda asked: asked.search is not None or asked.sort not in {"relevance", "-relevance"})


def expected(held: list[Entry], asked: Query) -> list[str]:
    """Return all ids that a query keeps, in order, worked out from the words of the contract."""
    kept = [shown for shown in held if may_read(CALLER, shown.roles) and set(asked.labels) <= set(shown.labels)]
    ranks = {shown.id: 0 for shown in kept}
    if asked.search is not None:
        ranks = oracle.search({shown.id: shown.display_name for shown in kept}, asked.search)
    kept = sorted((shown for shown in kept if shown.id in ranks), key=lambda shown: shown.id)
    if asked.sort is not None:
        keys = {
            "displayName": lambda shown: shown.display_name,
            "createdAt": lambda shown: shown.created_at,
            "modifiedAt": lambda shown: shown.modified_at,
            "relevance": lambda shown: ranks[shown.id],
        }
        kept.sort(key=keys[asked.sort.lstrip("-")], reverse=asked.sort.startswith("-"))
    return [shown.id for shown in kept]


@settings(deadline=None)
@given(held=st.lists(entries, unique_by=lambda shown: shown.id), asked=queries)
def test_a_page_is_a_slice_of_all_that_filters_keep_in_order(held: list[Entry], asked: Query) -> None:
    store = store_of(*held)
    selection = Selector(store).select(store.view(CALLER, asked.labels), asked)
    ids = expected(held, asked)
    assert ids_on(selection) == ids[asked.offset : asked.offset + asked.pagesize]
    assert selection.total == len(ids)


@settings(deadline=None, max_examples=50)
@given(changes=st.lists(entries, min_size=1, max_size=8), asked=st.lists(queries, min_size=1, max_size=3))
def test_what_is_kept_of_a_query_never_outlives_a_change(changes: list[Entry], asked: list[Query]) -> None:
    store = store_of()
    selector = Selector(store)
    held: dict[str, Entry] = {}
    for revision, change in enumerate(changes, start=2):
        shown = replace(change, version=Version(change.version.uid, revision))
        store.observe(shown.id, shown.version, shown)
        held[shown.id] = shown
        for one in asked:
            for _ in range(2):
                selection = selector.select(store.view(CALLER, one.labels), one)
                assert selection.total == len(expected(list(held.values()), one))
                wanted = expected(list(held.values()), one)[one.offset : one.offset + one.pagesize]
                assert ids_on(selection) == wanted


def test_what_is_kept_of_one_query_is_no_answer_to_another() -> None:
    held = [
        entry_of("a", "Store Demo", labels=("x",), created_at="2021-01-01T00:00:00.000"),
        entry_of("b", "Demos", labels=("x", "y"), created_at="2022-01-01T00:00:00.000"),
        entry_of("c", "Demo", labels=("y",), modified_at="2022-01-01T00:00:00.000"),
    ]
    store = store_of(*held)
    selector = Selector(store)
    for sort in (None, *SORTS):
        for search in ("demo", "demos", None) if sort not in RELEVANCE else ("demo", "demos"):
            for wanted in ((), ("x",), ("x", "y")):
                asked = query(search=search, sort=sort, labels=wanted)
                selection = selector.select(store.view(CALLER, wanted), asked)
                assert ids_on(selection) == expected(held, asked)


class TestLabels:
    STORE = store_of(
        entry_of("a", labels=("customer", "demo")),
        entry_of("b", labels=("demo",)),
        entry_of("c", labels=("Demo", "customer")),
        entry_of("d", labels=("demo", "demo", "")),
        entry_of("e"),
    )

    @pytest.mark.parametrize(
        ("asked", "ids"),
        [
            (("demo",), ["a", "b", "d"]),
            (("demo", "customer"), ["a"]),
            (("customer", "demo"), ["a"]),
            (("Demo",), ["c"]),
            (("dem",), []),
            (("",), ["d"]),
        ],
    )
    def test_a_segment_must_have_each_of_them_to_the_letter(self, asked: tuple[str, ...], ids: list[str]) -> None:
        assert select(self.STORE, labels=asked) == (ids, len(ids))

    def test_go_with_any_order_and_with_a_search(self) -> None:
        assert select(self.STORE, labels=("demo",), sort="-createdAt") == (["a", "b", "d"], 3)
        assert select(self.STORE, labels=("demo",), search="dmeo", pagesize=1, offset=1) == (["b"], 3)


class TestRelevance:
    STORE = store_of(
        entry_of("a", "Our Eventstore"),  # within
        entry_of("b", "Stores"),  # begun
        entry_of("c", "Store"),
        entry_of("d", "Stroe"),  # misspelled
        entry_of("e", "The Store"),
        entry_of("f", "Segment"),
    )

    def test_is_best_first_with_ties_by_id(self) -> None:
        assert select(self.STORE, search="store", sort="relevance") == (["c", "e", "b", "a", "d"], 5)

    def test_turned_round_is_worst_first_with_ties_by_id(self) -> None:
        assert select(self.STORE, search="store", sort="-relevance") == (["d", "a", "b", "c", "e"], 5)

    def test_is_not_the_order_unless_asked_for(self) -> None:
        assert select(self.STORE, search="store") == (["a", "b", "c", "d", "e"], 5)


def test_an_offset_past_the_end_gives_no_items_and_the_true_total() -> None:
    store = store_of(entry_of("a"), entry_of("b"))
    for asked in ({}, {"search": "demo"}, {"sort": "-displayName"}):
        assert select(store, offset=10**18, **asked) == ([], 2)


def test_the_total_counts_only_what_the_caller_may_see() -> None:
    store = store_of(entry_of("a"), entry_of("b", role="b"), entry_of("c", role="b"))
    assert select(store) == (["a"], 1)
    assert select(store, search="demo") == (["a"], 1)
    assert Selector(store).select(store.view(frozenset()), query(search="demo")).total == 0


def made(selector: Selector, selection: Selection) -> bytes:
    return page_digest(selection, b"".join(selector.make_digests(selection)))


def test_digests_made_while_all_changes_are_those_of_what_was_selected() -> None:
    held = [entry_of(segment_id) for segment_id in "abcd"]
    store = store_of(*held)
    selector = Selector(store)
    selection = selector.select(store.view(CALLER), query())
    making = selector.make_digests(selection)
    digests = [next(making)]
    renamed = entry_of("b", "Another", revision=2)
    store.observe(renamed.id, renamed.version, renamed)
    digests.append(next(making))
    relist = store.relist()
    for shown in (renamed, held[2]):
        relist.add(shown.id, shown.version, shown)
    store.finish(relist, 3)
    digests += making

    assert digests == [shown.digest for shown in held]
    after = selector.select(store.view(CALLER), query())
    assert list(selector.make_digests(after)) == [renamed.digest, held[2].digest]
    assert selector.select(store.view(CALLER), query()).digests == renamed.digest + held[2].digest


def test_a_digest_stands_for_what_a_page_shows_whatever_else_changes() -> None:
    held = [entry_of(segment_id) for segment_id in "abc"]

    def digest(store: SegmentStore, **asked: int) -> bytes:
        selector = Selector(store)
        return made(selector, selector.select(store.view(CALLER), query(**asked)))

    store = store_of(*held)
    first, whole = digest(store, pagesize=2), digest(store)
    assert digest(store, offset=1, pagesize=2) != first

    again = replace(held[2], version=Version(held[2].version.uid, 2))
    store.observe(again.id, again.version, again)
    assert digest(store) == whole

    renamed = entry_of("c", "Another", revision=3)
    store.observe(renamed.id, renamed.version, renamed)
    assert digest(store) != whole
    assert digest(store, pagesize=2) == first

    store.forget("c", Version(renamed.version.uid, 4))
    assert digest(store, pagesize=2) != first  # the total shows
    assert digest(store, pagesize=2) == digest(store_of(*held[:2]), pagesize=2)

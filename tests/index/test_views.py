"""Views show what their callers may see, in every order, whatever changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from segsvc.domain.access import may_read
from segsvc.domain.segment import Roles, Segment
from segsvc.index.entry import Entry, Version, entry
from segsvc.index.views import MAX_VIEWS, SORT_KEYS, View, Views

CALLERS = [frozenset(roles) for roles in ("", "a", "b", "c", "ab", "bc", "abc", "x", "ax")]
SORTS = [None, *SORT_KEYS]

# The two last code points, which are no characters, count as one where names run downwards.
names = st.text(alphabet=st.characters(codec="utf-8", max_codepoint=0x10FFFD), max_size=3) | st.sampled_from(
    ["a", "ab", "b", "B", "a\x00", "\U0010fffd", "\U0010fffd\x00", "客户", ""]
)
dates = st.sampled_from(["", "2020-03-18T18:08:31.850", "2020-03-18T18:09:17.179", "2021-01-01T00:00:00.000"])
role_lists = st.lists(st.sampled_from("abc"), max_size=2).map(tuple)
segment_ids = st.sampled_from(["a", "b", "b-1", "b.1", "c", "d", "e", "f"])
SOUGHT = sorted(["", "0", "a", "b", "b-", "b-1", "b.1", "c", "d", "e", "f", "z"])


def entry_of(
    segment_id: str, *, name: str = "Demo", created_at: str = "", modified_at: str = "", roles: Roles | None = None
) -> Entry:
    segment = Segment(
        id=segment_id,
        display_name=name,
        description="",
        roles=roles or Roles(editor=("a",), viewer=()),
        labels=(),
        data={"cronjob": {"schedule": "@daily"}},
        created_at=created_at,
        modified_at=modified_at,
    )
    return entry(segment, Version("uid", 1))


entries = st.builds(
    entry_of,
    segment_ids,
    name=names,
    created_at=dates,
    modified_at=dates,
    roles=st.builds(Roles, editor=role_lists, viewer=role_lists),
)


def in_order(seen: list[Entry], sort: str | None) -> list[str]:
    """Return the ids of these segments, sorted anew: ties by id upwards in every order."""
    by_id = sorted(seen, key=lambda entry: entry.id)
    if sort is None:
        return [entry.id for entry in by_id]
    field = {"displayName": "display_name", "createdAt": "created_at", "modifiedAt": "modified_at"}[sort.lstrip("-")]
    # sorting keeps the order of ties, reversed as well
    in_sort = sorted(by_id, key=lambda entry: str(getattr(entry, field)), reverse=sort.startswith("-"))
    return [entry.id for entry in in_sort]


class Changes(RuleBasedStateMachine):
    """Segments come, change and go, while callers look."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, Entry] = {}
        self.views = Views(self.entries)
        self.stamps: dict[frozenset[str], tuple[object, list[bytes]]] = {}

    @initialize(callers=st.lists(st.sampled_from(CALLERS)), sorts=st.lists(st.sampled_from(SORTS)))
    def look(self, callers: list[frozenset[str]], sorts: list[str | None]) -> None:
        """Let some views and orders exist before anything changes; others are made later."""
        for caller in callers:
            for sort in sorts:
                self.views.view(caller).ids(sort)

    @rule(shown=entries)
    def put(self, shown: Entry) -> None:
        before = self.entries.get(shown.id)
        self.entries[shown.id] = shown
        self.views.change(before, shown)

    @rule(segment_id=segment_ids)
    def touch(self, segment_id: str) -> None:
        """Tell of a new version that shows nothing new."""
        before = self.entries.get(segment_id)
        if before is not None:
            after = replace(before, version=Version("uid", before.version.revision + 1))
            self.entries[segment_id] = after
            self.views.change(before, after)

    @rule(segment_id=segment_ids)
    def remove(self, segment_id: str) -> None:
        before = self.entries.pop(segment_id, None)
        if before is not None:
            self.views.change(before, None)

    @rule(held=st.lists(entries))
    def swap(self, held: list[Entry]) -> None:
        """Take in a whole list in place of what was there."""
        self.entries.clear()
        self.entries.update((shown.id, shown) for shown in held)
        self.views.rebuild()
        self.stamps.clear()

    @rule(
        caller=st.sampled_from(CALLERS), sort=st.sampled_from(SORTS), offset=st.integers(0, 9), count=st.integers(1, 9)
    )
    def page(self, caller: frozenset[str], sort: str | None, offset: int, count: int) -> None:
        view = self.views.view(caller)
        assert list(view.slice(offset, count, sort=sort)) == self._seen(caller, sort)[offset : offset + count]

    @invariant()
    def each_caller_sees_what_may_be_read(self) -> None:
        for caller in CALLERS:
            view, seen = self.views.view(caller), self._seen(caller)
            assert list(view.ids()) == seen
            assert len(view) == len(seen)
            assert [segment_id for segment_id in SOUGHT if segment_id in view] == seen

    @invariant()
    def each_order_is_a_full_sort(self) -> None:
        for sort in SORT_KEYS:
            assert list(self.views.view(frozenset("ab")).ids(sort)) == self._seen(frozenset("ab"), sort)

    @invariant()
    def a_stamp_changes_exactly_when_what_is_in_view_does(self) -> None:
        for caller in CALLERS:
            stamp, known = self.views.view(caller).stamp, self.stamps.get(caller)
            shown = [self.entries[segment_id].body for segment_id in self._seen(caller)]
            if known is not None:
                assert (stamp is known[0]) == (shown == known[1])
            self.stamps[caller] = (stamp, shown)

    def _seen(self, caller: frozenset[str], sort: str | None = None) -> list[str]:
        return in_order([shown for shown in self.entries.values() if may_read(caller, shown.roles)], sort)


TestChanges = Changes.TestCase
TestChanges.settings = settings(deadline=None, max_examples=50, stateful_step_count=30)


@settings(deadline=None)
@given(
    held=st.lists(entries.filter(lambda shown: bool(shown.roles.readers)), unique_by=lambda shown: shown.id),
    sort=st.sampled_from(SORTS),
    offset=st.integers(0, 12),
    count=st.integers(0, 12),
)
def test_a_page_is_a_slice_of_the_full_sorted_list(
    held: list[Entry], sort: str | None, offset: int, count: int
) -> None:
    view = view_of(held)
    assert list(view.ids(sort)) == in_order(held, sort)
    assert list(view.slice(offset, count, sort=sort)) == in_order(held, sort)[offset : offset + count]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (None, ["a", "b", "b-1", "b.1", "c"]),
        ("displayName", ["c", "b.1", "a", "b-1", "b"]),
        ("-displayName", ["b", "a", "b-1", "b.1", "c"]),
        ("createdAt", ["b", "a", "c", "b-1", "b.1"]),
        ("-createdAt", ["b-1", "b.1", "c", "a", "b"]),
        ("modifiedAt", ["a", "b", "b-1", "b.1", "c"]),
        ("-modifiedAt", ["a", "b", "b-1", "b.1", "c"]),
    ],
)
def test_ties_are_by_id_upwards_and_an_empty_date_is_the_earliest(sort: str | None, expected: list[str]) -> None:
    view = view_of(
        [
            entry_of("c", name="Berlin", created_at="2020-03-18T18:08:31.851"),
            entry_of("b", name="berlin"),
            entry_of("a", name="Demo", created_at="2020-03-18T18:08:31.850"),
            entry_of("b.1", name="Berlins", created_at="2020-03-18T18:08:32.000"),
            entry_of("b-1", name="Demo", created_at="2020-03-18T18:08:32.000"),
        ]
    )
    assert list(view.ids(sort)) == expected


def test_a_caller_without_roles_sees_nothing() -> None:
    held = {"a": entry_of("a"), "b": entry_of("b", roles=Roles(editor=(), viewer=()))}
    views = Views(held)
    views.rebuild()
    assert list(views.view(frozenset()).ids()) == []
    assert list(views.view(frozenset("a")).ids()) == ["a"]


def test_callers_who_see_the_same_share_a_view() -> None:
    views = Views({"a": entry_of("a")})
    views.rebuild()
    assert views.view(frozenset("a")) is views.view(frozenset("ax"))
    assert views.view(frozenset("x")) is views.view(frozenset("yz"))
    assert views.view(frozenset("x")) is not views.view(frozenset("a"))


def test_views_are_right_however_many_kinds_of_callers_there_are() -> None:
    held: dict[str, Entry] = {}
    views = Views(held)
    callers = [frozenset({f"role-{number}"}) for number in range(3 * MAX_VIEWS)]

    def seen() -> list[list[str]]:
        return [list(views.view(caller).ids("-displayName")) for caller in callers]

    for name in ("Before", "After"):
        for number, caller in enumerate(callers):
            segment_id = f"segment-{number:03}"
            shown = entry_of(segment_id, name=name, roles=Roles(editor=tuple(caller), viewer=("everyone",)))
            before = held.get(segment_id)
            held[segment_id] = shown
            views.change(before, shown)
        assert seen() == [[f"segment-{number:03}"] for number in range(len(callers))]
    assert len(views.view(frozenset({"everyone"}))) == len(callers)


def view_of(held: list[Entry]) -> View:
    views = Views({shown.id: shown for shown in held})
    views.rebuild()
    return views.view(frozenset("abc"))

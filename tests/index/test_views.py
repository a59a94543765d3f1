"""Views show what their callers may see, in every order, whatever changes."""

from __future__ import annotations

import weakref
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from segsvc.domain.access import may_read
from segsvc.domain.segment import Roles, Segment
from segsvc.index.entry import Entry, Version, entry
from segsvc.index.views import MAX_POSITIONS, MAX_ROLES, MAX_VIEWS, SORT_KEYS, View, Views

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
        self.watching: list[frozenset[str]] = []
        self.keeps_stamps = True
        self.stamps: dict[frozenset[str], tuple[object, list[bytes]]] = {}

    @initialize(
        callers=st.lists(st.sampled_from(CALLERS), unique=True),
        sorts=st.lists(st.sampled_from(SORTS)),
        room=st.sampled_from([8, MAX_POSITIONS, MAX_POSITIONS]),
    )
    def look(self, callers: list[frozenset[str]], sorts: list[str | None], room: int) -> None:
        """Let some look from the beginning and after each step, with some orders; others look when they happen to."""
        self.views = Views(self.entries, max_positions=room)
        self.watching = callers
        self.keeps_stamps = room == MAX_POSITIONS
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
        self._check(self.watching)

    def teardown(self) -> None:
        self._check(CALLERS)

    def _check(self, callers: list[frozenset[str]]) -> None:
        for caller in callers:
            view, seen = self.views.view(caller), self._seen(caller)
            assert list(view.ids()) == seen
            assert len(view) == len(seen)
            assert [segment_id for segment_id in SOUGHT if segment_id in view] == seen

    @invariant()
    def each_order_is_a_full_sort(self) -> None:
        for caller in self.watching:
            for sort in SORT_KEYS:
                assert list(self.views.view(caller).ids(sort)) == self._seen(caller, sort)

    @invariant()
    def a_view_is_shared_exactly_by_those_who_see_the_same_classes(self) -> None:
        for one, other in pairwise(self.watching):
            shared = self.views.view(one) is self.views.view(other)
            assert shared == (self._opened(one) == self._opened(other))

    @invariant()
    def a_stamp_changes_exactly_when_what_is_in_view_does(self) -> None:
        if not self.keeps_stamps:
            return  # a view that had to make room comes back with another
        for caller in self.watching:
            stamp, known = self.views.view(caller).stamp, self.stamps.get(caller)
            shown = [self.entries[segment_id].body for segment_id in self._seen(caller)]
            if known is not None:
                assert (stamp is known[0]) == (shown == known[1])
            self.stamps[caller] = (stamp, shown)

    def _opened(self, caller: frozenset[str]) -> set[frozenset[str]]:
        return {shown.roles.readers for shown in self.entries.values() if may_read(caller, shown.roles)}

    def _seen(self, caller: frozenset[str], sort: str | None = None) -> list[str]:
        return in_order([shown for shown in self.entries.values() if may_read(caller, shown.roles)], sort)


TestChanges = Changes.TestCase
TestChanges.settings = settings(deadline=None, max_examples=80, stateful_step_count=30)


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


class Counted(dict[str, Entry]):
    """Entries that count how often one is looked at: a view does so for each of its segments when it is sorted."""

    looks = 0

    def __getitem__(self, segment_id: str) -> Entry:
        self.looks += 1
        return super().__getitem__(segment_id)


@pytest.fixture
def held() -> Counted:
    """Ten segments that "a" and "b" may read, and ten that only "b" may."""
    return Counted(
        (f"{reader}-{number}", entry_of(f"{reader}-{number}", roles=Roles(editor=(reader,), viewer=("b",))))
        for reader in "ab"
        for number in range(10)
    )


def looks(views: Views, held: Counted, caller: str) -> int:
    """Let a caller look, and return how many segments had to be sorted for that."""
    before = held.looks
    ids = views.view(frozenset(caller.split())).ids("-displayName")
    assert sorted(ids) == [shown.id for shown in held.values() if may_read(set(caller.split()), shown.roles)]
    return held.looks - before


@pytest.mark.parametrize("readers", ["new", "x", "b", "a x"])
def test_the_first_and_the_last_segment_of_a_class_cost_no_sorting(held: Counted, readers: str) -> None:
    views = Views(held)
    views.rebuild()
    callers = ["a", "a x", "a y", "b", "x", "a b"]
    assert [looks(views, held, caller) for caller in callers] == [10, 0, 0, 20, 0, 0]
    shown = entry_of("c", roles=Roles(editor=("new",), viewer=tuple(readers.split())))
    held["c"] = shown
    views.change(None, shown)
    assert [looks(views, held, caller) for caller in callers] == [0] * len(callers)
    del held["c"]
    views.change(shown, None)
    assert [looks(views, held, caller) for caller in callers] == [0] * len(callers)


def test_callers_are_parted_by_a_class_that_some_of_them_see_and_united_when_it_goes(held: Counted) -> None:
    views = Views(held)
    views.rebuild()
    plain, more = frozenset("a"), frozenset("ax")
    shared, stamp = views.view(plain), views.view(plain).stamp
    shown = entry_of("c", roles=Roles(editor=("x",), viewer=()))
    held["c"] = shown
    views.change(None, shown)
    assert ["c" in views.view(caller) for caller in (plain, more)] == [False, True]
    held["c"] = entry_of("c", roles=Roles(editor=("y",), viewer=()))
    views.change(shown, held["c"])
    assert views.view(more) is views.view(plain) is shared
    assert shared.stamp is stamp, "who could not see it has seen no change"


def test_an_order_that_only_one_of_two_united_views_had_is_kept(held: Counted) -> None:
    shown = held["c"] = entry_of("c", roles=Roles(editor=("x",), viewer=()))
    views = Views(held)
    views.rebuild()
    assert len(views.view(frozenset("a"))) == 10
    assert looks(views, held, "a x") == 11
    del held["c"]
    views.change(shown, None)
    assert [looks(views, held, caller) for caller in ("a", "a x")] == [0, 0]


def test_views_used_last_are_kept_as_far_as_there_is_room_for_their_orders(held: Counted) -> None:
    held["c"] = entry_of("c", roles=Roles(editor=("c",), viewer=("d",)))
    views = Views(held, max_positions=82)  # all three views would have 40 + 2 + 42
    views.rebuild()
    assert [looks(views, held, caller) for caller in ("b", "c", "b c")] == [20, 1, 21]
    assert [looks(views, held, caller) for caller in ("b c", "b", "c")] == [0, 20, 1]


def test_growing_views_make_room(held: Counted) -> None:
    views = Views(held, max_positions=60)
    views.rebuild()
    assert [looks(views, held, caller) for caller in ("a", "b", "a")] == [10, 20, 0]
    shown = held["b-99"] = entry_of("b-99", roles=Roles(editor=("b",), viewer=()))
    views.change(None, shown)
    assert [looks(views, held, caller) for caller in ("a", "b")] == [0, 21]


def test_a_view_that_takes_all_the_room_is_kept_while_it_is_the_only_one(held: Counted) -> None:
    views = Views(held, max_positions=1)
    views.rebuild()
    assert [looks(views, held, caller) for caller in ("b", "b", "a", "b")] == [20, 0, 10, 20]


def test_callers_with_a_great_many_roles_are_not_remembered_without_end(held: Counted) -> None:
    views = Views(held)
    views.rebuild()
    callers: list[weakref.ref[frozenset[str]]] = []
    for number in range(2 * MAX_ROLES // 1_000):
        roles = frozenset(f"{number}-{role}" for role in range(1_000))
        assert len(views.view(roles)) == 0
        callers.append(weakref.ref(roles))
        del roles
    remembered = sum(1 for caller in callers if caller() is not None)
    assert MAX_ROLES // 2 < 1_000 * remembered <= MAX_ROLES


def view_of(held: list[Entry]) -> View:
    views = Views({shown.id: shown for shown in held})
    views.rebuild()
    return views.view(frozenset("abc"))

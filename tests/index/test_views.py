"""Views show what their callers may see, in every order, whatever changes."""

from __future__ import annotations

import random
import weakref
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from segsvc.domain.access import may_read
from segsvc.domain.segment import Roles, Segment
from segsvc.index.contents import Contents
from segsvc.index.counts import LEAST_BYTES, MAX_BYTES, MAX_UNREAD
from segsvc.index.entry import Entry, Version, entry
from segsvc.index.orders import BLOCK, SORT_KEYS
from segsvc.index.picks import WORTH
from segsvc.index.views import MAX_LABELLED, MAX_ROLES, MAX_VIEWS, View, Views
from tests.index.shown import entries_in

Caller = tuple[frozenset[str], tuple[str, ...]]

CALLERS: list[Caller] = [(frozenset(roles), ()) for roles in ("", "a", "b", "c", "ab", "bc", "abc", "x", "ax")]
CALLERS += [(frozenset(roles), tuple(labels)) for roles in ("a", "abc") for labels in ("u", "v", "uv", "vu", "w", "uw")]
SORTS = [None, *SORT_KEYS]
ONE_PICK = LEAST_BYTES + 20
"""Bytes of room for what is counted for one view, in one order, of a few segments."""

names = st.text(alphabet=st.characters(codec="utf-8"), max_size=3) | st.sampled_from(
    ["a", "ab", "b", "B", "a\x00", "a\x00\x00", "\U0010fffd", "\U0010fffd\x00", "\uffff", "\U0010ffff", "客户", ""]
)
names |= st.builds("{}{}".format, st.sampled_from(["a" * 22, "é" * 11, "客" * 7, "b" * 40]), names)
dates = st.sampled_from(["", "2020-03-18T18:08:31.850", "2020-03-18T18:09:17.179", "2021-01-01T00:00:00.000"])
role_lists = st.lists(st.sampled_from("abc"), max_size=2).map(tuple)
label_lists = st.lists(st.sampled_from("uv"), max_size=3).map(tuple)
segment_ids = st.sampled_from(["a", "b", "b-1", "b.1", "c", "d", "e", "f"])


def entry_of(
    segment_id: str,
    *,
    name: str = "Demo",
    created_at: str = "",
    modified_at: str = "",
    roles: Roles | None = None,
    labels: tuple[str, ...] = (),
) -> Entry:
    segment = Segment(
        id=segment_id,
        display_name=name,
        description="",
        roles=roles or Roles(editor=("a",), viewer=()),
        labels=labels,
        data={"cronjob": {"schedule": "@daily"}},
        created_at=created_at,
        modified_at=modified_at,
    )
    return entry(segment, Version("uid", 1))


class Index:
    """Segments and their views, kept in step as the store does it."""

    def __init__(self, *held: Entry, max_bytes: int = MAX_BYTES, block: int = BLOCK, worth: int = 0) -> None:
        self.max_bytes = max_bytes
        self.block = block
        self.worth = worth
        self.swap(held)

    def swap(self, held: tuple[Entry, ...]) -> None:
        """Take in a whole list in place of what was there."""
        self.contents = Contents()
        for shown in held:
            self.contents.put(shown)
        slots = self.contents.slots
        by_id = np.array([slots.find(segment_id) for segment_id in sorted(slots.ids)], np.int64)
        self.views = Views(self.contents, by_id, max_bytes=self.max_bytes, block=self.block, worth=self.worth)

    def put(self, shown: Entry) -> None:
        change = self.contents.put(shown)
        if change is not None:
            self.views.change(change)

    def remove(self, segment_id: str) -> None:
        change = self.contents.remove(segment_id)
        if change is not None:
            self.views.change(change)

    def view(self, roles: str, *labels: str) -> View:
        """Return what a caller sees; the roles are single letters or parted by spaces."""
        return self.views.view(frozenset(roles.split() if " " in roles else roles), labels)


def ids(view: View, sort: str | None = None) -> list[str]:
    return [shown.id for shown in entries_in(view, sort=sort)]


entries = st.builds(
    entry_of,
    segment_ids,
    name=names,
    created_at=dates,
    modified_at=dates,
    roles=st.builds(Roles, editor=role_lists, viewer=role_lists),
    labels=label_lists,
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
        self.index = Index()
        self.watching: list[Caller] = []
        self.stamps: dict[Caller, tuple[View, object, object, list[bytes], list[str]]] = {}

    @initialize(
        callers=st.lists(st.sampled_from(CALLERS), unique=True),
        sorts=st.lists(st.sampled_from(SORTS)),
        room=st.sampled_from([ONE_PICK, MAX_BYTES, MAX_BYTES]),
        block=st.sampled_from([1, 2, BLOCK]),
        worth=st.sampled_from([0, 1, WORTH]),
    )
    def look(self, callers: list[Caller], sorts: list[str | None], room: int, block: int, worth: int) -> None:
        """Let some look from the beginning and after each step, with some orders; others look when they happen to."""
        self.index = Index(max_bytes=room, block=block, worth=worth)
        self.watching = callers
        for caller in callers:
            for sort in sorts:
                ids(self.index.views.view(*caller), sort)

    @rule(shown=entries)
    def put(self, shown: Entry) -> None:
        self.entries[shown.id] = shown
        self.index.put(shown)

    @rule(segment_id=segment_ids)
    def touch(self, segment_id: str) -> None:
        """Tell of a new version that shows nothing new."""
        before = self.entries.get(segment_id)
        if before is not None:
            after = replace(before, version=Version("uid", before.version.revision + 1))
            self.entries[segment_id] = after
            self.index.put(after)
            assert self.index.contents.slots.get(segment_id) is after

    @rule(segment_id=segment_ids)
    def remove(self, segment_id: str) -> None:
        self.entries.pop(segment_id, None)
        self.index.remove(segment_id)

    @rule(held=st.lists(entries))
    def swap(self, held: list[Entry]) -> None:
        self.entries = {shown.id: shown for shown in held}
        self.index.swap(tuple(held))
        self.stamps.clear()

    @rule(
        caller=st.sampled_from(CALLERS), sort=st.sampled_from(SORTS), offset=st.integers(0, 9), count=st.integers(1, 9)
    )
    def page(self, caller: Caller, sort: str | None, offset: int, count: int) -> None:
        page = entries_in(self.index.views.view(*caller), offset, count, sort=sort)
        assert [shown.id for shown in page] == self._seen(caller, sort)[offset : offset + count]

    @invariant()
    def each_caller_sees_what_may_be_read(self) -> None:
        self._check(self.watching)

    def teardown(self) -> None:
        self._check(CALLERS)

    def _check(self, callers: list[Caller]) -> None:
        slots = self.index.contents.slots
        everything = np.array([slots.find(segment_id) for segment_id in sorted(self.entries)], np.int64)
        for caller in callers:
            view, seen = self.index.views.view(*caller), self._seen(caller)
            assert ids(view) == seen
            assert len(view) == len(seen)
            assert [slots.entries[slot].id for slot in everything[view.among(everything)].tolist()] == seen

    @invariant()
    def each_order_is_a_full_sort(self) -> None:
        for caller in self.watching:
            for sort in SORT_KEYS:
                assert ids(self.index.views.view(*caller), sort) == self._seen(caller, sort)

    @invariant()
    def a_view_is_shared_exactly_by_those_who_see_the_same_classes_and_ask_for_the_same_labels(self) -> None:
        for one, other in pairwise(self.watching):
            shared = self.index.views.view(*one) is self.index.views.view(*other)
            assert shared == (self._opened(one) == self._opened(other) and set(one[1]) == set(other[1]))

    @invariant()
    def a_stamp_changes_exactly_when_what_is_in_view_does(self) -> None:
        for caller in self.watching:
            view = self.index.views.view(*caller)
            shown = [self.entries[segment_id].body for segment_id in self._seen(caller)]
            known = self.stamps.get(caller)
            if known is not None:
                assert view.stamp is not known[1] or shown == known[3]
                # a class that parts or unites callers may show nothing that has the labels
                if view is known[0] or not caller[1]:
                    assert (view.stamp is known[1]) == (shown == known[3])
                if view is known[0] and view.members is known[2]:
                    assert self._seen(caller) == known[4]
            self.stamps[caller] = (view, view.stamp, view.members, shown, self._seen(caller))

    def _opened(self, caller: Caller) -> set[frozenset[str]]:
        return {shown.roles.readers for shown in self.entries.values() if may_read(caller[0], shown.roles)}

    def _seen(self, caller: Caller, sort: str | None = None) -> list[str]:
        roles, labels = caller
        held = self.entries.values()
        return in_order([e for e in held if may_read(roles, e.roles) and set(labels) <= set(e.labels)], sort)


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
    view = Index(*held).view("abc")
    assert ids(view, sort) == in_order(held, sort)
    page = entries_in(view, offset, count, sort=sort)
    assert [shown.id for shown in page] == in_order(held, sort)[offset : offset + count]


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
    index = Index(
        entry_of("c", name="Berlin", created_at="2020-03-18T18:08:31.851"),
        entry_of("b", name="berlin"),
        entry_of("a", name="Demo", created_at="2020-03-18T18:08:31.850"),
        entry_of("b.1", name="Berlins", created_at="2020-03-18T18:08:32.000"),
        entry_of("b-1", name="Demo", created_at="2020-03-18T18:08:32.000"),
    )
    assert ids(index.view("a"), sort) == expected


def test_a_caller_without_roles_sees_nothing() -> None:
    index = Index(entry_of("a"), entry_of("b", roles=Roles(editor=(), viewer=())))
    assert ids(index.view("")) == []
    assert ids(index.view("a")) == ["a"]


def test_callers_who_see_the_same_share_a_view() -> None:
    index = Index(entry_of("a"))
    assert index.view("a") is index.view("ax")
    assert index.view("x") is index.view("yz")
    assert index.view("x") is not index.view("a")
    assert index.view("a", "u", "v") is index.view("ax", "v", "u", "v")


def test_views_are_right_however_many_kinds_of_callers_there_are() -> None:
    index = Index()
    callers = [f"role-{number} x" for number in range(2 * MAX_VIEWS)]

    def seen() -> list[list[str]]:
        return [ids(index.view(caller), "-displayName") for caller in callers]

    for name in ("Before", "After"):
        for number, caller in enumerate(callers):
            roles = Roles(editor=(caller.removesuffix(" x"),), viewer=("everyone",))
            index.put(entry_of(f"segment-{number:03}", name=name, roles=roles))
        assert seen() == [[f"segment-{number:03}"] for number in range(len(callers))]
    assert len(index.view("everyone x")) == len(callers)


def test_views_of_labels_have_a_room_of_their_own() -> None:
    index = Index(*(entry_of(f"a-{number}", labels=(f"label-{number}",)) for number in range(2 * MAX_LABELLED)))
    everyday, first = index.view("a"), index.view("a", "label-0")
    for number in range(1, 2 * MAX_LABELLED):
        assert ids(index.view("a", f"label-{number}")) == [f"a-{number}"]
    assert index.view("a") is everyday
    assert first.is_closed
    assert ids(index.view("a", "label-0")) == ["a-0"]


@pytest.fixture
def held() -> list[Entry]:
    """Ten segments that "a" and "b" may read, and ten that only "b" may."""
    return [
        entry_of(f"{reader}-{number}", roles=Roles(editor=(reader,), viewer=("b",)))
        for reader in "ab"
        for number in range(10)
    ]


def counted(index: Index, caller: str) -> int:
    """Let a caller look, and return how many segments had to be picked from all of them for that."""
    before = index.views.recounts
    seen = ids(index.view(caller), "-displayName")
    roles = set(caller.split())
    entries = [shown for shown in index.contents.slots.entries if shown.id]
    assert sorted(seen) == sorted(shown.id for shown in entries if may_read(roles, shown.roles))
    return index.views.recounts - before


@pytest.mark.parametrize("readers", ["new", "x", "b", "a x"])
def test_the_first_and_the_last_segment_of_a_class_cost_no_picking(held: list[Entry], readers: str) -> None:
    index = Index(*held)
    callers = ["a", "a x", "a y", "b", "x", "a b"]
    assert [counted(index, caller) for caller in callers] == [10, 0, 0, 20, 0, 0]
    index.put(entry_of("c", roles=Roles(editor=("new",), viewer=tuple(readers.split()))))
    assert [counted(index, caller) for caller in callers] == [0] * len(callers)
    index.remove("c")
    assert [counted(index, caller) for caller in callers] == [0] * len(callers)


def test_callers_are_parted_by_a_class_that_some_of_them_see_and_united_when_it_goes(held: list[Entry]) -> None:
    index = Index(*held)
    shared, stamp = index.view("a"), index.view("a").stamp
    index.put(entry_of("c", roles=Roles(editor=("x",), viewer=())))
    assert ["c" in ids(index.view(caller)) for caller in ("a", "ax")] == [False, True]
    assert index.view("ax").key is not shared.key
    index.put(entry_of("c", roles=Roles(editor=("y",), viewer=())))
    assert index.view("ax") is index.view("a") is shared
    assert shared.stamp is stamp, "who could not see it has seen no change"


@pytest.mark.parametrize("change", [entry_of("a", name="Other", labels=("u",)), entry_of("b", labels=("u",))])
def test_no_two_views_ever_have_the_same_stamp(change: Entry) -> None:
    index = Index(entry_of("a", labels=("u",)), entry_of("c", roles=Roles(editor=("c",), viewer=()), labels=("u",)))
    callers = [("a", ()), ("a c", ()), ("a", ("u",)), ("a c", ("u",))]
    for _ in range(2):
        stamps = {id(index.view(roles, *labels).stamp) for roles, labels in callers}
        assert len(stamps) == len(callers), "those who change over to another view see another stamp"
        index.put(change)


def test_an_order_that_only_one_of_two_united_views_had_is_kept(held: list[Entry]) -> None:
    index = Index(*held, entry_of("c", roles=Roles(editor=("x",), viewer=())))
    assert len(index.view("a")) == 10
    assert counted(index, "a x") == 11
    index.remove("c")
    assert [counted(index, caller) for caller in ("a", "a x")] == [0, 0]


def test_what_was_picked_last_is_kept_as_far_as_there_is_room(held: list[Entry]) -> None:
    index = Index(*held, entry_of("c", roles=Roles(editor=("c",), viewer=("d",))), max_bytes=2 * ONE_PICK)
    assert [counted(index, caller) for caller in ("b", "c", "b c")] == [20, 1, 21]
    assert [counted(index, caller) for caller in ("b c", "b", "c")] == [0, 20, 1]


@pytest.mark.parametrize(("room", "is_enough"), [(3 * ONE_PICK, False), (MAX_BYTES, True)])
def test_growing_views_make_room(room: int, *, is_enough: bool) -> None:
    index = Index(max_bytes=room)
    callers = ("a", "b", "a b")
    assert [counted(index, caller) for caller in callers] == [0, 0, 0]
    for reader in "ab":
        index.put(entry_of(reader, roles=Roles(editor=(reader,), viewer=())))
    assert [counted(index, caller) for caller in callers] == [0, 0, 0]
    for number in range(8 * BLOCK):
        index.put(entry_of(f"c-{number:04}", roles=Roles(editor=("a",), viewer=("b",))))
        for caller in callers:
            assert len(index.view(caller).slice(number, 9, sort="-displayName"))
    assert (index.views.recounts == 0) is is_enough
    assert [counted(index, caller) for caller in ("a b", "a b")] == [0, 0]


@pytest.mark.parametrize(("block", "is_parted_anew"), [(4, True), (BLOCK, False)])
def test_pages_are_right_in_an_order_of_many_blocks_that_grow_split_and_empty(
    block: int, *, is_parted_anew: bool
) -> None:
    index, draw = Index(block=block), random.Random(7)
    orders = [index.views.order(sort) for sort in (None, "-displayName")]
    most = 0
    known: dict[str, Entry] = {}
    callers: list[Caller] = [(frozenset(roles), tuple(labels)) for roles in ("a", "b", "ab") for labels in ("", "u")]

    def check() -> None:
        for roles, labels in callers:
            seen = [e for e in known.values() if may_read(roles, e.roles) and set(labels) <= set(e.labels)]
            view = index.views.view(roles, labels)
            for sort in (None, "-displayName"):
                expected = in_order(seen, sort)
                assert ids(view, sort) == expected
                assert [index.contents.slots.entries[slot].id for slot in view.array(sort).tolist()] == expected
                for offset in (0, len(seen) // 3, len(seen) - 5):
                    page = entries_in(view, max(offset, 0), 40, sort=sort)
                    assert [shown.id for shown in page] == expected[max(offset, 0) :][:40]

    check()
    for step in range(40 * BLOCK):
        number = draw.randrange(10_000)
        is_shrinking = step >= 20 * BLOCK
        if is_shrinking and known:
            gone = draw.choice(list(known))
            del known[gone]
            index.remove(gone)
        if not is_shrinking or step % 8 == 0:
            segment_id = f"s-{number:05}"
            readers = draw.choice(["a", "a", "a", "b"]) if draw.random() < 0.1 else "a"
            shown = entry_of(
                segment_id,
                name=str(draw.randrange(50)),
                roles=Roles(editor=(readers,), viewer=()),
                labels=("u",) if draw.random() < 0.02 else (),
            )
            known[segment_id] = shown
            index.put(shown)
        if step % 100 == 0:
            check()
            most = max(most, *(len(order.blocks) for order in orders))
    check()
    assert [2 * len(order.blocks) < most for order in orders] == [is_parted_anew] * 2


def test_a_view_that_takes_all_the_room_is_kept_while_it_is_the_only_one(held: list[Entry]) -> None:
    index = Index(*held, max_bytes=1)
    assert [counted(index, caller) for caller in ("b", "b", "a", "b")] == [20, 0, 10, 20]


def test_what_nobody_reads_does_not_follow_changes_for_ever(held: list[Entry]) -> None:
    index = Index(*held)
    assert [counted(index, caller) for caller in ("a", "b")] == [10, 20]
    for number in range(MAX_UNREAD + 1):
        index.put(entry_of(f"c-{number}", roles=Roles(editor=("a",), viewer=("b",))))
        assert counted(index, "b") == 0
    assert counted(index, "a") == 10 + MAX_UNREAD + 1


def test_callers_with_a_great_many_roles_are_not_remembered_without_end(held: list[Entry]) -> None:
    index = Index(*held)
    callers: list[weakref.ref[frozenset[str]]] = []
    for number in range(2 * MAX_ROLES // 1_000):
        roles = frozenset(f"{number}-{role}" for role in range(1_000))
        assert len(index.views.view(roles)) == 0
        callers.append(weakref.ref(roles))
        del roles
    remembered = sum(1 for caller in callers if caller() is not None)
    assert MAX_ROLES // 2 < 1_000 * remembered <= MAX_ROLES


def test_a_view_that_is_read_follows_any_number_of_classes() -> None:
    index = Index(entry_of("a", roles=Roles(editor=("a",), viewer=())))
    for number in range(200):
        index.put(entry_of(f"b-{number:03}", roles=Roles(editor=(f"role {number}",), viewer=("a",))))
        assert len(ids(index.view("a"))) == number + 2


def test_what_is_not_in_a_block_is_no_endless_search() -> None:
    index = Index(*[entry_of(segment_id) for segment_id in "abc"])
    order = index.views.order(None)
    change = index.contents.remove("b")
    assert change is not None
    order.follow(change)
    with pytest.raises(ValueError, match="not found"):
        order.follow(change)

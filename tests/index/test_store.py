"""The store takes news from the watch, from lists and from writes of its own, in any order."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from segsvc.domain.segment import DEFAULT_EDITOR, Roles, Segment
from segsvc.index.entry import Entry, Version, entry
from segsvc.index.orders import SORT_KEYS
from segsvc.index.query import Query, Selector
from segsvc.index.slots import joined_prefixes, prefix
from segsvc.index.store import Relist, SegmentStore
from tests.index.shown import entries_in, ids_on

if TYPE_CHECKING:
    from segsvc.index.views import View

ROLES = (Roles(), Roles(editor=("a",), viewer=("b",)), Roles(editor=("b",), viewer=("c",)))
CALLERS = tuple(
    map(frozenset, ({"a"}, {"b"}, {"c"}, {"a", "c"}, {"segment_job_view"}, {"b", "segment_job_edit"}, {"x"}))
)
IDS = st.sampled_from(["aaaa", "bbbb", "cccc"])


def shown(segment_id: str, version: Version, name: str = "Demo", *, roles: Roles = ROLES[0], day: int = 0) -> Entry:
    segment = Segment(
        id=segment_id,
        display_name=name,
        description="",
        roles=roles,
        labels=(),
        data={"cronjob": {"schedule": "* * * * *"}},
        created_at=f"2020-03-{day + 1:02}T00:00:00.000",
        modified_at="" if day % 3 == 0 else f"2021-03-{day:02}T00:00:00.000",
    )
    return entry(segment, version)


def ids(view: View, sort: str | None = None) -> list[str]:
    return [found.id for found in entries_in(view, sort=sort)]


@dataclass(frozen=True)
class Change:
    """A change in the cluster: the object's new state, ``shown`` None where it is hidden; or its end."""

    id: str
    version: Version
    shown: Entry | None
    gone: bool = False


@dataclass
class Write:
    """A write of our own, on its way from its start over its commit in the cluster to its result in the store."""

    id: str
    held: ExitStack
    target: Version | None = None
    change: Change | None = None


@dataclass
class Cluster:
    """What is really there, and every change in order."""

    objects: dict[str, Change] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    revision: int = 10

    def put(self, segment_id: str, *, name: str, roles: Roles, day: int, hidden: bool) -> Change:
        self.revision += 1
        before = self.objects.get(segment_id)
        version = Version(before.version.uid if before else f"uid-{self.revision}", self.revision)
        change = Change(segment_id, version, None if hidden else shown(segment_id, version, name, roles=roles, day=day))
        self.objects[segment_id] = change
        self.changes.append(change)
        return change

    def remove(self, segment_id: str) -> Change:
        self.revision += 1
        before = self.objects.pop(segment_id)
        change = Change(segment_id, Version(before.version.uid, self.revision), None, gone=True)
        self.changes.append(change)
        return change

    def holds(self, uid: str) -> bool:
        return any(change.version.uid == uid for change in self.objects.values())


class StoreFollowsCluster(RuleBasedStateMachine):
    """Changes by others and by ourselves, told late and in any order that a watch, lists and answers allow."""

    @initialize()
    def begin(self) -> None:
        self.cluster = Cluster()
        self.store = SegmentStore()
        self.store.finish(self.store.relist(), self.cluster.revision)
        self.told = 0  # how many of the changes the watch has told of
        self.writes: list[Write] = []
        self.relist: Relist | None = None
        self.snapshot: tuple[dict[str, Change], int] | None = None
        self.deleted_here: set[str] = set()
        self.written_here: dict[str, Version] = {}

    # what happens in the cluster

    @rule(
        segment_id=IDS,
        name=st.sampled_from(["Demo", "demo store", "Zug", "Ärger"]),
        roles=st.sampled_from(ROLES),
        day=st.integers(0, 3),
        hidden=st.booleans(),
    )
    def someone_writes(self, segment_id: str, name: str, roles: Roles, day: int, hidden: bool) -> None:
        self.cluster.put(segment_id, name=name, roles=roles, day=day, hidden=hidden)

    @rule(segment_id=IDS)
    def someone_deletes(self, segment_id: str) -> None:
        if segment_id in self.cluster.objects:
            self.cluster.remove(segment_id)

    # what we do

    @rule(segment_id=IDS)
    def we_start_a_write(self, segment_id: str) -> None:
        held = ExitStack()
        held.enter_context(self.store.writing(segment_id))
        self.writes.append(Write(segment_id, held))

    @precondition(lambda self: any(write.change is None for write in self.writes))
    @rule(
        data=st.data(), name=st.sampled_from(["Mine", "Demo mine"]), roles=st.sampled_from(ROLES), delete=st.booleans()
    )
    def our_write_is_carried_out(self, data: st.DataObject, name: str, roles: Roles, delete: bool) -> None:
        write = data.draw(st.sampled_from([write for write in self.writes if write.change is None]))
        before = self.cluster.objects.get(write.id)
        if delete and before is not None:
            write.target = before.version
            write.change = self.cluster.remove(write.id)
        else:
            write.change = self.cluster.put(write.id, name=name, roles=roles, day=1, hidden=False)

    @precondition(lambda self: any(write.change is not None for write in self.writes))
    @rule(data=st.data())
    def we_hear_of_our_write(self, data: st.DataObject) -> None:
        write = data.draw(st.sampled_from([write for write in self.writes if write.change is not None]))
        self.conclude(write)

    def conclude(self, write: Write) -> None:
        assert write.change is not None
        if write.target is not None:
            self.store.deleted(write.id, write.target)
            self.deleted_here.add(write.target.uid)
        else:
            self.store.written(write.id, write.change.version, write.change.shown)
            known = self.written_here.get(write.id)
            if known is None or known.revision < write.change.version.revision:
                self.written_here[write.id] = write.change.version
        write.held.close()
        self.writes.remove(write)

    # what the reflector hears

    @precondition(lambda self: self.relist is None and self.told < len(self.cluster.changes))
    @rule()
    def watch_tells(self) -> None:
        change = self.cluster.changes[self.told]
        self.told += 1
        if change.gone:
            self.store.forget(change.id, change.version)
        else:
            self.store.observe(change.id, change.version, change.shown)

    @precondition(lambda self: self.relist is None and self.told == len(self.cluster.changes))
    @rule()
    def watch_sends_bookmark(self) -> None:
        self.store.bookmark(self.cluster.revision)

    @rule()
    def relist_begins(self) -> None:
        """Also in place of one that failed."""
        self.relist, self.snapshot = self.store.relist(), None

    @precondition(lambda self: self.relist is not None)
    @rule()
    def cluster_reads_the_list(self) -> None:
        self.snapshot = (copy.copy(self.cluster.objects), self.cluster.revision)

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def relist_is_whole(self) -> None:
        assert self.relist is not None
        assert self.snapshot is not None
        objects, revision = self.snapshot
        for change in objects.values():
            self.relist.add(change.id, change.version, change.shown)
        self.store.finish(self.relist, revision)
        self.told = sum(change.version.revision <= revision for change in self.cluster.changes)
        self.relist = self.snapshot = None

    # what readers may rely on

    @invariant()
    def what_we_deleted_stays_away(self) -> None:
        for segment_id in ("aaaa", "bbbb", "cccc"):
            found = self.store.get(segment_id)
            assert found is None or found.version.uid not in self.deleted_here

    @invariant()
    def what_we_wrote_is_shown_until_it_changes(self) -> None:
        for segment_id, version in self.written_here.items():
            found = self.store.get(segment_id)
            if self.cluster.holds(version.uid) and segment_id not in self.store.hidden:
                assert found is not None
                assert found.version.revision >= version.revision

    @invariant()
    def views_are_in_order(self) -> None:
        entries = [found for id_ in ("aaaa", "bbbb", "cccc") if (found := self.store.get(id_)) is not None]
        assert len(self.store) == len(entries)
        for caller in CALLERS:
            visible = [found for found in entries if caller & found.roles.readers]
            view = self.store.view(caller)
            assert len(view) == len(visible)
            assert ids(view) == [found.id for found in visible]
            for sort in SORT_KEYS:
                attribute = {"displayName": "display_name", "createdAt": "created_at", "modifiedAt": "modified_at"}
                ordered = sorted(
                    visible,
                    key=lambda found: getattr(found, attribute[sort.removeprefix("-")]),
                    reverse=sort.startswith("-"),
                )
                assert ids(view, sort) == [found.id for found in ordered]

    @invariant()
    def names_are_found(self) -> None:
        for segment_id in ("aaaa", "bbbb", "cccc"):
            found = self.store.get(segment_id)
            if found is not None:
                view = self.store.view(found.roles.readers)
                selection = Selector(self.store).select(view, Query(0, 3, found.display_name))
                assert found.id in ids_on(selection)

    @invariant()
    def what_pages_need_of_each_segment_is_that_of_its_last_state(self) -> None:
        view = self.store.view(frozenset().union(*CALLERS))
        seen, selector = entries_in(view), Selector(self.store)
        selection = selector.select(view, Query(0, 9))
        assert selection.bodies == [found.body for found in seen]
        made = list(selector.make_digests(selection))
        assert made == [found.digest for found in seen]
        assert selector.select(view, Query(0, 9)).digests == b"".join(made)

    def teardown(self) -> None:
        """Whatever came before: once all has been told, the store is what the cluster is."""
        if not hasattr(self, "cluster"):
            return
        for write in list(self.writes):
            if write.change is None:
                write.held.close()
            else:
                self.conclude(write)
        if self.relist is not None:
            self.cluster_reads_the_list()
            self.relist_is_whole()
        while self.told < len(self.cluster.changes):
            self.watch_tells()
        objects = self.cluster.objects
        assert {id_: found.version for id_ in objects if (found := self.store.get(id_))} == {
            change.id: change.version for change in objects.values() if change.shown is not None
        }
        assert sorted(self.store.hidden) == sorted(change.id for change in objects.values() if change.shown is None)
        assert len(self.store) + len(self.store.hidden) == len(objects)


TestStoreFollowsCluster = StoreFollowsCluster.TestCase
TestStoreFollowsCluster.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


NAMES = st.text(st.characters(max_codepoint=0x10FFFD, exclude_categories=["Cs"]), min_size=1, max_size=4)


@st.composite
def stores(draw: st.DrawFn) -> SegmentStore:
    store = SegmentStore()
    relist = store.relist()
    for number, name in enumerate(draw(st.lists(NAMES, max_size=20))):
        version = Version(f"uid-{number}", number + 1)
        found = shown(f"segment-{number}", version, name, roles=draw(st.sampled_from(ROLES)), day=number % 5)
        relist.add(found.id, version, found)
    store.finish(relist, 100)
    return store


@given(st.lists(st.text(alphabet="ab\0\u00e9\u5ba2", max_size=30), max_size=5))
def test_what_names_are_sorted_by_is_the_same_of_many_as_of_each(names: list[str]) -> None:
    assert joined_prefixes(names) == b"".join(map(prefix, names))


@given(stores(), st.sampled_from(CALLERS), st.sampled_from([None, *SORT_KEYS]), st.integers(0, 25), st.integers(1, 25))
def test_a_page_is_a_slice_of_all_in_order(
    store: SegmentStore, caller: frozenset[str], sort: str | None, offset: int, count: int
) -> None:
    view = store.view(caller)

    page = [found.id for found in entries_in(view, offset, count, sort=sort)]
    assert page == ids(view, sort)[offset : offset + count]


@given(stores(), st.sampled_from(CALLERS))
def test_names_in_descending_order_are_those_in_ascending_order_reversed(
    store: SegmentStore, caller: frozenset[str]
) -> None:
    view = store.view(caller)

    def names(sort: str) -> list[str]:
        return [found.display_name for id_ in ids(view, sort) if (found := store.get(id_))]

    assert names("-displayName") == names("displayName")[::-1]


def a_store_with(*entries: Entry, revision: int) -> SegmentStore:
    store = SegmentStore()
    swap_in(store, *entries, revision=revision)
    return store


def swap_in(store: SegmentStore, *entries: Entry, revision: int) -> None:
    relist = store.relist()
    for found in entries:
        relist.add(found.id, found.version, found)
    store.finish(relist, revision)


def test_the_list_of_a_cluster_restored_from_a_backup_is_the_truth() -> None:
    kept, deleted = shown("kept", Version("1", 90)), shown("deleted", Version("2", 91))
    store = a_store_with(kept, deleted, revision=100)
    with store.writing("deleted"):
        store.deleted("deleted", deleted.version)

    swap_in(store, shown("kept", Version("1", 40)), deleted, revision=50)

    assert store.revision == 50
    restored = store.get("kept")
    assert restored is not None
    assert restored.version.revision == 40
    assert store.get("deleted") is deleted


def test_listeners_hear_of_each_rise_of_the_revision_and_of_each_list() -> None:
    store = a_store_with(revision=10)
    heard: list[int] = []
    store.listen(heard.append)

    store.bookmark(12)
    store.bookmark(12)
    store.observe("demo", Version("1", 11), shown("demo", Version("1", 11)))
    store.forget("demo", Version("1", 13))
    swap_in(store, revision=9)

    assert heard == [12, 13, 9]


def test_a_write_of_ours_leaves_the_revision_to_the_watch() -> None:
    store = a_store_with(revision=10)
    with store.writing("demo"):
        store.written("demo", Version("1", 15), shown("demo", Version("1", 15)))

    assert store.get("demo") is not None
    assert store.revision == 10


def test_while_a_delete_is_under_way_the_revision_at_which_the_watch_saw_it_is_known() -> None:
    found = shown("demo", Version("1", 9))
    store = a_store_with(found, revision=10)
    with store.writing("demo"):
        assert store.gone_at("demo", found.version) is None
        store.forget("demo", Version("1", 12))
        assert store.gone_at("demo", found.version) == 12
    assert store.gone_at("demo", found.version) is None


def test_a_cluster_that_names_an_object_twice_is_believed_the_last_time() -> None:
    store = SegmentStore()
    relist = store.relist()
    for revision, (segment_id, is_shown) in enumerate(
        [("a", True), ("b", False), ("a", False), ("b", True), ("c", True), ("c", True)], start=1
    ):
        version = Version(segment_id, revision)
        segment = Segment(segment_id, f"Name {revision}", "", Roles(), (), {})
        relist.add(segment_id, version, entry(segment, version) if is_shown else None)
    store.finish(relist, 10)
    view = store.view(frozenset({DEFAULT_EDITOR}))
    assert [(shown.id, shown.display_name) for shown in entries_in(view)] == [("b", "Name 4"), ("c", "Name 6")]
    assert list(store.hidden) == ["a"]


@settings(deadline=None)
@given(
    listed=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(-1, 3)), max_size=12),
    is_in_order=st.booleans(),
    batch=st.integers(1, 5),
    row=st.integers(1, 4),
)
def test_a_list_is_taken_in_alike_in_any_order_and_in_batches_and_rows_of_any_size(
    listed: list[tuple[str, int]], is_in_order: bool, batch: int, row: int
) -> None:
    if is_in_order:
        listed = sorted(dict(listed).items())
    store, relist = SegmentStore(), Relist(batch)
    said: dict[str, Entry | None] = {}
    seen: list[Entry] = []
    for revision, (segment_id, day) in enumerate(listed, start=1):
        version = Version(segment_id, revision)
        if day < 0:
            found = None
        else:
            found = shown(segment_id, version, f"Demo {'xyz'[day % 3]}", roles=ROLES[day % 3], day=day)
            seen.append(found)
        if seen and (found is None or len(seen) == row or revision == len(listed)):
            relist.extend(seen, seen)
            seen = []
        if found is None:
            relist.add(segment_id, version, None)
        said[segment_id] = found
    store.finish(relist, 100)

    held = [found for _, found in sorted(said.items()) if found is not None]
    assert set(store.hidden) == {segment_id for segment_id, found in said.items() if found is None}
    assert len(store) == len(held)
    for caller in CALLERS:
        view, visible = store.view(caller), [found for found in held if caller & found.roles.readers]
        assert ids(view) == [found.id for found in visible]
        assert ids(view, "createdAt") == [found.id for found in sorted(visible, key=lambda found: found.created_at)]
        assert ids(view, "-modifiedAt") == [
            found.id for found in sorted(visible, key=lambda found: found.modified_at, reverse=True)
        ]
        for word in "xyz":
            selection = Selector(store).select(view, Query(0, 9, word))
            assert selection.bodies == [found.body for found in visible if found.display_name.endswith(word)]

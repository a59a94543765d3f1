"""The store: every segment of the namespace as last seen, with what is needed to see it in order.

Writers are the reflector (`observe`, `forget`, `bookmark`, `relist`) and, for writes of this process, the writer
(`writing`, `written`, `deleted`). Their news may come in any order: the watch event of a write often overtakes the
write's own response. What makes any order right:

- a state of an object never gives way to an older one, nor to one of an object that was deleted meanwhile;
- while a write is under way, the store remembers the deletions of its id that it is told of;
- after a delete of our own, nothing that is said of that object (by uid) counts until its deletion has been told;
- a relist is swapped in whole, but for what was written here since it began and it does not reflect.

Synchronous throughout: nothing awaits between the steps of a change, so no reader sees half of one.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from operator import lt

import numpy as np

from segsvc.index.contents import Contents
from segsvc.index.entry import Entry, Version
from segsvc.index.matches import Ranked
from segsvc.index.orders import Order
from segsvc.index.search import Asked
from segsvc.index.slots import Batch, SlotArray, SomeSlots, Sortable
from segsvc.index.views import View, Views

BATCH = 256
"""Few enough segments to take in at once: it takes one to three milliseconds."""


class Relist:
    """A list of the whole namespace in the making, to its last word; `SegmentStore.finish` swaps it in.

    As long as it is in the order of ids, ``batch`` segments are taken in at once, which takes a third less time.
    """

    def __init__(self, batch: int = BATCH) -> None:
        self.hidden: dict[str, Version] = {}
        self.contents = Contents()
        self._last = ""
        self._is_in_order = True
        self._batch, self._enough = Batch(), batch

    def add(self, segment_id: str, version: Version, entry: Entry | None, shown: Sortable | None = None) -> None:
        """Add an object of the list; ``entry`` is None for one that the API does not show.

        ``shown`` is what the entry was made of, where it is at hand: looking into each of many entries takes long.
        """
        if self._is_in_order and self._last < segment_id:  # as lists are: then each id is new
            self._last = segment_id
            if entry is None:
                self.hidden[segment_id] = version
                return
            self._put((entry,), (entry if shown is None else shown,))
            return
        self._is_in_order = False
        self._take_in()
        # a cluster that names an object twice is believed the last time
        if entry is None:
            self.hidden[segment_id] = version
            self.contents.remove(segment_id)
        else:
            self.hidden.pop(segment_id, None)
            self.contents.put(entry, shown)

    def extend(self, entries: Sequence[Entry], shown: Sequence[Sortable]) -> None:
        """Add objects that the API shows, and what each entry was made of; there must be one.

        It takes less time than one by one.
        """
        ids = [entry.id for entry in entries]
        if self._is_in_order and all(map(lt, [self._last, *ids], ids)):
            self._last = ids[-1]
            self._put(entries, shown)
            return
        for entry, made_of in zip(entries, shown, strict=True):
            self.add(entry.id, entry.version, entry, made_of)

    def __len__(self) -> int:
        """Return the number of segments so far."""
        return len(self.contents.slots) + len(self._batch)

    def whole(self) -> tuple[Contents, SlotArray]:
        """Return all that is shown, and its slots in the order of ids, once all has been added."""
        self._take_in()
        slots = self.contents.slots
        if self._is_in_order:
            ids = np.arange(len(slots))
        else:
            ids = np.array([slots.find(segment_id) for segment_id in sorted(slots.ids)], np.int64)
        return self.contents, ids

    def _put(self, entries: Sequence[Entry], shown: Sequence[Sortable]) -> None:
        self._batch.extend(entries, shown)
        if len(self._batch) >= self._enough:
            self._take_in()

    def _take_in(self) -> None:
        if self._batch:
            self.contents.extend(self._batch)
            self._batch = Batch()


class SegmentStore:
    """Segments by id, in order, by who may see them and by the words of their names."""

    def __init__(self) -> None:
        self.synced = False
        """Whether a whole list has been taken in."""
        self.revision = 0
        """The resourceVersion up to which the watch has been followed."""
        self._contents = Contents()
        self._views = Views(self._contents, np.empty(0, np.int64))
        # objects that exist but are not shown: incompatible, or being deleted
        self._hidden: dict[str, Version] = {}
        self._listeners: list[Callable[[int], None]] = []
        # ids with a write of our own under way, and those of them that were meanwhile seen to go
        self._writing: Counter[str] = Counter()
        self._gone: dict[str, int] = {}
        # objects deleted by us whose deletion the watch has not told of yet: their ids by uid
        self._tombstones: dict[str, str] = {}
        # what was written and deleted here since the running relist began
        self._since_relist: dict[str, tuple[Version, Entry | None]] | None = None
        self._tombstones_since_relist: set[str] = set()

    # --- readers

    def __len__(self) -> int:
        """Return the number of segments shown."""
        return len(self._contents.slots)

    @property
    def hidden(self) -> Collection[str]:
        """The ids of resources that exist but are not shown."""
        return self._hidden.keys()

    def get(self, segment_id: str) -> Entry | None:
        """Return the segment with this id, or None."""
        return self._contents.slots.get(segment_id)

    def shown(self, slots: SomeSlots) -> tuple[list[bytes], bytes]:
        """Return the bodies of the entries in these slots, and their digests as `Slots.digests` has them.

        Slots are good until the next change only.
        """
        held = self._contents.slots
        bodies = held.bodies
        return [bodies[slot] for slot in slots.tolist()], held.digests(slots)

    def keep_digest(self, slot: int, body: bytes, digest: bytes) -> None:
        """Keep the digest of a body, if it is still the one in this slot: much may have changed since it was."""
        self._contents.slots.keep_digest(slot, body, digest)

    def view(self, roles: frozenset[str], labels: tuple[str, ...] = ()) -> View:
        """Return what a caller with these roles may see of the segments that have all of these labels.

        Ask anew for each request: views come and go.
        """
        return self._views.view(roles, labels)

    def order(self, sort: str | None) -> Order:
        """Return all segments in an order."""
        return self._views.order(sort)

    @property
    def names_stamp(self) -> object:
        """Stands for what any search finds: another object once a name has changed, come or gone."""
        return self._contents.names.stamp

    def search(self, asked: Asked) -> Ranked:
        """Return the slots of all segments whose display names match a search, upwards."""
        return self._contents.names.search(asked)

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call ``listener`` with the new revision each time that it has risen or a relist was swapped in."""
        self._listeners.append(listener)

    # --- the reflector

    def observe(self, segment_id: str, version: Version, entry: Entry | None, shown: Sortable | None = None) -> None:
        """Take in the state that the watch tells of; ``entry`` is None for an object that the API does not show.

        ``shown`` is what the entry was made of, where it is at hand: it saves looking into the entry.
        """
        revision = version.revision
        self._apply(segment_id, version, revision, entry, shown)
        self.bookmark(revision)

    def forget(self, segment_id: str, version: Version) -> None:
        """Take in that the watch told of an object's deletion, which happened at ``version.revision``."""
        revision = version.revision
        known = self._known(segment_id)
        if known is not None and known.revision <= revision:
            self._drop(segment_id)
        if self._tombstones:
            self._tombstones.pop(version.uid, None)
        if segment_id in self._writing:
            self._gone[segment_id] = revision
        self.bookmark(revision)

    def bookmark(self, revision: int) -> None:
        """Take in that everything up to this resourceVersion has been told."""
        if revision > self.revision:
            self.revision = revision
            self._tell()

    def relist(self) -> Relist:
        """Begin a relist: call this before the list is requested, and `finish` when it is whole."""
        self._since_relist = {}
        self._tombstones_since_relist = set()
        return Relist()

    def finish(self, relist: Relist, revision: int) -> None:
        """Swap in a whole list, read at ``revision``, which may be lower than what was seen before it.

        An older revision means that the cluster was restored from a backup: then the list is the truth.
        """
        since, self._since_relist = self._since_relist or {}, None
        # the list was read after all other deletions: an object that it holds all the same is back from a backup
        self._tombstones = {uid: id_ for uid, id_ in self._tombstones.items() if uid in self._tombstones_since_relist}
        self._views.close()
        (self._contents, ids), self._hidden = relist.whole(), relist.hidden
        self._contents.names.settle()
        self._views = Views(self._contents, ids)
        self._gone = {segment_id: revision for segment_id in self._writing if self._known(segment_id) is None}
        for uid, segment_id in self._tombstones.items():
            known = self._known(segment_id)
            if known is not None and known.uid == uid:
                self._drop(segment_id)
        for segment_id, (version, entry) in since.items():
            if version.revision > revision:
                self._apply(segment_id, version, version.revision, entry)
        self.revision = revision
        self.synced = True
        self._tell()

    # --- the writer

    @contextmanager
    def writing(self, segment_id: str) -> Iterator[None]:
        """Hold this while a write of this id is under way, until its result has been taken in."""
        self._writing[segment_id] += 1
        try:
            yield
        finally:
            self._writing[segment_id] -= 1
            if not self._writing[segment_id]:
                del self._writing[segment_id]
                self._gone.pop(segment_id, None)

    def written(self, segment_id: str, version: Version, entry: Entry | None) -> None:
        """Take in the result of a write of our own. The revision stays: only the watch tells what else happened."""
        revision = version.revision
        if revision <= self._gone.get(segment_id, 0):
            return
        self._apply(segment_id, version, revision, entry)
        if self._since_relist is not None:
            earlier = self._since_relist.get(segment_id)
            if earlier is None or earlier[0].revision < revision:
                self._since_relist[segment_id] = (version, entry)

    def deleted(self, segment_id: str, version: Version) -> None:
        """Take in that a delete of our own removed this object; ``version`` is a state that it had."""
        known = self._known(segment_id)
        if known is not None and known.uid == version.uid:
            self._drop(segment_id)
        if self._since_relist is not None:
            self._tombstones_since_relist.add(version.uid)
        elif self.gone_at(segment_id, version) is not None:
            return  # nothing more will be told of it
        self._tombstones[version.uid] = segment_id

    def gone_at(self, segment_id: str, version: Version) -> int | None:
        """Return the resourceVersion at which the cluster told that this object is gone, or None if it has not.

        Known only while a write of this id is under way that had begun before.
        """
        gone = self._gone.get(segment_id, 0)
        # a lower one tells of the end of an earlier object of this id
        return gone if gone > version.revision else None

    # --- inside

    def _known(self, segment_id: str) -> Version | None:
        entry = self._contents.slots.get(segment_id)
        return entry.version if entry is not None else self._hidden.get(segment_id)

    def _apply(
        self, segment_id: str, version: Version, revision: int, entry: Entry | None, shown: Sortable | None = None
    ) -> None:
        known = self._known(segment_id)
        if known is not None and known.revision >= revision:
            return
        if self._tombstones and version.uid in self._tombstones:
            return
        if entry is None:
            self._drop(segment_id)
            self._hidden[segment_id] = version
            return
        self._hidden.pop(segment_id, None)
        change = self._contents.put(entry, shown)
        if change is not None:
            self._views.change(change)

    def _drop(self, segment_id: str) -> None:
        self._hidden.pop(segment_id, None)
        change = self._contents.remove(segment_id)
        if change is not None:
            self._views.change(change)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener(self.revision)

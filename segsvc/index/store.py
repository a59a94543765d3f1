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
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from segsvc.index.entry import Entry, Version
from segsvc.index.search import SearchIndex
from segsvc.index.views import View, Views


class Relist:
    """A list of the whole namespace in the making; `SegmentStore.finish` swaps it in."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.hidden: dict[str, Version] = {}

    def add(self, segment_id: str, version: Version, entry: Entry | None) -> None:
        """Add an object of the list; ``entry`` is None for one that the API does not show."""
        if entry is None:
            self.hidden[segment_id] = version
        else:
            self.entries[segment_id] = entry


class SegmentStore:
    """Segments by id, in order, by who may see them and by the words of their names."""

    def __init__(self) -> None:
        self.synced = False
        """Whether a whole list has been taken in."""
        self.revision = 0
        """The resourceVersion up to which the watch has been followed."""
        self._entries: dict[str, Entry] = {}
        # objects that exist but are not shown: incompatible, or being deleted
        self._hidden: dict[str, Version] = {}
        self._views = Views(self._entries)
        self._search = SearchIndex()
        self._listeners: list[Callable[[int], None]] = []
        # ids with a write of our own under way, and those of them that were meanwhile seen to go
        self._writing: Counter[str] = Counter()
        self._gone: dict[str, int] = {}
        # uids of objects deleted by us whose deletion the watch has not told of yet
        self._tombstones: set[str] = set()
        # what was written and deleted here since the running relist began
        self._since_relist: dict[str, tuple[Version, Entry | None]] | None = None
        self._tombstones_since_relist: set[str] = set()

    # --- readers

    def __len__(self) -> int:
        """Return the number of segments shown."""
        return len(self._entries)

    @property
    def hidden(self) -> Collection[str]:
        """The ids of resources that exist but are not shown."""
        return self._hidden.keys()

    def get(self, segment_id: str) -> Entry | None:
        """Return the segment with this id, or None."""
        return self._entries.get(segment_id)

    def view(self, roles: frozenset[str]) -> View:
        """Return what a caller with these roles may see. Ask anew for each request: views come and go."""
        return self._views.view(roles)

    def search(self, text: str) -> Mapping[str, int]:
        """Return the ids whose display names match a search text, each with its rank: 0 is the best."""
        return self._search.search(text)

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call ``listener`` with the new revision each time that it has risen or a relist was swapped in."""
        self._listeners.append(listener)

    # --- the reflector

    def observe(self, segment_id: str, version: Version, entry: Entry | None) -> None:
        """Take in the state that the watch tells of; ``entry`` is None for an object that the API does not show."""
        self._apply(segment_id, version, entry)
        self.bookmark(version.revision)

    def forget(self, segment_id: str, version: Version) -> None:
        """Take in that the watch told of an object's deletion, which happened at ``version.revision``."""
        known = self._known(segment_id)
        if known is not None and known.revision <= version.revision:
            self._drop(segment_id)
        self._tombstones.discard(version.uid)
        if segment_id in self._writing:
            self._gone[segment_id] = version.revision
        self.bookmark(version.revision)

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
        self._tombstones &= self._tombstones_since_relist
        self._entries.clear()
        self._entries.update(
            (id_, entry) for id_, entry in relist.entries.items() if entry.version.uid not in self._tombstones
        )
        self._hidden = {id_: version for id_, version in relist.hidden.items() if version.uid not in self._tombstones}
        self._gone = {
            segment_id: revision
            for segment_id in self._writing
            if segment_id not in relist.entries and segment_id not in relist.hidden
        }
        self._views.rebuild()
        self._search.rebuild({entry.id: entry.display_name for entry in self._entries.values()})
        for segment_id, (version, entry) in since.items():
            if version.revision > revision:
                self._apply(segment_id, version, entry)
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
        if version.revision <= self._gone.get(segment_id, 0):
            return
        self._apply(segment_id, version, entry)
        if self._since_relist is not None:
            earlier = self._since_relist.get(segment_id)
            if earlier is None or earlier[0].revision < version.revision:
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
        self._tombstones.add(version.uid)

    def gone_at(self, segment_id: str, version: Version) -> int | None:
        """Return the resourceVersion at which the cluster told that this object is gone, or None if it has not.

        Known only while a write of this id is under way that had begun before.
        """
        gone = self._gone.get(segment_id, 0)
        # a lower one tells of the end of an earlier object of this id
        return gone if gone > version.revision else None

    # --- inside

    def _known(self, segment_id: str) -> Version | None:
        entry = self._entries.get(segment_id)
        return entry.version if entry is not None else self._hidden.get(segment_id)

    def _apply(self, segment_id: str, version: Version, entry: Entry | None) -> None:
        known = self._known(segment_id)
        if known is not None and known.revision >= version.revision:
            return
        if version.uid in self._tombstones:
            return
        if entry is None:
            self._drop(segment_id)
            self._hidden[segment_id] = version
            return
        self._hidden.pop(segment_id, None)
        before = self._entries.get(segment_id)
        self._entries[segment_id] = entry
        self._views.change(before, entry)
        if before is None or before.display_name != entry.display_name:
            self._search.put(segment_id, entry.display_name)

    def _drop(self, segment_id: str) -> None:
        self._hidden.pop(segment_id, None)
        before = self._entries.pop(segment_id, None)
        if before is not None:
            self._views.change(before, None)
            self._search.remove(segment_id)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener(self.revision)

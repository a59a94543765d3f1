"""The store: serialised objects by key, one revision counter, and a bounded history of events.

Invariant: every write raises the revision by exactly one and leaves exactly one event, so the event of
revision r stands at a known place in the history, and any state within the history can be rebuilt by undoing
events. Objects are kept as bytes; what they mean is not known here. A journal, where there is one, has a write
on disk before it shows in memory. Synchronous and single-threaded; listeners are called after each commit and
must not write.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

DEFAULT_HISTORY = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """One write: `previous` is None for a creation; `body` of a deletion is the object's last state."""

    revision: int
    collection: str
    key: str
    body: bytes
    previous: bytes | None
    deleted: bool

    @property
    def result(self) -> bytes | None:
        """What stands under the key after this event."""
        return None if self.deleted else self.body


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a journal holds: all objects as (collection, key, body), and the events of the history in order."""

    revision: int
    objects: Sequence[tuple[str, str, bytes]]
    events: Sequence[Event]


class Journal(Protocol):
    """Where writes are kept beyond the process."""

    def load(self) -> Snapshot:
        """Return what earlier processes have left."""

    def append(self, events: Sequence[Event], *, compacted: int) -> None:
        """Keep `events` in one transaction, and forget events up to and including revision `compacted`."""

    def close(self) -> None:
        """Release the file. Nothing is called after it."""


class CompactedError(Exception):
    """The history does not reach back to the requested revision; `oldest` is the first one it can start from."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"compacted up to revision {oldest}")
        self.oldest = oldest


class _Collection:
    """The objects of one resource type, with their keys in order."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.keys: list[str] = []

    def put(self, key: str, body: bytes) -> None:
        if key not in self.objects:
            if self.keys and key < self.keys[-1]:
                insort(self.keys, key)
            else:
                self.keys.append(key)
        self.objects[key] = body

    def remove(self, key: str) -> None:
        del self.objects[key]
        del self.keys[bisect_left(self.keys, key)]


class Store:
    """Revisioned objects in memory, kept in a journal too when one is given.

    A collection is a resource type (`widgets.example.com`), a key within it `NAMESPACE/NAME`.
    """

    def __init__(self, journal: Journal | None = None, *, history: int = DEFAULT_HISTORY) -> None:
        self._collections: dict[str, _Collection] = {}
        self._events: list[Event] = []
        self._history = history
        self._journal = journal
        self._listeners: set[Callable[[], None]] = set()
        self.revision = 1  # as a fresh etcd
        if journal is not None:
            self._restore(journal.load())

    def close(self) -> None:
        """Close the journal. The store must not be used afterwards."""
        if self._journal is not None:
            self._journal.close()

    @property
    def compacted(self) -> int:
        """The oldest revision whose state can still be rebuilt, and from which a watch can resume."""
        return self.revision - len(self._events)

    def get(self, collection: str, key: str) -> bytes | None:
        """Return the object under `key`, or None."""
        found = self._collections.get(collection)
        return found.objects.get(key) if found else None

    def put(self, collection: str, key: str, render: Callable[[int], bytes]) -> bytes:
        """Write what `render` makes of the new revision under `key`, and return it."""
        revision = self.revision + 1
        body = render(revision)
        self._commit([Event(revision, collection, key, body, self.get(collection, key), deleted=False)])
        return body

    def put_many(self, collection: str, items: Iterable[tuple[str, Callable[[int], bytes]]]) -> None:
        """Write objects under keys that are all new, each with a revision of its own, in one transaction.

        Nothing is written when `items` raises.
        """
        self._commit(
            [
                Event(revision, collection, key, render(revision), None, deleted=False)
                for revision, (key, render) in enumerate(items, self.revision + 1)
            ]
        )

    def delete(self, collection: str, key: str, render: Callable[[int], bytes]) -> None:
        """Remove the object under `key`, which must be there; `render` makes the body of the event."""
        revision = self.revision + 1
        previous = self._collections[collection].objects[key]
        self._commit([Event(revision, collection, key, render(revision), previous, deleted=True)])

    def scan(
        self, collection: str, *, prefix: str = "", start: str = "", at: int | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield (key, body) in the order of keys, for keys with `prefix` and from `start` on.

        With `at`, the state of that revision; raises CompactedError when the history is too short for it.
        """
        known = self._collections.get(collection)
        keys: list[str] = known.keys if known else []
        objects: dict[str, bytes] = known.objects if known else {}
        changed = self._undone(collection, at) if at is not None and at != self.revision else {}
        gone = [key for key, body in changed.items() if body is not None and key not in objects]
        if gone:
            keys = sorted([*keys, *gone])
        for index in range(bisect_left(keys, max(prefix, start)), len(keys)):
            key = keys[index]
            if not key.startswith(prefix):
                return
            body = changed[key] if key in changed else objects[key]
            if body is not None:
                yield key, body

    def count(self, collection: str, *, prefix: str, start: str, at: int) -> int:
        """Return how many objects `scan` would yield, without going through them all. Raises CompactedError."""
        known = self._collections.get(collection, _Collection())
        # The least text that is greater than all that begin with the prefix.
        beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else None
        first = bisect_left(known.keys, max(prefix, start))
        last = bisect_left(known.keys, beyond) if beyond else len(known.keys)
        then = sum(
            (body is not None) - (key in known.objects)
            for key, body in self._undone(collection, at).items()
            if key.startswith(prefix) and key >= start
        )
        return max(0, last - first) + then

    def events_after(self, revision: int) -> Sequence[Event]:
        """Return all events newer than `revision`; raises CompactedError when some of them are forgotten."""
        if revision >= self.revision:
            return ()
        if revision < self.compacted:
            raise CompactedError(self.compacted)
        return self._events[revision - self.compacted :]

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each commit, until the function returned here is called."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def _undone(self, collection: str, at: int) -> dict[str, bytes | None]:
        """Return, for each key written since, what stood there at revision `at`."""
        before: dict[str, bytes | None] = {}
        for event in self.events_after(at):
            if event.collection == collection:
                before.setdefault(event.key, event.previous)
        return before

    def _commit(self, events: Sequence[Event]) -> None:
        if not events:
            return
        newest = events[-1].revision
        excess = len(self._events) + len(events) - self._history
        compacted = self.compacted + max(0, excess)
        if self._journal is not None:
            self._journal.append(events, compacted=compacted)
        for event in events:
            known = self._collections.setdefault(event.collection, _Collection())
            if event.deleted:
                known.remove(event.key)
            else:
                known.put(event.key, event.body)
        self._events.extend(events)
        if excess > 0:
            del self._events[:excess]
        self.revision = newest
        for listener in tuple(self._listeners):
            listener()

    def _restore(self, snapshot: Snapshot) -> None:
        for collection, key, body in sorted(snapshot.objects):
            self._collections.setdefault(collection, _Collection()).put(key, body)
        self._events = list(snapshot.events)[-self._history :]
        self.revision = snapshot.revision

"""Watches: the stream of events of one collection, as newline-delimited JSON.

Invariant: a stream shows each event after its resourceVersion once, in the order of revisions, or ends with an
ERROR event that says why it cannot. An object that begins or ceases to match the selector appears as ADDED or
DELETED. A bookmark carries a revision up to which everything has been sent.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import orjson

from segsvc.devcluster import status
from segsvc.devcluster.jsonbody import dumps
from segsvc.devcluster.store import CompactedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from segsvc.devcluster.options import WatchOptions
    from segsvc.devcluster.resources import Resource
    from segsvc.devcluster.selectors import Selector
    from segsvc.devcluster.store import Event, Store

_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


class Watch:
    """One watch request; it ends early when `served` no longer holds (the type is gone, the server stops)."""

    def __init__(
        self,
        store: Store,
        resource: Resource,
        *,
        prefix: str,
        options: WatchOptions,
        served: Callable[[], bool],
        bookmark_interval: float,
    ) -> None:
        self._store = store
        self._resource = resource
        self._prefix = prefix
        self._options = options
        self._served = served
        self._interval = bookmark_interval
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Let the stream look again whether there is anything to send, or whether it is to end."""
        self._changed.set()

    async def events(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Yield (type, object) pairs whenever there is something to send, until the watch's time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._options.timeout or random.uniform(1800, 3600))  # noqa: S311
        forget = self._store.listen(self._changed.set)
        try:
            revision, initial = self._start()
            if initial:
                yield initial
            async for chunk in self._follow(revision, loop=loop, deadline=deadline):
                yield chunk
        finally:
            forget()

    async def _follow(
        self, revision: int, *, loop: asyncio.AbstractEventLoop, deadline: float
    ) -> AsyncIterator[list[tuple[str, bytes]]]:
        bookmark_at = loop.time() + self._interval
        while True:
            self._changed.clear()
            try:
                pending = list(self._store.events_after(revision))
            except CompactedError as error:
                yield [("ERROR", orjson.dumps(status.expired_version(revision, error.oldest).as_dict()))]
                return
            if pending:
                revision = pending[-1].revision
                if chunk := list(self._shown(pending)):
                    yield chunk
            if not self._served() or loop.time() >= deadline:
                return
            if self._options.bookmarks and loop.time() >= bookmark_at:
                bookmark_at = loop.time() + self._interval
                yield [self._bookmark(revision)]
            wake = min(deadline, bookmark_at) if self._options.bookmarks else deadline
            try:
                async with asyncio.timeout_at(wake):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _start(self) -> tuple[int, list[tuple[str, bytes]]]:
        """Return the revision to go on from, and the events that show the state up to there."""
        options, store = self._options, self._store
        wanted = options.initial_events
        if wanted is None:
            wanted = not options.version
        if not wanted:
            # Nothing is said about a future revision: the watch stays silent until it is reached.
            return (store.revision if options.version is None else options.version), []
        found = [
            ("ADDED", self._resource.served(body))
            for key, body in store.scan(self._resource.collection, prefix=self._prefix)
            if options.selector.matches(key, body)
        ]
        if options.bookmarks:
            found.append(self._bookmark(store.revision, annotations=_INITIAL_EVENTS_END))
        return store.revision, found

    def _shown(self, pending: list[Event]) -> Iterator[tuple[str, bytes]]:
        resource, selector = self._resource, self._options.selector
        for event in pending:
            if event.collection != resource.collection or not event.key.startswith(self._prefix):
                continue
            if kind := _kind(event, selector):
                yield kind, resource.served(event.body if kind != "DELETED" else _departed(event))

    def _bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> tuple[str, bytes]:
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if annotations:
            metadata["annotations"] = annotations
        resource = self._resource
        return "BOOKMARK", dumps({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata})


def line(kind: str, body: bytes) -> bytes:
    """Return one event as it goes over the wire."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)


def _kind(event: Event, selector: Selector) -> str | None:
    """Return how the event looks to a watcher with `selector`; None when it does not."""
    if selector.selects_all:
        before, after = event.previous is not None, not event.deleted
    else:
        before = event.previous is not None and selector.matches(event.key, event.previous)
        after = not event.deleted and selector.matches(event.key, event.body)
    if after:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else None


def _departed(event: Event) -> bytes:
    """Return the body of a DELETED event: the last state that was seen, under the event's revision."""
    if event.deleted or event.previous is None:
        return event.body
    last = orjson.loads(event.previous)
    last["metadata"]["resourceVersion"] = str(event.revision)
    return dumps(last)

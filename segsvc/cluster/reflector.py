"""The reflector: keeps the store in step with the cluster, by a list and then watches, for as long as it runs.

Phases: ``empty`` (nothing known), ``listing`` (a list is being fetched; the store shows what it had), ``listed`` (the
store is whole, no watch has proved alive), ``watching`` (the watch delivers). A watch that ends well is followed by the
next from where it got to. What else happens, in which phase, leads to:

| what                                          | listing      | listed, watching                                   |
| --------------------------------------------- | ------------ | -------------------------------------------------- |
| unreachable, timed out, 429, 5xx, forbidden   | pause, list  | pause, watch on; list if it was away for long      |
| 410: revision or continue token expired       | pause, list  | list; after a pause if no watch since the last did |
|                                               |              | deliver                                            |
| ended or stalled, nothing ever delivered      |              | as 410: a watch from a revision that the cluster   |
|                                               |              | has not reached (it was restored) is silent        |
| stalled, something was delivered              |              | as unreachable, from the last event on             |
| ended, something was delivered                |              | watch on                                           |
| ended within a second, broken off             |              | pause, watch on                                    |
| its revision is beyond the cluster's own      |              | list: the cluster was restored                     |
| event too large, answer that makes no sense   | pause, list  | pause, list                                        |
| anything unforeseen                           | pause, list  | pause, list                                        |

A cluster that was restored to an earlier state gives revisions out anew: a watch from where the last one got to would
skip all that has happened by then. So before one watch follows another, the cluster is asked for its own revision. It
may have passed ours by then, and nothing tells such a cluster from one that was never restored. So one that was away
for long enough to be restored is listed: that costs one list per replica after each outage, however short its history.

Pauses grow until a watch delivers, and are never shorter than the server asks for. A list is asked for in one piece;
while lists fail under way, the next is asked for in smaller pages. An object that holds no valid segment is hidden, one
without a name is skipped; both are logged and neither is an error.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from enum import StrEnum

import structlog

from segsvc.cluster.api import ListEnd, SegmentApi, WatchEvent
from segsvc.cluster.backoff import Backoff
from segsvc.cluster.errors import (
    ClusterError,
    ClusterForbids,
    ClusterUnavailable,
    Expired,
    UnexpectedAnswer,
    WatchBroken,
    WatchStalled,
)
from segsvc.cluster.observed import Nameless, Observed, Shown, identity, observed, observed_list, revision_of
from segsvc.domain.segment import JsonObject
from segsvc.index.entry import Entry
from segsvc.index.store import Relist, SegmentStore
from segsvc.telemetry import Metrics

PAGE_SIZES = (None, 5000, 500)
"""How many resources are asked for at once: all, for each page costs the API server a fifth of a second. Fewer after
lists that failed under way: over a slow link they take longer than the API server grants, which is a minute."""
WATCH_SECONDS = (300, 600)
"""How long a watch is asked to last, at random between these, so that replicas do not reconnect all at once."""
MAX_PAUSE = 5.0
"""Seconds after which a cluster that was away is tried again at the latest: so long may its return go unnoticed."""
AWAY_SECONDS = 2.0
"""For how long a cluster must have been out of reach to be listed. To restore etcd, the API server has to be stopped,
etcd's data replaced, and both started again: that takes longer."""
SHORT_WATCH = 1.0
BREATH = 0.003
"""Seconds of decoding after which other tasks get their turn."""
MAX_REASON = 500

log = structlog.get_logger(__name__)


class Phase(StrEnum):
    """How far the reflector has got; see the module."""

    EMPTY = "empty"
    LISTING = "listing"
    LISTED = "listed"
    WATCHING = "watching"


class ShortWatch(Exception):
    """A watch ended as soon as it had begun."""


class SilentWatch(Exception):
    """A watch ended without a single event or bookmark in all its time: its revision may not exist."""


class Restored(Exception):
    """The cluster is at an earlier revision than it has been at."""


class Away(Exception):
    """The cluster is back after a time in which it may have been restored."""


class Reflector:
    """Lists and watches; the store's only source of what others write."""

    def __init__(
        self,
        api: SegmentApi,
        store: SegmentStore,
        *,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        backoff: Backoff | None = None,
        page_sizes: Sequence[int | None] = PAGE_SIZES,
        collector: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Set up; ``collector`` is entered while a list is taken in."""
        self.phase = Phase.EMPTY
        self._api = api
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._uniform = uniform
        self._backoff = backoff or Backoff(base=0.5, cap=MAX_PAUSE, uniform=uniform)
        self._page_sizes = page_sizes
        self._broken_lists = 0
        self._collector = collector
        self._alive_at = clock()
        # since when the cluster has been out of reach, by the beginning of what it did not answer
        self._away_since: float | None = None
        # why the next step is a list, or None when it is a watch
        self._relist: str | None = "start"
        # whether a watch has delivered anything since the last list
        self._delivered = False
        # the resourceVersion of each incompatible resource that has been logged
        self._reported: dict[str, int] = {}
        self._breather = _Breather()
        self._told = {kind: metrics.watch_events.labels(kind) for kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")}

    def age(self) -> float:
        """Return the seconds since the cluster last proved to be followed: a list, an event or a bookmark."""
        return self._clock() - self._alive_at

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        while True:
            try:
                if self._relist is not None:
                    await self._list(self._relist)
                    self._relist = None
                else:
                    await self._check_cluster()
                await self._watch()
            except Exception as error:  # noqa: BLE001 -- an end of this loop would show readers the past for ever
                pause = self._plan(error)
                await asyncio.sleep(pause)

    def _plan(self, error: Exception) -> float:
        """Decide by the module's table between a list and a watch; return how many seconds to pause before it."""
        relist, pause = None, self._backoff.next()
        match error:
            case Expired() | SilentWatch():
                relist = "expired" if isinstance(error, Expired) else "silent_watch"
                pause = 0.0 if self._delivered else pause
            case Restored() | Away():
                relist, pause = "restored" if isinstance(error, Restored) else "away", 0.0
            case ClusterUnavailable():
                pause = max(pause, error.retry_after or 0.0)
            case ClusterForbids() | ShortWatch():
                pass
            case ClusterError():
                relist = "unusable_answer"
            case _:
                relist = "unforeseen_error"
        self._relist = self._relist or relist
        self._metrics.watch_failures.labels(type(error).__name__).inc()
        log.log(
            logging.ERROR if relist == "unforeseen_error" else logging.WARNING,
            "cluster_not_followed",
            phase=self.phase,
            error=type(error).__name__,
            reason=str(error)[:MAX_REASON],
            next="list" if self._relist else "watch",
            pause=round(pause, 3),
            exc_info=error if relist == "unforeseen_error" else None,
        )
        self.phase = Phase.LISTED if self._store.synced else Phase.EMPTY
        return pause

    async def _list(self, reason: str) -> None:
        """Fetch the whole list and swap it into the store."""
        self.phase = Phase.LISTING
        started = self._clock()
        relist = self._store.relist()
        with self._collector():
            revision = await self._fetch(relist)
            segments = len(relist)
            self._store.finish(relist, revision)
        self._reported = {id_: revision for id_, revision in self._reported.items() if id_ in relist.hidden}
        self._alive_at = self._clock()
        self._away_since = None
        self._delivered = False
        self.phase = Phase.LISTED
        self._metrics.relists.labels(reason).inc()
        log.info(
            "segments_listed",
            why=reason,
            segments=segments,
            hidden=len(relist.hidden),
            revision=revision,
            seconds=round(self._alive_at - started, 3),
        )

    async def _fetch(self, relist: Relist) -> int:
        """Add all that is there to a relist; return the revision at which it was."""
        limit = self._page_sizes[min(self._broken_lists, len(self._page_sizes) - 1)]
        try:
            end = await self._fetch_page(relist, limit, None)
            while end.continue_token is not None:
                end = await self._fetch_page(relist, limit, end.continue_token)
        except ClusterUnavailable as error:
            self._broken_lists += error.unclear  # else it did not even begin
            raise
        self._broken_lists = 0
        return end.revision

    async def _fetch_page(self, relist: Relist, limit: int | None, token: str | None) -> ListEnd:
        async with aclosing(self._api.list(limit=limit, continue_token=token)) as parts:
            async for items, end in parts:
                await self._add(items, relist)
                if end is not None:
                    return end
        raise UnexpectedAnswer("a list without an end")

    async def _add(self, items: Iterable[JsonObject], relist: Relist) -> None:
        for found in observed_list(items):
            match found:
                case Shown(entries, segments):
                    relist.extend(list(map(self._at_hand, entries)), segments)
                case Observed():
                    self._report(found)
                    relist.add(found.id, found.version, None)
                case Nameless():
                    _skip(found)
            if self._breather.is_due():
                await self._breather.pause()

    def _at_hand(self, entry: Entry) -> Entry:
        """Return the store's entry where it is the same, so that a list of what is known takes no memory.

        The version alone does not tell: a cluster that was restored from a backup gives versions out anew.
        """
        known = self._store.get(entry.id)
        if known is None or known.version != entry.version or known.body != entry.body:
            return entry
        return known

    async def _check_cluster(self) -> None:
        """Raise Restored where a watch would begin in the cluster's future, and Away where it perhaps would have."""
        if self._away_since is None:
            self._away_since = self._clock()  # unless it answers at once
        current = await self._api.current_revision(following=True)
        if current < self._store.revision:
            raise Restored(f"the cluster is at {current}, and was at {self._store.revision}")
        away = self._clock() - self._away_since
        if away >= AWAY_SECONDS:
            raise Away(f"for {away:.1f} s")
        self._away_since = None

    async def _watch(self) -> None:
        """Follow one watch to its end. Raises ShortWatch and SilentWatch, and what the watch raises."""
        started = self._clock()
        delivered = False
        seconds = round(self._uniform(*WATCH_SECONDS))
        try:
            async with aclosing(self._api.watch(revision=self._store.revision, timeout_seconds=seconds)) as events:
                async for event in events:
                    if not delivered:
                        delivered = self._delivered = True
                        self._backoff.reset()
                        self.phase = Phase.WATCHING
                    self._alive_at = self._clock()
                    try:
                        self._apply(event)
                    except Nameless as error:
                        _skip(error)
                    if self._breather.is_due():
                        await self._breather.pause()
        except WatchStalled as error:
            if not delivered:
                raise SilentWatch(str(error)) from error
            self._away_since = self._alive_at
            raise
        except WatchBroken:
            raise  # there until now
        except ClusterUnavailable:
            # one refused at once is not away yet: our own pause must not make it so, or each such watch cost a list
            if self._clock() - started >= AWAY_SECONDS:
                self._away_since = started
            raise
        lasted = self._clock() - started
        if lasted < SHORT_WATCH:
            raise ShortWatch(f"ended after {lasted:.3f} s")
        if not delivered:
            raise SilentWatch(f"nothing in {lasted:.0f} s")
        self.phase = Phase.LISTED

    def _apply(self, event: WatchEvent) -> None:
        match event.type:
            case "ADDED" | "MODIFIED":
                found = observed(event.object)
                self._report(found)
                self._store.observe(found.id, found.version, found.entry, found.segment)
            case "DELETED":
                segment_id, version = identity(event.object)
                self._reported.pop(segment_id, None)
                self._store.forget(segment_id, version)
            case "BOOKMARK":
                self._store.bookmark(revision_of(event.object))
            case _:
                log.warning("watch_event_unknown", type=event.type)
                return
        self._told[event.type].inc()

    def _report(self, found: Observed) -> None:
        """Log, once for each state of a resource, why it is not to be shown."""
        if found.problem is None:
            self._reported.pop(found.id, None)
        elif self._reported.get(found.id) != found.version.revision:
            self._reported[found.id] = found.version.revision
            self._metrics.incompatible_seen.inc()
            log.warning(
                "incompatible_resource",
                id=found.id,
                resource_version=found.version.revision,
                reason=found.problem[:MAX_REASON],
            )


def _skip(error: Nameless) -> None:
    log.warning("resource_skipped", reason=str(error))


class _Breather:
    """Gives other tasks their turn during long runs of work that awaits nothing."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def is_due(self) -> bool:
        """Tell whether others have waited for long enough."""
        return time.perf_counter() - self._since > BREATH

    async def pause(self) -> None:
        """Let other tasks run."""
        await asyncio.sleep(0)
        self._since = time.perf_counter()

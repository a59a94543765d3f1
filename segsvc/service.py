"""The use cases: list, read, create, replace and delete segments, with the checks in their order. Knows no HTTP.

Reads are answered from the index. Writes go to the cluster first, on the version whose roles were checked, and
their results are in the index before the caller has an answer. A write runs in a task of its own: a caller who goes
away leaves none half done, nor one without its line in the log.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import structlog

from segsvc.auth.principal import Principal
from segsvc.cluster.errors import AlreadyExists
from segsvc.domain.access import may_create, may_edit, may_read
from segsvc.domain.draft import Draft
from segsvc.domain.errors import (
    AccessDenied,
    InvalidParameters,
    Problem,
    SegmentExists,
    SegmentModified,
    SegmentNotFound,
)
from segsvc.domain.ids import derive_id, id_problem, is_subdomain
from segsvc.domain.schema import parse_body
from segsvc.domain.segment import Author, Segment, timestamp
from segsvc.index.entry import Entry, digest, rendered
from segsvc.index.query import Query, Selection, Selector
from segsvc.index.store import SegmentStore
from segsvc.index.views import View
from segsvc.telemetry import Metrics, audit_logger

MAX_DRAWS = 5
"""How often the random part of an id is drawn before a collision is believed."""

CATCH_UP = 0.1
"""How long a write waits for the watch to tell of it; that takes a few milliseconds as a rule."""

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

_log = structlog.get_logger()
_audit_log = audit_logger()


class NotReady(Exception):
    """The index has not been filled yet, or has not reached the revision that a read asked for."""


class Writer(Protocol):
    """What writes through to the cluster; `segsvc.cluster.writer.SegmentWriter` is the one."""

    async def create(self, segment: Segment, *, dry_run: bool) -> Entry:
        """Create a segment. Raises AlreadyExists."""
        ...

    async def update(self, segment_id: str, change: Callable[[Segment], Segment], *, dry_run: bool) -> Entry:
        """Store what ``change`` makes of the newest version; it is asked anew for each attempt."""
        ...

    async def delete(self, segment_id: str, check: Callable[[Segment], None], *, dry_run: bool) -> int | None:
        """Delete the newest version unless ``check`` raises; return a revision at which it is gone, where known."""
        ...


@dataclass(frozen=True, slots=True)
class Precondition:
    """An If-Match header: the entity tags of which the segment must have one, as hexadecimal digests, or any at all."""

    tags: frozenset[str]
    any: bool = False

    def check(self, segment: Segment) -> None:
        """Raise SegmentModified unless the segment is as the caller last saw it."""
        if not self.any and digest(rendered(segment)).hex() not in self.tags:
            raise SegmentModified(segment.id, precondition=True)


def _unbroken(
    use_case: Callable[Concatenate["SegmentService", _Given], Coroutine[Any, Any, _Result]],
) -> Callable[Concatenate["SegmentService", _Given], Coroutine[Any, Any, _Result]]:
    """Let a use case run to its end, its line in the log included, whatever becomes of the caller."""

    @wraps(use_case)
    async def run(self: "SegmentService", /, *given: _Given.args, **named: _Given.kwargs) -> _Result:
        return await asyncio.shield(self._begin(use_case(self, *given, **named)))

    return run


class SegmentService:
    """What callers can do with segments. ``now`` is the wall clock, ``draw`` makes the random part of an id."""

    def __init__(
        self,
        store: SegmentStore,
        writer: Writer,
        *,
        metrics: Metrics,
        now: Callable[[], datetime],
        draw: Callable[[], str],
    ) -> None:
        self._store = store
        self._writer = writer
        self._metrics = metrics
        self._now = now
        self._draw = draw
        self._selector = Selector(store)
        self._waiting: set[tuple[int, asyncio.Future[None]]] = set()
        self._writes: set[asyncio.Task[Any]] = set()
        store.listen(self._wake)

    # --- reads

    @property
    def revision(self) -> int:
        """The resourceVersion that the index has reached."""
        return self._store.revision

    def has_reached(self, revision: int) -> bool:
        """Tell whether `reach` would return at once."""
        return self._store.synced and self._store.revision >= revision

    async def reach(self, revision: int, *, patience: float) -> None:
        """Wait until the index has been filled and has reached a revision, at most ``patience`` seconds.

        Raises NotReady; at once when the index has never been filled.
        """
        if not self._store.synced:
            raise NotReady("the index is being filled")
        if self._store.revision >= revision:
            return
        waiting = (revision, asyncio.get_running_loop().create_future())
        self._waiting.add(waiting)
        try:
            async with asyncio.timeout(patience):
                await waiting[1]
        except TimeoutError:
            raise NotReady(f"the index has not reached revision {revision} yet") from None
        finally:
            self._waiting.discard(waiting)

    async def catch_up(self, revision: int) -> None:
        """Wait a moment for the watch to tell of a write of ours, so that no later read shows an older revision.

        The write itself shows in any case, so a watch that is late keeps its caller for `CATCH_UP` seconds only.
        """
        with suppress(NotReady):
            await self.reach(revision, patience=CATCH_UP)

    def view(self, principal: Principal, labels: tuple[str, ...] = ()) -> View:
        """Return what a caller may see of the segments that have all of these labels."""
        return self._store.view(principal.roles, labels)

    def select(self, view: View, query: Query) -> Selection:
        """Return a page of a view that was made with the query's labels, and how many its filters keep in all."""
        return self._selector.select(view, query)

    def make_digests(self, selection: Selection) -> Iterator[bytes]:
        """Return the digests of a page's bodies, made one by one; see `Selector.make_digests`."""
        return self._selector.make_digests(selection)

    def at_hand(self, view: View, query: Query) -> bool:
        """Tell whether `select` will be quick, because it does not have to search anew."""
        return self._selector.at_hand(view, query)

    def read(self, principal: Principal, segment_id: str) -> Entry:
        """Return a segment. Raises SegmentNotFound, AccessDenied."""
        entry = self._store.get(segment_id)
        if entry is None:
            raise SegmentNotFound(segment_id)
        if not may_read(principal.roles, entry.roles):
            raise AccessDenied
        return entry

    # --- writes

    @contextmanager
    def preparing(self, verb: str, principal: Principal, *, segment_id: str | None) -> Iterator[None]:
        """Hold this around all that can end a write before its use case is called, so that it leaves its line too."""
        try:
            yield
        except BaseException as error:
            self._record(verb, principal, _Audit(segment_id), outcome=type(error).__name__, dry_run=None)
            raise

    def authorise_create(self, principal: Principal) -> None:
        """Raise AccessDenied unless the caller may create segments."""
        if not may_create(principal.roles):
            raise AccessDenied

    @_unbroken
    async def create(self, principal: Principal, body: object, *, ids: Sequence[str], dry_run: bool) -> Entry:
        """Create a segment.

        body: the parsed JSON of the request. ids: the ids given beside it, if any.
        Raises AccessDenied, InvalidParameters, SegmentExists and errors of the cluster.
        """
        with self._audited("create", principal, dry_run=dry_run) as audit:
            self.authorise_create(principal)
            draft, segment_id = _parse_create(body, ids)
            author = _author(principal)
            for remaining in reversed(range(MAX_DRAWS if segment_id is None else 1)):
                chosen = segment_id or derive_id(draft.display_name, self._draw())
                audit.segment_id = chosen
                try:
                    entry = await self._writer.create(
                        draft.create(chosen, author=author, now=timestamp(self._now())), dry_run=dry_run
                    )
                except AlreadyExists:
                    if not remaining:
                        raise SegmentExists(chosen, draft.display_name) from None
                else:
                    audit.revision = entry.version.revision
                    return entry
            raise AssertionError("unreachable")

    @_unbroken
    async def replace(
        self, principal: Principal, segment_id: str, body: object, *, precondition: Precondition | None, dry_run: bool
    ) -> Entry:
        """Replace what a segment holds.

        Checks, on the very version that is replaced: existence, editor role, precondition, body.
        Raises SegmentNotFound, AccessDenied, SegmentModified, InvalidParameters and errors of the cluster.
        """
        with self._audited("replace", principal, dry_run=dry_run, segment_id=segment_id) as audit:

            def change(segment: Segment) -> Segment:
                _check(principal, segment, precondition)
                draft = parse_body(body, segment_id=segment_id)
                return draft.update(segment, author=_author(principal), now=timestamp(self._now()))

            entry = await self._writer.update(existing(segment_id), change, dry_run=dry_run)
            audit.revision = entry.version.revision
            return entry

    @_unbroken
    async def delete(
        self, principal: Principal, segment_id: str, *, precondition: Precondition | None, dry_run: bool
    ) -> int | None:
        """Delete a segment; return a revision at which it is gone, where the cluster told one.

        Checks, on the very version that is deleted: existence, editor role, precondition.
        Raises SegmentNotFound, AccessDenied, SegmentModified and errors of the cluster.
        """
        with self._audited("delete", principal, dry_run=dry_run, segment_id=segment_id) as audit:
            audit.revision = await self._writer.delete(
                existing(segment_id), lambda segment: _check(principal, segment, precondition), dry_run=dry_run
            )
            return audit.revision

    async def drain(self, seconds: float) -> None:
        """Wait for the writes that are under way, those whose callers are gone too, but no longer than this."""
        if self._writes:
            _, late = await asyncio.wait(self._writes, timeout=seconds)
            if late:
                _log.error("writes_abandoned", count=len(late))

    # --- inside

    def _begin(self, write: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Start a write in a task of its own, which `drain` waits for."""
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return task

    def _wake(self, revision: int) -> None:
        for asked, reached in self._waiting:
            if asked <= revision and not reached.done():
                reached.set_result(None)

    @contextmanager
    def _audited(
        self, verb: str, principal: Principal, *, dry_run: bool, segment_id: str | None = None
    ) -> Iterator["_Audit"]:
        """Leave one line in the log for each write asked for, whatever became of it."""
        audit = _Audit(segment_id)
        outcome = "dry_run" if dry_run else "stored"
        try:
            yield audit
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            self._record(verb, principal, audit, outcome=outcome, dry_run=dry_run)

    def _record(self, verb: str, principal: Principal, audit: "_Audit", *, outcome: str, dry_run: bool | None) -> None:
        self._metrics.writes.labels(verb, outcome).inc()
        _audit_log.info(
            "segment_write",
            verb=verb,
            segment_id=audit.segment_id,
            outcome=outcome,
            resource_version=audit.revision,
            caller=principal.name,
            caller_email=principal.email,
            dry_run=dry_run,
        )


@dataclass(slots=True)
class _Audit:
    segment_id: str | None
    revision: int | None = None


def _parse_create(body: object, ids: Sequence[str]) -> tuple[Draft, str | None]:
    problems: list[Problem] = []
    given = ids[0] if ids else None
    if any(other != given for other in ids):
        problems.append(Problem("id", "is given twice, and differently"))
    draft = None
    try:
        draft = parse_body(body, segment_id=given)
        given = given if given is not None else draft.id
    except InvalidParameters as error:
        problems += error.problems
    if given is not None and (reason := id_problem(given)) is not None:
        problems.append(Problem("id", reason))
    if problems or draft is None:
        raise InvalidParameters(problems)
    return draft, given


def existing(segment_id: str) -> str:
    """Let no id that could address anything but a segment reach the cluster. Raises SegmentNotFound."""
    if not is_subdomain(segment_id):
        raise SegmentNotFound(segment_id)
    return segment_id


def _check(principal: Principal, segment: Segment, precondition: Precondition | None) -> None:
    if not may_edit(principal.roles, segment.roles):
        raise AccessDenied
    if precondition is not None:
        precondition.check(segment)


def _author(principal: Principal) -> Author:
    return Author(name=principal.name, email=principal.email)

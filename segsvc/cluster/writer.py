"""Writes: create, update and delete in the cluster, each result in the store before its caller hears of it.

An update or delete is carried out on exactly the version that the caller's checks were run on: they run again on every
attempt, against the resource as the cluster has it, and the cluster refuses the write when the resource has moved on.
(The API server's own GuaranteedUpdate does the same.)

When the outcome of a write is unclear, because an answer never came, the resource is looked at before anything is said
or tried again. What was sent is recognised: a create by its author and its time to the millisecond, which no later
change touches; an update by its whole content, for two updates of one author may have the same time. An answer that
makes no sense is none.
Dry runs never touch the store. A write must not be cancelled halfway: whoever calls sees to that.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from segsvc.cluster.api import SegmentApi
from segsvc.cluster.attempts import LOOK_SECONDS, Attempts
from segsvc.cluster.errors import (
    AlreadyExists,
    ClusterError,
    ClusterForbids,
    ClusterUnavailable,
    Conflict,
    ResourceNotFound,
    UnexpectedAnswer,
)
from segsvc.cluster.observed import identity, is_leaving, observed
from segsvc.domain.codec import Incompatible, decode, encode
from segsvc.domain.errors import SegmentModified, SegmentNotFound
from segsvc.domain.segment import JsonObject, Segment
from segsvc.index.entry import Entry, Version, entry
from segsvc.index.store import SegmentStore

WRITE_SECONDS = 9.0
"""What a write may take in all, attempts and pauses together: less than gateways wait."""

log = structlog.get_logger(__name__)


class SegmentWriter:
    """Carries out writes. Besides what each method names, all of them raise the rest of ClusterError."""

    def __init__(
        self,
        api: SegmentApi,
        store: SegmentStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        seconds: float = WRITE_SECONDS,
    ) -> None:
        self._api = api
        self._store = store
        self._clock = clock
        self._uniform = uniform
        self._seconds = seconds

    async def create(self, segment: Segment, *, dry_run: bool) -> Entry:
        """Create a segment and return it as stored. Raises AlreadyExists, InvalidResource, ResourceTooLarge."""
        with self._writing(segment.id, dry_run=dry_run) as attempts:
            return await self._create(segment, attempts, dry_run)

    async def update(self, segment_id: str, change: Callable[[Segment], Segment], *, dry_run: bool) -> Entry:
        """Replace a segment by what ``change`` makes of it, and return it as stored.

        ``change`` is called once for each attempt with the segment as the cluster has it, and ends it by raising.
        Raises SegmentNotFound for a resource that is absent, incompatible or being deleted; SegmentModified when others
        kept winning; InvalidResource and ResourceTooLarge.
        """
        with self._writing(segment_id, dry_run=dry_run) as attempts:
            return await self._update(segment_id, change, attempts, dry_run)

    async def delete(self, segment_id: str, check: Callable[[Segment], None], *, dry_run: bool) -> int | None:
        """Delete a segment; return a resourceVersion at which it is gone, None for a dry run or where it is not known.

        ``check`` is called as ``change`` is in `update`, and errors are as there. A delete that happened raises none.
        """
        with self._writing(segment_id, dry_run=dry_run) as attempts:
            return await self._delete(segment_id, check, attempts, dry_run)

    # --- around the steps

    @contextmanager
    def _writing(self, segment_id: str, *, dry_run: bool) -> Iterator[Attempts]:
        """Hold this around the steps of a write, with the attempts at it.

        A lost race is the domain's matter, not the cluster's. And whether a write may have been carried out is told by
        all attempts at it, not by the call that failed last: that may only have looked. If it may, that is what the
        caller has to know, and not what else is wrong with the cluster.
        """
        attempts = Attempts(self._seconds, dry_run=dry_run, clock=self._clock, uniform=self._uniform)
        try:
            with self._store.writing(segment_id):
                yield attempts
        except Conflict:
            raise SegmentModified(segment_id, precondition=False) from None
        except ClusterUnavailable as error:
            error.unclear = attempts.unclear
            raise
        except (ClusterForbids, UnexpectedAnswer) as error:
            if not attempts.unclear:
                raise
            raise ClusterUnavailable(str(error)) from error

    # --- the steps

    async def _create(self, segment: Segment, attempts: Attempts, dry_run: bool) -> Entry:
        while True:
            found = await self._look(segment.id, attempts) if attempts.unclear else None
            if found is not None:
                if is_leaving(found) or not _is_made_of(found, segment):
                    raise AlreadyExists(segment.id)
                return self._take_in(found)
            within = attempts.to_write()
            try:
                answer = await self._api.create(encode(segment), dry_run=dry_run, within=within)
                return self._preview(answer) if dry_run else self._take_in(answer)
            except AlreadyExists:
                if not attempts.unclear:
                    raise
                await attempts.pause()  # it may be ours: look
            except ClusterError as error:
                await attempts.failed(error)

    async def _update(
        self, segment_id: str, change: Callable[[Segment], Segment], attempts: Attempts, dry_run: bool
    ) -> Entry:
        sent: list[Segment] = []
        while True:
            found = await self._look(segment_id, attempts)
            if found is None:
                raise SegmentNotFound(segment_id)
            segment = _shown(segment_id, found)
            if segment in sent:
                return self._take_in(found)
            changed = change(segment)
            resource, within = encode(changed, found), attempts.to_write()
            try:
                answer = await self._api.replace(segment_id, resource, dry_run=dry_run, within=within)
                return self._preview(answer) if dry_run else self._take_in(answer)
            except ResourceNotFound:
                raise SegmentNotFound(segment_id) from None
            except ClusterError as error:
                await attempts.failed(error)
                if error.unclear:
                    sent.append(changed)

    async def _delete(
        self, segment_id: str, check: Callable[[Segment], None], attempts: Attempts, dry_run: bool
    ) -> int | None:
        sent: Version | None = None
        while True:
            found = await self._look(segment_id, attempts)
            version = identity(found)[1] if found is not None else None
            if sent is not None and (version is None or version.uid != sent.uid):
                return await self._gone(segment_id, sent, attempts)
            if found is None or version is None:
                raise SegmentNotFound(segment_id)
            if sent is not None and is_leaving(found):
                return self._hide(found)
            check(_shown(segment_id, found))
            within = attempts.to_write()
            try:
                answer = await self._api.delete(segment_id, version=version, dry_run=dry_run, within=within)
                stays = _stays(answer)
            except ResourceNotFound:
                if sent is not None:
                    return await self._gone(segment_id, sent, attempts)
                raise SegmentNotFound(segment_id) from None
            except ClusterError as error:
                await attempts.failed(error)
                if error.unclear:
                    sent = version
                continue
            if dry_run:
                return None
            return self._hide(answer) if stays else await self._gone(segment_id, version, attempts)

    async def _look(self, segment_id: str, attempts: Attempts) -> JsonObject | None:
        """Return the resource as the cluster has it, or None where it has none.

        While the outcome of an attempt is unclear, the cluster is asked again until it tells or time is up.
        """
        while True:
            within = attempts.to_look()
            try:
                return await self._api.get(segment_id, within=within)
            except ResourceNotFound:
                return None
            except ClusterError:
                if not attempts.unclear:
                    raise
                await attempts.pause()

    # --- the results

    def _take_in(self, resource: JsonObject) -> Entry:
        found = observed(resource)
        self._store.written(found.id, found.version, found.entry)
        if found.entry is None:
            raise UnexpectedAnswer(f"what was stored holds no segment: {found.problem}", unclear=False)
        return found.entry

    def _preview(self, resource: JsonObject) -> Entry:
        """Return what a dry run answered; it has no resourceVersion where nothing exists yet."""
        uid = str(resource.get("metadata", {}).get("uid", ""))
        try:
            return entry(decode(resource), Version(uid, self._store.revision))
        except Incompatible as error:
            raise UnexpectedAnswer(f"what would be stored holds no segment: {error}") from error

    def _hide(self, resource: JsonObject) -> int:
        """Take in a deleted resource that stays until its finalizers go."""
        segment_id, version = identity(resource)
        self._store.written(segment_id, version, None)
        return version.revision

    async def _gone(self, segment_id: str, version: Version, attempts: Attempts) -> int | None:
        """Take in that this object is gone, and find out since when at the latest."""
        seen = self._store.gone_at(segment_id, version)
        self._store.deleted(segment_id, version)
        if seen is not None:
            return seen
        current = None
        try:
            current = await self._api.current_revision(within=min(LOOK_SECONDS, attempts.left()))
        except ClusterError as error:
            log.warning("revision_of_delete_unknown", id=segment_id, reason=str(error))
        # the watch's word is the better one, if it came meanwhile: what else the cluster holds moves its revision on,
        # and the watch would reach that only with its next bookmark
        return self._store.gone_at(segment_id, version) or current


def _shown(segment_id: str, resource: JsonObject) -> Segment:
    """Return the segment in a resource. Raises SegmentNotFound where the API shows none."""
    segment = None if is_leaving(resource) else _segment(resource)
    if segment is None:
        raise SegmentNotFound(segment_id)
    return segment


def _is_made_of(resource: JsonObject, sent: Segment) -> bool:
    """Tell whether creating this segment made this resource, whatever others have changed in it since."""
    found = _segment(resource)
    return found is not None and (found.created_at, found.created_by) == (sent.created_at, sent.created_by)


def _stays(answer: JsonObject) -> bool:
    """Tell from the answer to a delete whether the resource waits for its finalizers. Raises Nameless."""
    if answer.get("kind") == "Status":
        return False
    identity(answer)
    return bool(answer["metadata"].get("finalizers"))


def _segment(resource: JsonObject) -> Segment | None:
    try:
        return decode(resource)
    except Incompatible:
        return None

"""One service behind a relay in a namespace of its own: what callers, others and faults do, and what must then hold.

Everything is done one after another but for `storm`, so the cluster can be looked at before and after each write, and
an answer be held against what the write did.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.api.bodies import EDITOR, VIEWER, body, with_env
from tests.api.clusters import DISPLAY_NAME, GROUP, revision_of
from tests.chaos.mischief import Mischief
from tests.chaos.shown import NOBODY, content, document, is_shown, may_edit, may_read

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.api.client import Answer, Client
    from tests.api.conftest import Deployment
    from tests.support.faults import Relay

    Resource = dict[str, Any]
    Shown = dict[str, Any]

WRITE_PATIENCE = 10.0
"""Seconds within which a write has an answer, whatever happens."""
SETTLE_PATIENCE = 8.0
"""Seconds after the last fault within which the index equals the cluster."""
PAGE = 2
"""Fewer than there may be segments."""

TEAM = "team"
WRITER = {"name": "Edda", "email": "edda@example.com"}
WRITER_ROLES = {EDITOR, VIEWER}
LABEL = "customers"

UNCLEAR = "whether it was carried out is not known"


@dataclass(frozen=True)
class Look:
    """What a segment is given besides a name; ``roles``: None where nothing is said of them."""

    description: str = ""
    labels: tuple[str, ...] = ()
    roles: dict[str, list[str]] | None = None

    def body(self, name: str) -> dict[str, Any]:
        said = {} if self.roles is None else {"roles": self.roles}
        data = with_env(MARK=name)
        return body(name, data=data, description=self.description, labels=list(self.labels), **said)

    def annotations(self, name: str) -> dict[str, str]:
        """Those that others write who write past the API."""
        said = {} if self.roles is None else {f"{GROUP}/roles": json.dumps(self.roles)}
        described = {f"{GROUP}/description": self.description} if self.description else {}
        return {DISPLAY_NAME: name, f"{GROUP}/labels": json.dumps(self.labels), **described, **said}


PLAIN = Look()


class Scene:
    """A service, its callers, those who write past it, and what interferes."""

    def __init__(self, relay: Relay, deployment: Deployment) -> None:
        self.mischief = Mischief(relay)
        self._writer = deployment.caller(*WRITER_ROLES, **WRITER)
        self._team = deployment.caller(TEAM, name="Tim", email="")
        self._resources = deployment.resources
        self._numbers = itertools.count()
        self._views: dict[str, tuple[Client, dict[str, Any]]] = {
            "by id": (self._writer, {}),
            "the newest first": (self._writer, {"sort": "-modifiedAt"}),
            "with a label": (self._writer, {"label": LABEL}),
            "what the team may read": (self._team, {}),
        }

    # --- callers

    async def create(self, segment_id: str, look: Look = PLAIN) -> None:
        sent = look.body(self._name())

        def holds(answer: Answer, before: Resource | None, after: Resource | None) -> bool:
            match answer.status:
                case 200:
                    return before is None and _is_stored(after, sent, answer, before)
                case 409:
                    return before is not None and after == before
            return False

        await self._write(segment_id, lambda: self._writer.create(sent, segment_id), holds)

    async def replace(self, segment_id: str, look: Look = PLAIN, *, with_if_match: bool) -> None:
        sent, seen = look.body(self._name()), await self._seen(segment_id, with_if_match=with_if_match)

        def holds(answer: Answer, before: Resource | None, after: Resource | None) -> bool:
            if answer.status == 200:
                return _may_be_changed(before, seen) and _is_stored(after, sent, answer, before)
            return _is_refused(answer, seen, before, after)

        headers = {"If-Match": seen.etag} if seen else {}
        await self._write(segment_id, lambda: self._writer.replace(segment_id, sent, headers=headers), holds)

    async def delete(self, segment_id: str, *, with_if_match: bool) -> None:
        seen = await self._seen(segment_id, with_if_match=with_if_match)

        def holds(answer: Answer, before: Resource | None, after: Resource | None) -> bool:
            if answer.status == 204:
                return _may_be_changed(before, seen) and after is None
            return _is_refused(answer, seen, before, after)

        headers = {"If-Match": seen.etag} if seen else {}
        await self._write(segment_id, lambda: self._writer.delete(segment_id, headers=headers), holds)

    async def storm(self, ids: list[str]) -> None:
        """Write all of these at once, each by several callers and by others."""
        before = await self._all()
        self.mischief.begin()
        fates = await asyncio.gather(*(self._beset(segment_id, before.get(segment_id)) for segment_id in ids))
        after = await self._all()
        for segment_id, fate in zip(ids, fates, strict=True):
            fate.check(after.get(segment_id))

    async def _beset(self, segment_id: str, before: Resource | None) -> _Fate:
        """Write one segment in all ways at once, and tell how that went."""

        async def others() -> Resource | None:
            with suppress(AssertionError):  # they may lose a race
                if await self._found(segment_id) is None:
                    return await self._resources.create(segment_id)
                return await self._resources.annotate(segment_id, description=self._name())
            return None

        created, replaced, again = (PLAIN.body(self._name()) for _ in range(3))
        by_others, deletion, *stores = await asyncio.gather(
            others(),
            self._writer.delete(segment_id),
            self._writer.create(created, segment_id),
            self._writer.replace(segment_id, replaced),
            self._writer.replace(segment_id, again),
        )
        may = {200, 204, 404, 409, *([503] if self.mischief.hindered else [])}
        if is_shown(before) and not _may_be_changed(before):
            may.add(403)
        assert {answer.status for answer in (deletion, *stores)} <= may
        for sent, answer in zip((created, replaced, again), stores, strict=True):
            if answer.status == 200:
                assert answer.json["metadata"]["displayName"] == sent["metadata"]["displayName"]
        return _Fate(before, by_others, deletion, stores)

    async def read(self, segment_id: str) -> None:
        """Read one and all: reads go on whatever happens, and what is kept of them has to be kept up to date."""
        assert (await self._writer.read(segment_id)).status in {200, 404}
        for caller, query in self._views.values():
            page = await caller.list(pagesize=PAGE, **query)
            assert page.status == 200
            assert int(page.headers["X-Index-Age"]) <= 60

    async def _write(
        self,
        segment_id: str,
        send: Callable[[], Coroutine[Any, Any, Answer]],
        holds: Callable[[Answer, Resource | None, Resource | None], bool],
    ) -> None:
        """Send a write and hold its answer against what it did."""
        before = await self._found(segment_id)
        self.mischief.begin()
        async with asyncio.timeout(WRITE_PATIENCE):
            answer = await send()
        after = await self._found(segment_id)
        told = f"{answer.status} {answer.body!r}: {_digest(before)} became {_digest(after)}"
        if answer.status == 503:
            assert int(answer.headers["Retry-After"]) >= 1
            assert self.mischief.hindered, f"nothing was in the way of {told}"
            if after != before:
                assert UNCLEAR in answer.json["message"], told
                assert self.mischief.blinded, f"it could be known: {told}"
            return
        assert holds(answer, before, after), told
        if answer.status < 300:
            shown = await self._writer.read(segment_id)
            assert (content(shown.json) if shown.status == 200 else None) == (after and document(after)), told

    async def _seen(self, segment_id: str, *, with_if_match: bool) -> Answer | None:
        seen = await self._writer.read(segment_id)
        return seen if with_if_match and seen.status == 200 else None

    def _name(self) -> str:
        return f"Number {next(self._numbers)}"

    # --- others

    async def create_past_it(self, segment_id: str, look: Look) -> None:
        if await self._found(segment_id) is None:
            name = self._name()
            await self._resources.create(segment_id, annotations=look.annotations(name), spec=with_env(MARK=name))

    async def change_past_it(self, segment_id: str, look: Look) -> None:
        """Change all that there is of a segment, but not who may be said to have done it."""
        if await self._found(segment_id) is not None:
            name = self._name()
            patch = {"metadata": {"annotations": look.annotations(name)}, "spec": with_env(MARK=name)}
            await self._resources.patch(segment_id, patch)

    async def spoil_past_it(self, segment_id: str) -> None:
        """Take a segment's name: it is shown no longer."""
        if await self._found(segment_id) is not None:
            await self._resources.annotate(segment_id, display_name=" ")

    async def delete_past_it(self, segment_id: str) -> None:
        if await self._found(segment_id) is not None:
            await self._resources.delete(segment_id)

    async def _found(self, segment_id: str) -> Resource | None:
        return (await self._all()).get(segment_id)

    async def _all(self) -> dict[str, Resource]:
        return {resource["metadata"]["name"]: resource for resource in await self._resources.all()}

    # --- the end

    async def settle(self) -> None:
        """End all faults; fail unless all that callers see equals the cluster soon after."""
        await self.mischief.heal()
        there = [document(resource) for resource in (await self._all()).values() if is_shown(resource)]
        everything = sorted(there, key=lambda segment: str(segment["id"]))
        newest = sorted(everything, key=lambda segment: str(segment["metadata"]["modifiedAt"]), reverse=True)
        of_team = [segment for segment in everything if may_read({TEAM}, segment)]
        expected = {
            "by id": everything,
            "the newest first": newest,
            "with a label": [segment for segment in everything if LABEL in segment["labels"]],
            "what the team may read": of_team,
        }
        until = time.monotonic() + SETTLE_PATIENCE
        for view, (caller, query) in self._views.items():
            while (shown := await _pages(caller, **query)) != expected[view]:
                assert time.monotonic() < until, f"{view} is {shown}, and in the cluster {expected[view]}"
                await asyncio.sleep(0.01)
        for segment in everything:
            assert content((await self._writer.read(segment["id"])).json) == segment
            assert (await self._team.read(segment["id"])).status == (200 if segment in of_team else 403)


@dataclass(frozen=True)
class _Fate:
    """What became of a segment that many wrote at once: what it was, and what each was told."""

    before: Resource | None
    by_others: Resource | None
    deletion: Answer
    stores: list[Answer]

    def check(self, after: Resource | None) -> None:
        """Fail unless what there is now is the last that anyone was told of, or what nobody could be told of."""
        versions = {answer.revision: content(answer.json) for answer in self.stores if answer.status == 200}
        assert len(versions) == sum(answer.status == 200 for answer in self.stores), "two writes claim one version"
        for resource in filter(None, (self.before, self.by_others)):
            if is_shown(resource):
                assert revision_of(resource) not in versions, "a write claims another's version"
                versions[revision_of(resource)] = document(resource)
        last = max(versions, default=0)
        told = f"{[answer.status for answer in (self.deletion, *self.stores)]}, last {last}: now {_digest(after)}"
        is_known = all(answer.status != 503 for answer in (self.deletion, *self.stores))
        if after is None:
            if self.deletion.status == 204:
                gone_at = int(self.deletion.headers.get("X-Revision", 0))
                assert not is_known or not gone_at or gone_at > last, f"it came after the end: {told}"
            else:
                assert not versions or self.deletion.status == 503, told
        elif revision_of(after) in versions:
            assert revision_of(after) == last, told
            assert document(after) == versions[last], told
        else:
            assert revision_of(after) > last, told
            assert not is_known or not is_shown(after), told


async def _pages(caller: Client, **query: Any) -> list[Shown]:
    """Everything, page by page."""
    shown: list[Shown] = []
    while True:
        page = (await caller.list(offset=len(shown), pagesize=PAGE, **query)).json
        shown += map(content, page["items"])
        if len(shown) >= page["totalCount"]:
            return shown
        assert page["items"], f"{page['totalCount']} segments are said to be there, and {len(shown)} are"


def _may_be_changed(resource: Resource | None, seen: Answer | None = None) -> bool:
    """Tell whether a segment is there that the writer may change, and is as it was seen, if it was."""
    if resource is None or not is_shown(resource):
        return False
    return may_edit(WRITER_ROLES, document(resource)) and (seen is None or content(seen.json) == document(resource))


def _is_stored(resource: Resource | None, sent: dict[str, Any], answer: Answer, before: Resource | None) -> bool:
    """Tell whether what was sent is what there is, and what the answer says."""
    if resource is None:
        return False
    stored = document(resource)
    metadata = stored["metadata"]
    if before is None:
        roles: dict[str, list[str]] = {"editor": [EDITOR], "viewer": [VIEWER]}
        past = {"createdBy": WRITER, "modifiedBy": NOBODY, "modifiedAt": ""}
    else:
        was = document(before)
        roles = was["roles"]
        past = {"createdBy": was["metadata"]["createdBy"], "modifiedBy": WRITER}
        past["createdAt"] = was["metadata"]["createdAt"]
    return (
        revision_of(resource) == answer.revision
        and content(answer.json) == stored
        and metadata == {**metadata, **sent["metadata"], **past}
        and stored["data"] == sent["data"]
        and stored["labels"] == sent["labels"]
        and stored["roles"] == sent.get("roles", roles)
    )


def _is_refused(answer: Answer, seen: Answer | None, before: Resource | None, after: Resource | None) -> bool:
    if after != before:
        return False
    if before is None or not is_shown(before):
        return answer.status == 404
    if not may_edit(WRITER_ROLES, document(before)):
        return answer.status == 403
    return answer.status == 412 and seen is not None and content(seen.json) != document(before)


def _digest(resource: Resource | None) -> str:
    if resource is None:
        return "nothing"
    return f"{resource['metadata']['annotations'][DISPLAY_NAME]!r} at {revision_of(resource)}"

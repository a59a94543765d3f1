"""One service behind a relay in a namespace of its own: what callers, others and faults do, and what must then hold.

Everything is done one after another but for `storm`, so the cluster can be looked at before and after each write, and
an answer be held against what the write did.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any

from tests.api.bodies import body
from tests.api.clusters import DISPLAY_NAME, revision_of
from tests.chaos.mischief import Mischief

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.api.client import Answer
    from tests.api.conftest import Deployment
    from tests.support.faults import Relay

    Resource = dict[str, Any]

WRITE_PATIENCE = 10.0
"""Seconds within which a write has an answer, whatever happens."""
SETTLE_PATIENCE = 8.0
"""Seconds after the last fault within which the index equals the cluster."""
PAGE = 3

UNCLEAR = "whether it was carried out is not known"


class Scene:
    """A service, its callers, those who write past it, and what interferes."""

    def __init__(self, relay: Relay, deployment: Deployment) -> None:
        self.mischief = Mischief(relay)
        self._editor = deployment.editor
        self._resources = deployment.resources
        self._numbers = itertools.count()

    # --- callers

    async def create(self, segment_id: str) -> None:
        name = self._name()

        def holds(answer: Answer, before: Resource | None, after: Resource | None) -> bool:
            match answer.status:
                case 200:
                    return before is None and _is(after, name, answer)
                case 409:
                    return before is not None and after == before
            return False

        await self._write(segment_id, lambda: self._editor.create(body(name), segment_id), name, holds)

    async def replace(self, segment_id: str, *, with_if_match: bool) -> None:
        name, seen = self._name(), await self._seen(segment_id, with_if_match=with_if_match)

        def holds(answer: Answer, before: Resource | None, after: Resource | None) -> bool:
            if answer.status == 200:
                return _shows(before) and _matches(seen, before) and _is(after, name, answer)
            return _is_refused(answer, seen, before, after)

        headers = {"If-Match": seen.etag} if seen else {}
        await self._write(
            segment_id, lambda: self._editor.replace(segment_id, body(name), headers=headers), name, holds
        )

    async def delete(self, segment_id: str, *, with_if_match: bool) -> None:
        seen = await self._seen(segment_id, with_if_match=with_if_match)

        def holds(answer: Answer, before: Resource | None, after: Resource | None) -> bool:
            if answer.status == 204:
                return _shows(before) and _matches(seen, before) and after is None
            return _is_refused(answer, seen, before, after)

        headers = {"If-Match": seen.etag} if seen else {}
        await self._write(segment_id, lambda: self._editor.delete(segment_id, headers=headers), None, holds)

    async def storm(self, ids: list[str]) -> None:
        """Write all of these at once, each by several callers and by others."""
        self.mischief.begin()

        async def others(segment_id: str) -> None:
            if await self._found(segment_id) is None:
                await self._resources.create(segment_id)
            else:
                await self._resources.annotate(segment_id, description=self._name())

        calls: list[Coroutine[Any, Any, Answer]] = []
        for segment_id in ids:
            calls += [self._editor.create(body(self._name()), segment_id), self._editor.delete(segment_id)]
            calls += [self._editor.replace(segment_id, body(self._name())) for _ in range(2)]
        meddling = asyncio.gather(*map(others, ids), return_exceptions=True)  # they may lose a race
        answers = await asyncio.gather(*calls)
        await meddling
        assert {answer.status for answer in answers} <= {200, 204, 404, 409, *([503] if self.mischief.hindered else [])}
        stored = [answer.revision for answer in answers if answer.status == 200]
        assert len(set(stored)) == len(stored), "two writes claim one version"

    async def read(self, segment_id: str) -> None:
        """Read one and all: reads go on whatever happens."""
        assert (await self._editor.read(segment_id)).status in {200, 404}
        page = await self._editor.list(pagesize=PAGE)
        assert page.status == 200
        assert int(page.headers["X-Index-Age"]) <= 60

    async def _write(
        self,
        segment_id: str,
        send: Callable[[], Coroutine[Any, Any, Answer]],
        name: str | None,
        holds: Callable[[Answer, Resource | None, Resource | None], bool],
    ) -> None:
        """Send a write and hold its answer against what it did; ``name`` is what it leaves, None for nothing."""
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
            shown = await self._editor.read(segment_id)
            assert (shown.json["metadata"]["displayName"] if shown.status == 200 else None) == name, told

    async def _seen(self, segment_id: str, *, with_if_match: bool) -> Answer | None:
        seen = await self._editor.read(segment_id)
        return seen if with_if_match and seen.status == 200 else None

    def _name(self) -> str:
        return f"Number {next(self._numbers)}"

    # --- others

    async def create_past_it(self, segment_id: str) -> None:
        if await self._found(segment_id) is None:
            await self._resources.create(segment_id, annotations={DISPLAY_NAME: self._name()})

    async def change_past_it(self, segment_id: str, *, compatible: bool) -> None:
        """Change a segment; one without a name is shown no longer."""
        if await self._found(segment_id) is not None:
            await self._resources.annotate(segment_id, display_name=self._name() if compatible else " ")

    async def delete_past_it(self, segment_id: str) -> None:
        if await self._found(segment_id) is not None:
            await self._resources.delete(segment_id)

    async def _found(self, segment_id: str) -> Resource | None:
        return {resource["metadata"]["name"]: resource for resource in await self._resources.all()}.get(segment_id)

    # --- the end

    async def settle(self) -> None:
        """End all faults; fail unless all reads equal the cluster soon after."""
        await self.mischief.heal()
        resources = [resource for resource in await self._resources.all() if _shows(resource)]
        expected = {resource["metadata"]["name"]: _rendered(resource) for resource in resources}
        until = time.monotonic() + SETTLE_PATIENCE
        while (shown := await self._shown()) != expected:
            assert time.monotonic() < until, f"the index holds {shown}, and the cluster {expected}"
            await asyncio.sleep(0.01)
        for segment_id, segment in expected.items():
            assert _essence((await self._editor.read(segment_id)).json) == segment

    async def _shown(self) -> dict[str, Any]:
        """Everything, page by page."""
        shown: dict[str, Any] = {}
        total = 1
        while len(shown) < total:
            page = (await self._editor.list(offset=len(shown), pagesize=PAGE)).json
            total = page["totalCount"]
            if len(shown) < total and not page["items"]:
                raise AssertionError(f"{total} segments are said to be there, and {len(shown)} are")
            shown |= {item["id"]: _essence(item) for item in page["items"]}
        return shown


def _shows(resource: Resource | None) -> bool:
    return resource is not None and bool(_display_name(resource).strip())


def _display_name(resource: Resource) -> str:
    return str(resource["metadata"]["annotations"][DISPLAY_NAME])


def _is(resource: Resource | None, name: str, answer: Answer) -> bool:
    return resource is not None and _display_name(resource) == name and revision_of(resource) == answer.revision


def _matches(seen: Answer | None, resource: Resource | None) -> bool:
    """Tell whether what a caller saw is what there is: every change gives another name."""
    return seen is None or (resource is not None and seen.json["metadata"]["displayName"] == _display_name(resource))


def _is_refused(answer: Answer, seen: Answer | None, before: Resource | None, after: Resource | None) -> bool:
    if after != before:
        return False
    return (answer.status == 404 and not _shows(before)) or (answer.status == 412 and not _matches(seen, before))


def _rendered(resource: Resource) -> dict[str, Any]:
    annotations = resource["metadata"]["annotations"]
    described = annotations.get("segment.grnry.io/description")
    return {"name": annotations[DISPLAY_NAME], "description": described or "", "data": resource["spec"]}


def _essence(segment: dict[str, Any]) -> dict[str, Any]:
    metadata = segment["metadata"]
    return {
        "name": metadata["displayName"],
        "description": metadata.get("description", ""),
        "data": segment["data"],
    }


def _digest(resource: Resource | None) -> str:
    return f"{_display_name(resource)!r} at {revision_of(resource)}" if resource is not None else "nothing"

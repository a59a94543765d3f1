"""The handlers: parse, call the service, render."""

from dataclasses import dataclass
from typing import Protocol

import orjson
from aiohttp import hdrs, web

from segsvc.auth.principal import Principal
from segsvc.index.entry import Entry, digest
from segsvc.index.lru import LruCache
from segsvc.service import SegmentService, existing
from segsvc.telemetry import Metrics
from segsvc.web import render
from segsvc.web.body import json_object
from segsvc.web.conditional import precondition
from segsvc.web.credentials import bearer_token
from segsvc.web.links import base_url, item_url, page_links
from segsvc.web.openapi import build_document
from segsvc.web.params import item_request, list_request, no_parameters, write_request
from segsvc.web.representation import Representation, accepts_gzip, represent, respond

PATIENCE = 2.0
"""How long a read waits for the revision it asks for, in seconds."""

PAGES_BUDGET = 64 * 2**20
"""How many bytes of rendered answers are kept."""

CALLER = web.RequestKey("caller", str)
"""The caller's name, for the log."""


class Verifier(Protocol):
    """What turns tokens into principals; `segsvc.auth.verifier.TokenVerifier` is the one."""

    def cached(self, token: str) -> Principal | None:
        """Return the principal of a token that was verified before and still holds."""
        ...

    async def verify(self, token: str) -> Principal:
        """Verify a token. Raises TokenInvalid, KeysUnavailable."""
        ...


class Reflection(Protocol):
    """What knows how fresh the index is; `segsvc.cluster.reflector.Reflector` is the one."""

    def age(self) -> float:
        """Return the seconds since the watch last proved alive."""
        ...


@dataclass(frozen=True, kw_only=True)
class Api:
    """What the handlers need."""

    service: SegmentService
    verifier: Verifier
    reflection: Reflection
    metrics: Metrics
    max_pagesize: int = 1000
    trusted_hosts: frozenset[str] = frozenset()
    cors_origins: frozenset[str] = frozenset()


class Handlers:
    """One method for each method of each route."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._service = api.service
        # under the stamp of a view or under an entry, either of which a change replaces
        self._rendered: LruCache[object, Representation] = LruCache(PAGES_BUDGET, lambda answer: answer.size)
        description = orjson.dumps(build_document(), option=orjson.OPT_SORT_KEYS)
        self._description = {
            gzip: represent(description, gzip=gzip, digest=digest(description)) for gzip in (False, True)
        }

    async def describe(self, request: web.Request) -> web.StreamResponse:
        """GET /openapi.json: to anyone, for it tells nothing about any segment."""
        no_parameters(request.query)
        return self._read(request, self._description[_accepts_gzip(request)])

    async def list(self, request: web.Request) -> web.StreamResponse:
        """GET /segments."""
        principal = await self._principal(request)
        asked = list_request(request.query, max_pagesize=self._api.max_pagesize)
        base, gzip = self._negotiate(request)
        await self._service.reach(asked.min_revision, patience=PATIENCE)
        view = self._service.view(principal)
        key = (view.stamp, asked.query, asked.search, base, gzip)
        page = self._rendered.get(key)
        if page is None:
            selection = self._service.select(view, asked.query)
            links = page_links(base, asked, selection.total)
            entries = self._service.entries(selection.ids)
            page = render.page(entries, links, total=selection.total, base=base, gzip=gzip)
            self._rendered.put(key, page)
        return self._read(request, page)

    async def read(self, request: web.Request) -> web.StreamResponse:
        """GET /segments/{id}."""
        principal = await self._principal(request)
        asked = item_request(request.query)
        base, gzip = self._negotiate(request)
        segment_id = existing(request.match_info["id"])
        await self._service.reach(asked.min_revision, patience=PATIENCE)
        entry = self._service.read(principal, segment_id)
        key = (entry, base, gzip, asked.export)
        answer = self._rendered.get(key)
        if answer is None:
            answer = render.exported(entry, gzip=gzip) if asked.export else render.item(entry, base, gzip=gzip)
            self._rendered.put(key, answer)
        return self._read(request, answer)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /segments and POST /segments/{id}."""
        principal = await self._principal(request)
        path_id = request.match_info.get("id")
        with self._service.preparing("create", principal, segment_id=path_id):
            self._service.authorise_create(principal)
            asked = write_request(request.query, creates=True)
            base, gzip = self._negotiate(request)
            body = await json_object(request)
            await self._service.reach(0, patience=PATIENCE)
        ids = [given for given in (path_id, asked.id) if given is not None]
        entry = await self._service.create(principal, body, ids=ids, dry_run=asked.dry_run)
        return await self._stored(entry, base, gzip, {hdrs.LOCATION: item_url(base, entry.id)})

    async def replace(self, request: web.Request) -> web.StreamResponse:
        """PUT /segments/{id}."""
        principal, segment_id = await self._principal(request), request.match_info["id"]
        with self._service.preparing("replace", principal, segment_id=segment_id):
            asked = write_request(request.query)
            base, gzip = self._negotiate(request)
            expected = precondition(request)
            body = await json_object(request)
            await self._service.reach(0, patience=PATIENCE)
        entry = await self._service.replace(principal, segment_id, body, precondition=expected, dry_run=asked.dry_run)
        return await self._stored(entry, base, gzip)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE /segments/{id}."""
        principal, segment_id = await self._principal(request), request.match_info["id"]
        with self._service.preparing("delete", principal, segment_id=segment_id):
            asked = write_request(request.query)
            self._negotiate(request)
            expected = precondition(request)
            await self._service.reach(0, patience=PATIENCE)
        revision = await self._service.delete(principal, segment_id, precondition=expected, dry_run=asked.dry_run)
        if asked.dry_run:
            revision = self._service.revision  # nothing is gone; this is what the answer goes by
        if revision is None:
            return web.Response(status=204)
        await self._service.catch_up(revision)
        return web.Response(status=204, headers={"X-Revision": str(revision)})

    # --- what all of them share

    async def _principal(self, request: web.Request) -> Principal:
        token = bearer_token(request)
        principal = self._api.verifier.cached(token) or await self._api.verifier.verify(token)
        request[CALLER] = principal.name
        return principal

    def _negotiate(self, request: web.Request) -> tuple[str, bool]:
        base = base_url(request, self._api.trusted_hosts)
        return base, _accepts_gzip(request)

    def _read(self, request: web.Request, form: Representation) -> web.StreamResponse:
        headers = {
            "Cache-Control": "private, no-cache",
            "X-Revision": str(self._service.revision),
            "X-Index-Age": str(int(self._api.reflection.age())),
        }
        return respond(request, form, headers)

    async def _stored(
        self, entry: Entry, base: str, gzip: bool, extra: dict[str, str] | None = None
    ) -> web.StreamResponse:
        await self._service.catch_up(entry.version.revision)
        answer = render.item(entry, base, gzip=gzip)
        headers = {**answer.headers, "X-Revision": str(entry.version.revision), **(extra or {})}
        return web.Response(body=answer.body, headers=headers)


def _accepts_gzip(request: web.Request) -> bool:
    return accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))

"""The handlers of what is no read of segments: parse, call the service, render."""

import orjson
from aiohttp import hdrs, web

from segsvc.auth.principal import Principal
from segsvc.index.entry import Entry, digest
from segsvc.web.api import PATIENCE, Api
from segsvc.web.body import json_object
from segsvc.web.conditional import precondition
from segsvc.web.credentials import authenticated
from segsvc.web.links import item_url
from segsvc.web.openapi import build_document
from segsvc.web.params import no_parameters, write_request
from segsvc.web.reads import Reads
from segsvc.web.representation import accepts_gzip, represent


class Handlers:
    """One method for each method of each route."""

    def __init__(self, api: Api, reads: Reads) -> None:
        self._api = api
        self._service = api.service
        self._reads = reads
        description = orjson.dumps(build_document(), option=orjson.OPT_SORT_KEYS)
        self._description = {
            gzip: reads.prepared(represent(description, gzip=gzip, digest=digest(description)))
            for gzip in (False, True)
        }

    async def describe(self, request: web.Request) -> web.StreamResponse:
        """GET /openapi.json: to anyone, for it tells nothing about any segment."""
        no_parameters(request.query)
        return self._reads.respond(request, self._description[accepts_gzip(request.headers)])

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /segments and POST /segments/{id}."""
        principal = await authenticated(request.headers, self._api.verifier)
        path_id = request.match_info.get("id")
        with self._service.preparing("create", principal, segment_id=path_id):
            self._service.authorise_create(principal)
            asked = write_request(request.query, creates=True)
            base, gzip = self._negotiate(request)
            body = await json_object(request)
            await self._service.reach(0, patience=PATIENCE)
        ids = [given for given in (path_id, asked.id) if given is not None]
        entry = await self._service.create(principal, body, ids=ids, dry_run=asked.dry_run)
        return await self._stored(principal, entry, base, gzip, {hdrs.LOCATION: item_url(base, entry.id)})

    async def replace(self, request: web.Request) -> web.StreamResponse:
        """PUT /segments/{id}."""
        principal, segment_id = await authenticated(request.headers, self._api.verifier), request.match_info["id"]
        with self._service.preparing("replace", principal, segment_id=segment_id):
            asked = write_request(request.query)
            base, gzip = self._negotiate(request)
            expected = precondition(request)
            body = await json_object(request)
            await self._service.reach(0, patience=PATIENCE)
        entry = await self._service.replace(principal, segment_id, body, precondition=expected, dry_run=asked.dry_run)
        return await self._stored(principal, entry, base, gzip)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE /segments/{id}."""
        principal, segment_id = await authenticated(request.headers, self._api.verifier), request.match_info["id"]
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

    def _negotiate(self, request: web.Request) -> tuple[str, bool]:
        return self._reads.addresses.base(request), accepts_gzip(request.headers)

    async def _stored(
        self, principal: Principal, entry: Entry, base: str, gzip: bool, extra: dict[str, str] | None = None
    ) -> web.StreamResponse:
        await self._service.catch_up(entry.version.revision)
        answer = await self._reads.stored(principal, entry, base=base, gzip=gzip)
        headers = {**answer.headers, "X-Revision": str(entry.version.revision), **(extra or {})}
        return web.Response(body=answer.body, headers=headers)

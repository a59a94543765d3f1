"""The document over HTTP: to anyone, for it tells nothing about any segment."""

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from segsvc.index.entry import digest
from segsvc.web.openapi.document import build_document
from segsvc.web.representation import accepts_gzip, represent, respond


def openapi_handler() -> Handler:
    """Return the handler of GET and HEAD /openapi.json. The document is built once, here."""
    document = build_document()
    body, stands_for = orjson.dumps(document), digest(document)
    headers: dict[str, str] = {hdrs.VARY: hdrs.ACCEPT_ENCODING}
    forms = {gzip: represent(body, gzip=gzip, digest=stands_for, headers=headers) for gzip in (False, True)}

    async def serve(request: web.Request) -> web.StreamResponse:
        form = forms[accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))]
        return respond(request, form, {hdrs.CACHE_CONTROL: "no-cache"})

    return serve

"""The document over HTTP: to anyone, for it tells nothing about any segment."""

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from segsvc.index.entry import digest
from segsvc.web.openapi.document import build_document
from segsvc.web.representation import accepts_gzip, represent, respond


def openapi_handler() -> Handler:
    """Return the handler of GET and HEAD /openapi.json. The document is built once, here."""
    body = orjson.dumps(build_document(), option=orjson.OPT_SORT_KEYS)
    forms = {gzip: represent(body, gzip=gzip, digest=digest(body)) for gzip in (False, True)}

    async def serve(request: web.Request) -> web.StreamResponse:
        form = forms[accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))]
        return respond(request, form, {hdrs.CACHE_CONTROL: "private, no-cache"})

    return serve

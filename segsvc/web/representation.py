"""Answers as bytes: a body in one encoding with the headers that belong to it, ready to be sent any number of times."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from aiohttp import hdrs, web
from multidict import CIMultiDict

from segsvc.web.conditional import entity_tag, not_modified

COMPRESS_OVER = 1024
"""Bodies of more bytes than this are compressed where the caller accepts it."""

JSON = "application/json; charset=utf-8"
VARY = "Authorization, Authentication, Accept-Encoding"
_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 6
_ACCEPTED = re.compile(r"\s*(gzip|\*)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Representation:
    """A body with its headers; ``digest`` stands for what it says, whatever the encoding."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    digest: bytes | None = None

    @property
    def size(self) -> int:
        """About how many bytes it takes to keep."""
        return len(self.body) + 1024


def represent(
    body: bytes, *, gzip: bool, digest: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Representation:
    """Make an answer of a body of JSON; ``gzip`` tells whether the caller accepts that encoding."""
    encoded = gzip and len(body) > COMPRESS_OVER
    whole = {"Content-Type": JSON, "Vary": VARY, **(headers or {})}
    if digest is not None:
        whole["ETag"] = entity_tag(digest, "-gzip" if encoded else "")
    if encoded:
        whole["Content-Encoding"] = "gzip"
        # a constant header without a time stamp: equal bodies are equal bytes on every replica
        body = zlib.compress(body, level=_LEVEL, wbits=_GZIP)
    return Representation(body, whole, digest)


def respond(request: web.BaseRequest, form: Representation, headers: Mapping[str, str]) -> web.Response:
    """Answer a GET or HEAD with a representation and more headers; 304 where the caller has it already."""
    whole = CIMultiDict(form.headers)
    whole.update(headers)
    if form.digest is not None and not_modified(request, form.digest):
        for name in (hdrs.CONTENT_TYPE, hdrs.CONTENT_ENCODING):
            whole.pop(name, None)
        return web.Response(status=304, headers=whole)
    return web.Response(body=form.body, headers=whole)


@lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding header (RFC 9110, section 12.5.3) lets an answer be compressed with gzip."""
    weights = {
        match[1].lower(): float(match[2] or 1)
        for match in map(_ACCEPTED.fullmatch, accept_encoding.split(","))
        if match is not None
    }
    return weights.get("gzip", weights.get("*", 0)) > 0

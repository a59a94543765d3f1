"""What an answer says: a body in one encoding, and the headers that belong to it."""

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from aiohttp import hdrs
from multidict import MultiMapping

from segsvc.web.conditional import entity_tag

COMPRESS_OVER = 1024
"""Bodies of more bytes than this are compressed where the caller accepts it."""

JSON = "application/json; charset=utf-8"
VARY = "Authorization, Authentication, Accept-Encoding"
_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 6
_ACCEPTED = re.compile(r"\s*(gzip|\*)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?", re.ASCII | re.IGNORECASE)


class Representation(NamedTuple):
    """A body with what its headers say. The body may be in pieces: whoever sends it once need join them only once."""

    pieces: Sequence[bytes]
    size: int
    """How many bytes the body has."""
    between: bytes = b""
    """What comes between two of the pieces."""
    digest: bytes | None = None
    """What stands for what the body says, whatever the encoding."""
    lines: str = ""
    """Header fields as they go out, each with its line break: those that not every body has."""
    is_compressed: bool = False

    @property
    def body(self) -> bytes:
        """All of it."""
        return self.between.join(self.pieces)

    def behind(self, head: bytes) -> bytes:
        """Return all of it behind something else."""
        first, *others = self.pieces
        return self.between.join([head + first, *others])

    def whole(self) -> "Representation":
        """Return the same in one piece."""
        return self if len(self.pieces) == 1 else self._replace(pieces=(self.body,))

    @property
    def tag(self) -> str | None:
        """Its entity tag, if it has one."""
        return None if self.digest is None else entity_tag(self.digest, "-gzip" if self.is_compressed else "")

    @property
    def headers(self) -> dict[str, str]:
        """All that are its own."""
        headers = {"Content-Type": JSON, "Vary": VARY}
        if self.is_compressed:
            headers["Content-Encoding"] = "gzip"
        tag = self.tag
        if tag is not None:
            headers["ETag"] = tag
        return headers | dict(line.split(": ", 1) for line in self.lines.splitlines())


def represent(body: bytes, *, gzip: bool, digest: bytes | None = None) -> Representation:
    """Make an answer of a body of JSON; ``gzip`` tells whether the caller accepts that encoding."""
    plain = Representation((body,), len(body), digest=digest)
    return compressed(plain) if gzip else plain


def compressed(plain: Representation) -> Representation:
    """Compress an answer, unless it is short. Uses nothing that others change, so that any thread may do it."""
    if plain.size <= COMPRESS_OVER:
        return plain
    # a constant header without a time stamp: equal bodies are equal bytes on every replica
    body = zlib.compress(plain.body, level=_LEVEL, wbits=_GZIP)
    return Representation((body,), len(body), digest=plain.digest, lines=plain.lines, is_compressed=True)


def accepts_gzip(headers: MultiMapping[str]) -> bool:
    """Tell whether a request's Accept-Encoding (RFC 9110, section 12.5.3) lets an answer be compressed with gzip."""
    accepted = headers.get(hdrs.ACCEPT_ENCODING)
    return accepted is not None and _gzip_in(accepted)


@lru_cache(maxsize=256)
def _gzip_in(accept_encoding: str) -> bool:
    weights = {
        match[1].lower(): float(match[2] or 1)
        for match in map(_ACCEPTED.fullmatch, accept_encoding.split(","))
        if match is not None
    }
    return weights.get("gzip", weights.get("*", 0)) > 0

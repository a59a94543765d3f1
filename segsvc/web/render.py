"""Segments and pages as JSON bytes: what the index keeps rendered, put together and given its links."""

from functools import lru_cache

import orjson

from segsvc.domain.export import export
from segsvc.index.entry import CLOSING, OPENING, Entry, digest
from segsvc.index.query import Selection
from segsvc.web.links import PageLinks, item_url
from segsvc.web.representation import Representation, compressed, represent


def item(entry: Entry, base: str, *, gzip: bool) -> Representation:
    """Render a segment with its link."""
    opening, _ = _around(base)
    return represent(b"".join((opening, entry.body, CLOSING)), gzip=gzip, digest=entry.digest)


def exported(entry: Entry, *, gzip: bool) -> Representation:
    """Render a segment's export, which has no links."""
    shown = orjson.dumps(export(entry.document()))
    return represent(shown, gzip=gzip, digest=digest(shown))


def page(selection: Selection, links: PageLinks, *, base: str, gzip: bool, digest: bytes) -> Representation:
    """Render a page; ``digest`` stands for what it shows."""
    start, (opening, between) = b'{"items":[', _around(base)
    end = f'],"links":{links.json},"totalCount":{selection.total}}}'.encode()
    pieces = [*selection.bodies]
    size = len(start) + selection.size + len(end)
    if pieces:
        size += len(pieces) * len(between) - 1
        pieces[0] = start + opening + pieces[0]
        pieces[-1] += CLOSING + end
    else:
        pieces = [start + end]
    lines = f"Link: {links.header}\r\nX-Total-Count: {selection.total}\r\n"
    form = Representation(pieces, size, between, digest, lines)
    return compressed(form) if gzip else form


@lru_cache(maxsize=256)
def _around(base: str) -> tuple[bytes, bytes]:
    """Return what comes before a body, and what between two of them."""
    # neither a checked base nor an id holds anything that JSON would escape
    opening = OPENING + item_url(base, "").encode()
    return opening, CLOSING + b"," + opening

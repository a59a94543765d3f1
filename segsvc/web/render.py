"""Segments and pages as JSON bytes: what the index keeps rendered, joined and given its links."""

from collections.abc import Sequence

import orjson

from segsvc.domain.export import export
from segsvc.index.entry import LINK, OPENING, Entry, digest
from segsvc.index.query import Selection
from segsvc.web.links import PageLinks, item_url
from segsvc.web.representation import Representation, represent

_CLOSING = b'?action=self"}}'
_BETWEEN = _CLOSING + b"," + OPENING


def item(entry: Entry, base: str, *, gzip: bool) -> Representation:
    """Render a segment with its link."""
    return represent(_joined(b"", [entry.body], b"", base), gzip=gzip, digest=entry.digest)


def exported(entry: Entry, *, gzip: bool) -> Representation:
    """Render a segment's export, which has no links."""
    shown = orjson.dumps(export(entry.document()))
    return represent(shown, gzip=gzip, digest=digest(shown))


def page(selection: Selection, links: PageLinks, *, base: str, gzip: bool, digest: bytes) -> Representation:
    """Render a page; ``digest`` stands for what it shows."""
    end = f'],"links":{links.json},"totalCount":{selection.total}}}'
    body = _joined(b'{"items":[', selection.bodies, end.encode(), base)
    lines = f"Link: {links.header}\r\nX-Total-Count: {selection.total}\r\n"
    return represent(body, gzip=gzip, digest=digest, lines=lines)


def _joined(before: bytes, bodies: Sequence[bytes], behind: bytes, base: str) -> bytes:
    """Join the bodies of entries, each with the link to itself, and put something before and behind them."""
    if not bodies:
        return before + behind
    # in as few steps as can be: to move this many bytes once more takes as long as much else
    parts = [*bodies]
    parts[0] = before + OPENING + parts[0]
    parts[-1] += _CLOSING + behind
    # neither a checked base nor an id holds anything that JSON would escape
    link = f',"links":{{"self":"{item_url(base, "")}'
    return _BETWEEN.join(parts).replace(LINK, link.encode())

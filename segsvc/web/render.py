"""Segments and pages as JSON bytes: what the index keeps rendered, joined and given its links."""

from collections.abc import Sequence
from hashlib import blake2b

import orjson

from segsvc.domain.export import export
from segsvc.index.entry import DIGEST_SIZE, LINK, OPENING, Entry, digest
from segsvc.index.query import Selection
from segsvc.web.links import PageLinks, item_url
from segsvc.web.representation import Representation, represent

_CLOSING = b'?action=self"}}'
_BETWEEN = _CLOSING + b"," + OPENING


def item(entry: Entry, base: str, *, gzip: bool) -> Representation:
    """Render a segment with its link."""
    return represent(_joined(b"", [entry], b"", base), gzip=gzip, digest=entry.digest)


def exported(entry: Entry, *, gzip: bool) -> Representation:
    """Render a segment's export, which has no links."""
    shown = orjson.dumps(export(entry.document()))
    return represent(shown, gzip=gzip, digest=digest(shown))


def page_digest(selection: Selection) -> bytes:
    """Return what stands for what a page shows: the total and its segments, links left out."""
    parts = [b"%d:" % selection.total, *[entry.digest for entry in selection.entries]]
    return blake2b(b"".join(parts), digest_size=DIGEST_SIZE).digest()


def page(selection: Selection, links: PageLinks, *, base: str, gzip: bool, digest: bytes) -> Representation:
    """Render a page, which has the digest that `page_digest` returns."""
    addresses = {"self": links.self}
    if links.prev is not None:
        addresses["prev"] = links.prev
    if links.next is not None:
        addresses["next"] = links.next
    end = b'],"links":%b,"totalCount":%d}' % (orjson.dumps(addresses), selection.total)
    body = _joined(b'{"items":[', selection.entries, end, base)
    headers = {"Link": links.header(), "X-Total-Count": str(selection.total)}
    return represent(body, gzip=gzip, digest=digest, headers=headers)


def _joined(before: bytes, entries: Sequence[Entry], behind: bytes, base: str) -> bytes:
    """Join segments, each with the link to itself, and put something before and behind them."""
    bodies = [entry.body for entry in entries]
    if not bodies:
        return before + behind
    # in as few steps as can be: to move this many bytes once more takes as long as much else
    bodies[0] = before + OPENING + bodies[0]
    bodies[-1] += _CLOSING + behind
    # neither a checked base nor an id holds anything that JSON would escape
    link = f',"links":{{"self":"{item_url(base, "")}'
    return _BETWEEN.join(bodies).replace(LINK, link.encode())

"""Segments and pages as JSON bytes: what the index keeps rendered, joined and given its links."""

from collections.abc import Sequence
from hashlib import blake2b

import orjson

from segsvc.domain.export import export
from segsvc.index.entry import DIGEST_SIZE, Entry, digest
from segsvc.web.links import PageLinks, item_url
from segsvc.web.representation import Representation, represent


def item(entry: Entry, base: str, *, gzip: bool) -> Representation:
    """Render a segment with its link."""
    return represent(_linked(entry, base), gzip=gzip, digest=entry.digest)


def exported(entry: Entry, *, gzip: bool) -> Representation:
    """Render a segment's export, which has no links."""
    shown = orjson.dumps(export(entry.document()))
    return represent(shown, gzip=gzip, digest=digest(shown))


def page(entries: Sequence[Entry], links: PageLinks, *, total: int, base: str, gzip: bool) -> Representation:
    """Render a page. Its digest is made of the total and its segments' digests: links are left out."""
    addresses = {
        name: url for name, url in (("self", links.self), ("prev", links.prev), ("next", links.next)) if url is not None
    }
    body = b'{"items":[%s],"links":%s,"totalCount":%d}' % (
        b",".join([_linked(entry, base) for entry in entries]),
        orjson.dumps(addresses),
        total,
    )
    shown = blake2b(b"%d:" % total, digest_size=DIGEST_SIZE)
    for entry in entries:
        shown.update(entry.digest)
    headers = {"Link": links.header(), "X-Total-Count": str(total)}
    return represent(body, gzip=gzip, digest=shown.digest(), headers=headers)


def _linked(entry: Entry, base: str) -> bytes:
    # neither a checked base nor an id holds anything that JSON would escape
    return b'%s,"links":{"self":"%s?action=self"}}' % (entry.body, item_url(base, entry.id).encode())

"""Segments and pages as JSON bytes: what the index keeps rendered, joined and given its links."""

from hashlib import blake2b

import orjson

from segsvc.domain.export import export
from segsvc.index.entry import DIGEST_SIZE, Entry, digest
from segsvc.index.query import Selection
from segsvc.web.links import PageLinks, item_url
from segsvc.web.representation import Representation, represent


def item(entry: Entry, base: str, *, gzip: bool) -> Representation:
    """Render a segment with its link."""
    # neither a checked base nor an id holds anything that JSON would escape
    body = b'%s,"links":{"self":"%s?action=self"}}' % (entry.body, item_url(base, entry.id).encode())
    return represent(body, gzip=gzip, digest=entry.digest)


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
    count = len(selection.entries)
    # entry by entry, this would take as long as all else that a page takes: lists are filled at once
    pieces = [b"", f',"links":{{"self":"{base}/segments/'.encode(), b"", b'?action=self"}},'] * count
    pieces[0::4] = [entry.body for entry in selection.entries]
    pieces[2::4] = "\n".join([entry.id for entry in selection.entries]).encode().split(b"\n")[:count]
    if count:
        pieces[-1] = b'?action=self"}}'
    addresses = {"self": links.self}
    if links.prev is not None:
        addresses["prev"] = links.prev
    if links.next is not None:
        addresses["next"] = links.next
    body = b'{"items":[%s],"links":%s,"totalCount":%d}' % (b"".join(pieces), orjson.dumps(addresses), selection.total)
    headers = {"Link": links.header(), "X-Total-Count": str(selection.total)}
    return represent(body, gzip=gzip, digest=digest, headers=headers)

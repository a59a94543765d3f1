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
    # entry by entry, this would take as long as all else that a page takes: what follows the bodies is made at once
    own, end = f',"links":{{"self":"{base}/segments/', '?action=self"}}'
    behind = own + f"{end},\n{own}".join([entry.id for entry in selection.entries]) + end
    pieces = [b""] * (2 * len(selection.entries))
    if pieces:
        pieces[0::2] = [entry.body for entry in selection.entries]
        pieces[1::2] = behind.encode().split(b"\n")
    addresses = {"self": links.self}
    if links.prev is not None:
        addresses["prev"] = links.prev
    if links.next is not None:
        addresses["next"] = links.next
    pieces.insert(0, b'{"items":[')
    pieces.append(b'],"links":%s,"totalCount":%d}' % (orjson.dumps(addresses), selection.total))
    headers = {"Link": links.header(), "X-Total-Count": str(selection.total)}
    return represent(b"".join(pieces), gzip=gzip, digest=digest, headers=headers)

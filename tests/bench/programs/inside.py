"""What the programs share that measure inside of their own process: the service's parts, put together as it does.

Few and obvious uses of the package: its list decoder, its way from a resource to an entry, its store.
"""

from collections.abc import Iterable

from segsvc.cluster.collector import collector_at_ease
from segsvc.cluster.listing import ListDecoder
from segsvc.cluster.observed import Shown, observed_list
from segsvc.domain.segment import JsonObject
from segsvc.index.store import SegmentStore

CHUNK = 64 * 1024
"""As many bytes as a connection hands over at once."""


def filled(listed: bytes) -> SegmentStore:
    """Return a store that a list has been taken in by, as the reflector does it."""
    store, decoder = SegmentStore(), ListDecoder()
    relist = store.relist()

    def add(resources: Iterable[JsonObject]) -> None:
        for found in observed_list(resources):
            if isinstance(found, Shown):
                relist.extend(found.entries, found.segments)

    with collector_at_ease():
        for start in range(0, len(listed), CHUNK):
            add(decoder.feed(listed[start : start + CHUNK]))
        rest = decoder.finish()
        add(rest.items)
        store.finish(relist, rest.revision)
    return store

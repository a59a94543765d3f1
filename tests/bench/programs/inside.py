"""What the programs share that measure inside of their own process: the service's parts, put together as it does.

Few and obvious uses of the package: its list decoder, its way from a resource to an entry, its store.
"""

from segsvc.cluster.collector import collector_at_ease
from segsvc.cluster.listing import ListDecoder
from segsvc.cluster.observed import observed
from segsvc.domain.segment import JsonObject
from segsvc.index.store import SegmentStore

CHUNK = 64 * 1024
"""As many bytes as a connection hands over at once."""


def filled(listed: bytes) -> SegmentStore:
    """Return a store that a list has been taken in by, as the reflector does it."""
    store, decoder = SegmentStore(), ListDecoder()
    relist = store.relist()

    def add(resource: JsonObject) -> None:
        found = observed(resource)
        relist.add(found.id, found.version, found.entry, found.segment)

    with collector_at_ease():
        for start in range(0, len(listed), CHUNK):
            for resource in decoder.feed(listed[start : start + CHUNK]):
                add(resource)
        rest = decoder.finish()
        for resource in rest.items:
            add(resource)
        store.finish(relist, rest.revision)
    return store

"""Lists: one state of a collection, whole or in pages.

Invariant: all pages of a list show the state of the first page's resourceVersion and carry it, however much is
written in between; when the history no longer reaches that far, the next page is 410.
https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segsvc.devcluster import status
from segsvc.devcluster.jsonbody import dumps
from segsvc.devcluster.options import Continue
from segsvc.devcluster.store import CompactedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segsvc.devcluster.options import ListOptions
    from segsvc.devcluster.resources import Resource
    from segsvc.devcluster.store import Store


@dataclass(frozen=True, slots=True)
class Page:
    """Objects as they are stored, and the list's metadata."""

    items: Sequence[bytes]
    revision: int
    resume: str = ""
    remaining: int | None = None

    def rendered(self, resource: Resource) -> bytes:
        """Return the list object; items are joined as the bytes they are."""
        metadata: dict[str, object] = {"continue": self.resume, "resourceVersion": str(self.revision)}
        if self.remaining is not None:
            metadata["remainingItemCount"] = self.remaining
        return b"".join(
            (
                b'{"apiVersion":',
                dumps(resource.api_version),
                b',"items":[',
                b",".join(map(resource.served, self.items)),
                b'],"kind":',
                dumps(resource.list_kind),
                b',"metadata":',
                dumps(metadata),
                b"}\n",
            )
        )


def read_page(store: Store, resource: Resource, *, prefix: str, options: ListOptions) -> Page:
    """Return the objects whose keys begin with `prefix`. Raises ApiError (410, 504)."""
    if options.version is not None and options.version > store.revision:
        raise status.future_version(options.version, store.revision)
    revision, start, limit = store.revision, "", options.limit
    if options.resume:
        revision, start = options.resume.revision, options.resume.start
    elif options.match == "Exact" and options.version:
        revision = options.version
    # resourceVersion=0 asks for whatever the watch cache holds, and the cache knows no limit.
    if options.version == 0:
        limit = 0
    try:
        return _page(store, resource, prefix=prefix, start=start, revision=revision, limit=limit, options=options)
    except CompactedError as error:
        if options.resume:
            raise status.expired_continue() from error
        raise status.expired_version(revision, error.oldest) from error


def _page(
    store: Store, resource: Resource, *, prefix: str, start: str, revision: int, limit: int, options: ListOptions
) -> Page:
    if revision > store.revision:
        raise status.future_version(revision, store.revision)
    items: list[bytes] = []
    last, beyond = "", False
    for key, body in store.scan(resource.collection, prefix=prefix, start=start, at=revision):
        if not options.selector.matches(key, body):
            continue
        if limit and len(items) == limit:
            beyond = True
            break
        items.append(body)
        last = key
    if not beyond:
        return Page(items, revision)
    following = last + "\0"
    # As in Kubernetes, what is left is only counted when there is no selector.
    remaining = (
        store.count(resource.collection, prefix=prefix, start=following, at=revision)
        if options.selector.selects_all
        else None
    )
    return Page(items, revision, Continue(revision, following).encoded(), remaining)

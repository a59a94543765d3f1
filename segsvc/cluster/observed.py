"""What a raw Segment resource is to this service: which object, in which state, and the segment in it, if it may show.

Whatever a resource holds, looking at it harms no other: it is then incompatible, with a reason for the log.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from segsvc.cluster.errors import UnexpectedAnswer
from segsvc.domain.codec import Incompatible, decode
from segsvc.domain.ids import is_subdomain
from segsvc.domain.segment import Segment
from segsvc.index.entry import Entry, Version, entry

ROW = 64
"""How many resources of a list are looked at together: that takes a millisecond."""
MAX_NAME = 80
"""How much of what should be a name is told."""


class Nameless(UnexpectedAnswer):
    """The resource lacks metadata that every stored object has: name, uid and resourceVersion."""


@dataclass(slots=True)
class Observed:
    """A resource as the index takes it in.

    ``entry`` is None for one that the API does not show: it is being deleted, or incompatible for ``problem``.
    """

    # Final for the type checker: frozen, it would take five times as long to make
    id: Final[str]
    version: Final[Version]
    entry: Final[Entry | None]
    segment: Final[Segment | None] = None
    problem: Final[str | None] = None


def observed(resource: Mapping[str, Any]) -> Observed:
    """Look at a resource from a list, a watch or an answer. Raises Nameless."""
    segment_id, version = identity(resource)
    return _observed(segment_id, version, _read(resource))


def observed_rows(resources: Iterable[Mapping[str, Any]]) -> Iterator[tuple[list[Observed], list[Nameless]]]:
    """Look at a list's resources, `ROW` at a time; yield what they are, in their order, and why some have no name.

    Each step is taken for all of a row. That takes a tenth less time than one resource after the other, because the
    code of a step stays in the processor's caches, and that of all does not.
    """
    left = iter(resources)
    while row := list(islice(left, ROW)):
        yield _row(row)


def _row(resources: Sequence[Mapping[str, Any]]) -> tuple[list[Observed], list[Nameless]]:
    named: list[tuple[str, Version, Mapping[str, Any]]] = []
    nameless: list[Nameless] = []
    for resource in resources:
        try:
            segment_id, version = identity(resource)
        except Nameless as error:
            nameless.append(error)
        else:
            named.append((segment_id, version, resource))
    read = [_read(resource) for _, _, resource in named]
    found = [
        _observed(segment_id, version, segment) for (segment_id, version, _), segment in zip(named, read, strict=True)
    ]
    return found, nameless


def _read(resource: Mapping[str, Any]) -> Segment | str | None:
    """Return the segment in a resource, or why there is none; None for one that is being deleted."""
    if is_leaving(resource):
        return None
    try:
        return segment_of(resource)
    except Incompatible as error:
        return str(error)


def _observed(segment_id: str, version: Version, read: Segment | str | None) -> Observed:
    if isinstance(read, Segment):
        return Observed(segment_id, version, entry(read, version), read)
    return Observed(segment_id, version, None, None, read)


def identity(resource: Mapping[str, Any]) -> tuple[str, Version]:
    """Return which object this is, and which state of it. Raises Nameless."""
    revision, metadata = revision_of(resource), resource["metadata"]
    try:
        name, uid = metadata["name"], metadata["uid"]
    except LookupError as error:
        raise Nameless(f"metadata without {error}") from None
    # what is no name could not be asked for, and might not fit into a page's JSON
    if not isinstance(name, str) or not is_subdomain(name):
        raise Nameless(f"metadata with a name that is none: {name!r:.{MAX_NAME}}")
    return name, Version(str(uid), revision)


def revision_of(resource: Mapping[str, Any]) -> int:
    """Return the resourceVersion, which is all that a bookmark has. Raises Nameless."""
    try:
        return int(resource["metadata"]["resourceVersion"])
    except (LookupError, TypeError, ValueError):
        raise Nameless("metadata without a resourceVersion that is a number") from None


def is_leaving(resource: Mapping[str, Any]) -> bool:
    """Tell whether a resource is being deleted and only waits for its finalizers."""
    return resource["metadata"].get("deletionTimestamp") is not None


def segment_of(resource: Mapping[str, Any]) -> Segment:
    """Return the segment in a resource. Raises Incompatible."""
    try:
        return decode(resource)
    # a resource that no CustomResourceDefinition of ours would let in: it must not stop the others
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Incompatible(f"cannot be read: {type(error).__name__}: {error}") from error

"""What a raw Segment resource is to this service: which object, in which state, and the segment in it, if it may show.

Whatever a resource holds, looking at it harms no other: it is then incompatible, with a reason for the log.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple

from segsvc.cluster.errors import UnexpectedAnswer
from segsvc.domain.codec import Incompatible, decode, decode_first
from segsvc.domain.ids import are_subdomains, is_subdomain
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


class Shown(NamedTuple):
    """Resources that the API shows, and the segments in them, in the same order."""

    entries: Sequence[Entry]
    segments: Sequence[Segment]


def observed(resource: Mapping[str, Any]) -> Observed:
    """Look at a resource from a list, a watch or an answer. Raises Nameless."""
    segment_id, version = identity(resource)
    if is_leaving(resource):
        return Observed(segment_id, version, None)
    try:
        segment = decode(resource)
    except Incompatible as error:
        return Observed(segment_id, version, None, None, str(error))
    return Observed(segment_id, version, entry(segment, version), segment)


def observed_list(resources: Iterable[Mapping[str, Any]]) -> Iterator[Shown | Observed | Nameless]:
    """Look at a list's resources, `ROW` at a time; yield what they are, in their order.

    As long as the API shows all of a row, each step is taken for all of it at once. That takes a quarter less time than
    one resource after the other: the code of a step stays in the processor's caches, and some steps are a single one.
    """
    left = iter(resources)
    while row := list(islice(left, ROW)):
        while (shown := _first_shown(row)).entries:
            yield shown
            count = len(shown.entries)
            yield from map(_alone, row[count : count + 1])
            row = row[count + 1 :]
        yield from map(_alone, row)


def _first_shown(resources: Sequence[Mapping[str, Any]]) -> Shown:
    """Look at the first of these resources, if any, and at no more than come before one that the API does not show."""
    try:
        all_metadata = [resource["metadata"] for resource in resources]
        versions = [Version(metadata["uid"], int(metadata["resourceVersion"])) for metadata in all_metadata]
        has_names = are_subdomains([metadata["name"] for metadata in all_metadata])
        if not has_names or any("deletionTimestamp" in metadata for metadata in all_metadata):
            return Shown([], [])
    except (LookupError, TypeError, ValueError):
        return Shown([], [])
    segments = decode_first(resources)
    return Shown(list(map(entry, segments, versions)), segments)


def _alone(resource: Mapping[str, Any]) -> Shown | Observed | Nameless:
    try:
        found = observed(resource)
    except Nameless as error:
        return error
    if found.entry is None or found.segment is None:
        return found
    return Shown([found.entry], [found.segment])


def identity(resource: Mapping[str, Any]) -> tuple[str, Version]:
    """Return which object this is, and which state of it. Raises Nameless."""
    try:
        metadata = resource["metadata"]
        name, uid, revision = metadata["name"], metadata["uid"], int(metadata["resourceVersion"])
    except (LookupError, TypeError, ValueError) as error:
        raise Nameless(f"metadata without a name, a uid or a resourceVersion that is a number: {error!r}") from None
    # what is no name could not be asked for, and might not fit into a page's JSON
    if not isinstance(name, str) or not is_subdomain(name):
        raise Nameless(f"metadata with a name that is none: {name!r:.{MAX_NAME}}")
    return name, Version(uid, revision)


def revision_of(resource: Mapping[str, Any]) -> int:
    """Return the resourceVersion, which is all that a bookmark has. Raises Nameless."""
    try:
        return int(resource["metadata"]["resourceVersion"])
    except (LookupError, TypeError, ValueError):
        raise Nameless("metadata without a resourceVersion that is a number") from None


def is_leaving(resource: Mapping[str, Any]) -> bool:
    """Tell whether a resource is being deleted and only waits for its finalizers."""
    return resource["metadata"].get("deletionTimestamp") is not None

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

# raised by what no API server would send: it must not stop the others
_NAMELESS = (LookupError, TypeError, ValueError, RecursionError)


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
        versions = _versions(row)
        while versions and (segments := decode_first(row)):
            yield Shown(list(map(entry, segments, versions)), segments)
            # one that holds no segment, if any, and what comes behind it
            count = len(segments)
            yield from map(_alone, row[count : count + 1])
            row, versions = row[count + 1 :], versions[count + 1 :]
        yield from map(_alone, row)


def _versions(resources: Sequence[Mapping[str, Any]]) -> list[Version]:
    """Return which states of objects these are; of none if there is one that has no name, or is being deleted."""
    try:
        all_metadata = [resource["metadata"] for resource in resources]
        if not are_subdomains([metadata["name"] for metadata in all_metadata]):
            return []
        if any("deletionTimestamp" in metadata for metadata in all_metadata):
            return []
        return [Version(metadata["uid"], int(metadata["resourceVersion"])) for metadata in all_metadata]
    except _NAMELESS:
        return []


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
        name: str = metadata["name"]
        version = Version(metadata["uid"], int(metadata["resourceVersion"]))
        # what is no name could not be asked for, and might not fit into a page's JSON
        is_name = is_subdomain(name)
    except _NAMELESS as error:
        raise Nameless(f"metadata without a name, a uid or a resourceVersion that is a number: {error!r}") from None
    if not is_name:
        raise Nameless(f"metadata with a name that is none: {name!r:.{MAX_NAME}}")
    return name, version


def revision_of(resource: Mapping[str, Any]) -> int:
    """Return the resourceVersion, which is all that a bookmark has. Raises Nameless."""
    try:
        return int(resource["metadata"]["resourceVersion"])
    except _NAMELESS:
        raise Nameless("metadata without a resourceVersion that is a number") from None


def is_leaving(resource: Mapping[str, Any]) -> bool:
    """Tell whether a resource is being deleted and only waits for its finalizers."""
    return resource["metadata"].get("deletionTimestamp") is not None

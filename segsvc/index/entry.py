"""What the index keeps of a segment.

Of a segment's JSON only the rendered bytes are kept, ready to be joined into a page: parsed, it would take several
times the memory, and no read needs it parsed but an export.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from segsvc.domain.segment import Roles, Segment, document

DIGEST_SIZE = 16


@dataclass(frozen=True, slots=True)
class Version:
    """Which object, and which state of it: ``revision`` is its resourceVersion, which compares as an integer.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """

    uid: str
    revision: int


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A segment as the index holds it.

    ``body`` is the JSON that the API shows, without ``links`` and without the closing brace; ``digest`` stands for what
    it says and for nothing else, so it is the same in every process.
    """

    id: str
    version: Version
    display_name: str
    created_at: str
    modified_at: str
    roles: Roles
    labels: tuple[str, ...]
    body: bytes
    digest: bytes

    def document(self) -> dict[str, Any]:
        """Parse the body: the JSON object that the API shows, without ``links``."""
        parsed: dict[str, Any] = orjson.loads(self.body + b"}")
        return parsed


def rendered(segment: Segment) -> bytes:
    """Write the JSON that the API shows of a segment, without ``links``: the same bytes in every process."""
    shown = document(segment)
    # sorted, so that the bytes do not depend on which server wrote the resource out
    shown["data"] = orjson.Fragment(orjson.dumps(segment.data, option=orjson.OPT_SORT_KEYS))
    return orjson.dumps(shown)


def digest(shown: bytes) -> bytes:
    """Return what stands for the bytes that a caller sees."""
    return blake2b(shown, digest_size=DIGEST_SIZE).digest()


def entry(segment: Segment, version: Version) -> Entry:
    """Render a segment for the index."""
    shown = rendered(segment)
    return Entry(
        id=segment.id,
        version=version,
        display_name=segment.display_name,
        created_at=segment.created_at,
        modified_at=segment.modified_at,
        roles=segment.roles,
        labels=segment.labels,
        body=bytes(memoryview(shown)[:-1]),  # a copy, for orjson's result keeps its whole work buffer alive
        digest=digest(shown),
    )

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


def digest(value: object) -> bytes:
    """Return what stands for a JSON value: `DIGEST_SIZE` bytes, equal for equal values, in every process."""
    return blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=DIGEST_SIZE).digest()


def entry(segment: Segment, version: Version) -> Entry:
    """Render a segment for the index."""
    # sorted, so that neither body nor digest depend on which server wrote the resource out
    rendered = orjson.dumps(document(segment), option=orjson.OPT_SORT_KEYS)
    return Entry(
        id=segment.id,
        version=version,
        display_name=segment.display_name,
        created_at=segment.created_at,
        modified_at=segment.modified_at,
        roles=segment.roles,
        labels=segment.labels,
        body=bytes(memoryview(rendered)[:-1]),  # a copy, for orjson's result keeps its whole work buffer alive
        digest=blake2b(rendered, digest_size=DIGEST_SIZE).digest(),
    )

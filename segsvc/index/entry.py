"""What the index keeps of a segment.

Of a segment's JSON only the rendered bytes are kept, ready to be joined into a page: parsed, it would take several
times the memory, and no read needs it parsed but an export. There may be a hundred thousand entries: what is seldom
asked of one is found in its bytes, and what many have in common they share (see `segsvc.domain.codec`).
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Self

import orjson

from segsvc.domain.segment import Roles, Segment

DIGEST_SIZE = 16

OPENING = b'{"links":{"self":"'
"""What comes before a segment's address."""
CLOSING = b"}"
"""What comes behind a body."""
_LINKED = b'?action=self"},'

# no text can hold these: a quotation mark within one has a backslash before it
_DISPLAY_NAME = b'"displayName":'
_DESCRIPTION = b',"description":'
_CREATED_AT = b',"createdAt":"'
_MODIFIED_AT = b',"modifiedAt":"'
_CREATED_BY = b',"createdBy":'


class Version(bytes):
    """Which object, and which state of it: ``revision`` is its resourceVersion, which compares as an integer.

    Both are held in one piece, in half the memory that two attributes would take.
    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """

    __slots__ = ()

    def __new__(cls, uid: str, revision: int) -> Self:
        """Put both together."""
        return bytes.__new__(cls, f"{revision} {uid}".encode())

    def __repr__(self) -> str:
        return f"Version(uid={self.uid!r}, revision={self.revision})"

    @property
    def uid(self) -> str:
        """Which object."""
        return self.partition(b" ")[2].decode()

    @property
    def revision(self) -> int:
        """Which state of it."""
        return int(self.partition(b" ")[0])


@dataclass(slots=True, eq=False)
class Entry:
    """A segment as the index holds it.

    ``body`` is the JSON that the API shows, from the id in the link to itself on, which stands first: what comes before
    that depends on the caller, and is the same for all segments of a page. So bodies need only be joined.
    """

    # Final for the type checker: frozen, it would take five times as long to make
    id: Final[str]
    version: Final[Version]
    roles: Final[Roles]
    labels: Final[tuple[str, ...]]
    body: Final[bytes]

    @property
    def digest(self) -> bytes:
        """What `body_digest` tells of the body."""
        return body_digest(self.body)

    @property
    def display_name(self) -> str:
        """Any text that is not blank."""
        start = self.body.index(_DISPLAY_NAME) + len(_DISPLAY_NAME)
        name: str = orjson.loads(self.body[start : self.body.index(_DESCRIPTION, start)])
        return name

    @property
    def created_at(self) -> str:
        """A timestamp, or empty."""
        return self.times()[0].decode()

    @property
    def modified_at(self) -> str:
        """A timestamp, or empty."""
        return self.times()[1].decode()

    def times(self) -> tuple[bytes, bytes]:
        """Return when it was created and when modified, found at one look: timestamps, or empty."""
        body = self.body
        created = body.index(_CREATED_AT) + len(_CREATED_AT)
        end = body.index(b'"', created)
        modified = end + 1 + len(_MODIFIED_AT)  # which follows
        return body[created:end], body[modified : body.index(b'"', modified)]

    def sorts_as(self, other: "Entry") -> bool:
        """Tell whether another segment of the same id has the same name and times."""
        body = self.body
        described = body.index(_DESCRIPTION)
        created = body.index(_CREATED_AT, described)
        times = body[created : body.index(_CREATED_BY, created)]
        return other.body.startswith(body[:described]) and other.body.startswith(
            times, other.body.index(_CREATED_AT, described)
        )

    def document(self) -> dict[str, Any]:
        """Parse the body: the JSON object that the API shows, without ``links``."""
        parsed: dict[str, Any] = orjson.loads(_shown(self.body))
        return parsed


def rendered(segment: Segment) -> bytes:
    """Write the JSON that the API shows of a segment, without ``links``: the same bytes in every process."""
    return _shown(_body(segment))


def digest(shown: bytes) -> bytes:
    """Return what stands for the bytes that a caller sees."""
    return blake2b(shown, digest_size=DIGEST_SIZE).digest()


def body_digest(body: bytes) -> bytes:
    """Return what stands for all that an entry's body says and for nothing else: it is the same in every process."""
    return digest(_shown(body))


def entry(segment: Segment, version: Version) -> Entry:
    """Render a segment for the index."""
    return Entry(segment.id, version, segment.roles, segment.labels, _body(segment))


def _shown(body: bytes) -> bytes:
    # an id holds nothing that JSON would escape, and no question mark
    return b"{%b%b" % (body.partition(_LINKED)[2], CLOSING)


def _body(segment: Segment) -> bytes:
    segment_id = segment.id.encode()
    # joined, the result is no larger than it must be. orjson's keeps its whole work buffer alive, 16 kB for each
    parts = (
        segment_id,
        _LINKED,
        b'"id":"',
        segment_id,
        b'","metadata":{"displayName":',
        orjson.dumps(segment.display_name),
        b',"description":',
        orjson.dumps(segment.description),
        b',"createdAt":"',
        segment.created_at.encode(),
        b'","modifiedAt":"',
        segment.modified_at.encode(),
        b'","createdBy":',
        segment.created_by.shown,
        b',"modifiedBy":',
        segment.modified_by.shown,
        b'},"roles":',
        segment.roles.shown,
        b',"data":',
        # sorted, so that the bytes do not depend on which server wrote the resource out
        orjson.dumps(segment.data, option=orjson.OPT_SORT_KEYS),
        b',"labels":',
        orjson.dumps(segment.labels),
    )
    return b"".join(parts)

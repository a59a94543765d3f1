"""What a segment is: the values that the API shows, free of how Kubernetes keeps them.

Authors and roles hold their JSON and are shared by the segments that read the same: `segsvc.domain.codec` makes few of
them however many segments there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

JsonObject = dict[str, Any]

DEFAULT_EDITOR = "segment_job_edit"
DEFAULT_VIEWER = "segment_job_view"


@dataclass(frozen=True, slots=True)
class Author:
    """Who created or changed a segment; a user without an e-mail address has an empty one."""

    name: str = ""
    email: str = ""
    shown: bytes = field(init=False, repr=False, compare=False)
    """The JSON that the API shows."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shown", orjson.dumps({"name": self.name, "email": self.email}))


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of which any one lets a caller change (``editor``) or only read (``viewer``) a segment."""

    editor: tuple[str, ...] = (DEFAULT_EDITOR,)
    viewer: tuple[str, ...] = (DEFAULT_VIEWER,)
    readers: frozenset[str] = field(init=False, repr=False, compare=False)
    """Any of these lets a caller read."""
    shown: bytes = field(init=False, repr=False, compare=False)
    """The JSON that the API shows."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "readers", frozenset(self.editor + self.viewer))
        object.__setattr__(self, "shown", orjson.dumps({"editor": self.editor, "viewer": self.viewer}))


@dataclass(slots=True)
class Segment:
    """A segment job.

    ``created_at`` and ``modified_at`` are timestamps as `timestamp` writes them, or empty: text, because text is
    what both sides of this service carry, and in this form it sorts as the time does. ``data`` is the
    operator's SegmentSpec and is carried unchanged.
    """

    # Final for the type checker: frozen, each of a hundred thousand would take five times as long to make
    id: Final[str]
    display_name: Final[str]
    description: Final[str]
    roles: Final[Roles]
    labels: Final[tuple[str, ...]]
    data: Final[Mapping[str, Any]]
    created_at: Final[str] = ""
    modified_at: Final[str] = ""
    created_by: Final[Author] = Author()
    modified_by: Final[Author] = Author()


def timestamp(moment: datetime) -> str:
    """Write an aware datetime as ``2020-03-18T18:08:31.850``: UTC, milliseconds, no zone."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")

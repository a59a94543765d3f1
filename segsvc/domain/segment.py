"""What a segment is: the values that the API shows, free of how Kubernetes keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

JsonObject = dict[str, Any]

DEFAULT_EDITOR = "segment_job_edit"
DEFAULT_VIEWER = "segment_job_view"


@dataclass(frozen=True, slots=True)
class Author:
    """Who created or changed a segment; a user without an e-mail address has an empty one."""

    name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of which any one lets a caller change (``editor``) or only read (``viewer``) a segment."""

    editor: tuple[str, ...] = (DEFAULT_EDITOR,)
    viewer: tuple[str, ...] = (DEFAULT_VIEWER,)

    @property
    def readers(self) -> frozenset[str]:
        """Any of these lets a caller read."""
        return frozenset(self.editor + self.viewer)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment job.

    ``created_at`` and ``modified_at`` are timestamps as `timestamp` writes them, or empty: text, because text is
    what both sides of this service carry, and in this form it sorts as the time does. ``data`` is the
    operator's SegmentSpec and is carried unchanged.
    """

    id: str
    display_name: str
    description: str
    roles: Roles
    labels: tuple[str, ...]
    data: Mapping[str, Any]
    created_at: str = ""
    modified_at: str = ""
    created_by: Author = Author()
    modified_by: Author = Author()


def timestamp(moment: datetime) -> str:
    """Write an aware datetime as ``2020-03-18T18:08:31.850``: UTC, milliseconds, no zone."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def document(segment: Segment) -> JsonObject:
    """Write a segment as the JSON object that the API shows, all but its ``links``."""
    return {
        "id": segment.id,
        "metadata": {
            "displayName": segment.display_name,
            "description": segment.description,
            "createdAt": segment.created_at,
            "modifiedAt": segment.modified_at,
            "createdBy": {"name": segment.created_by.name, "email": segment.created_by.email},
            "modifiedBy": {"name": segment.modified_by.name, "email": segment.modified_by.email},
        },
        "roles": {"editor": list(segment.roles.editor), "viewer": list(segment.roles.viewer)},
        "data": segment.data,
        "labels": list(segment.labels),
    }

"""What the API shows of a segment, spelled out anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segsvc.domain.segment import Segment


def document(segment: Segment) -> dict[str, Any]:
    """The JSON object that the API shows of a segment, all but its ``links``."""
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

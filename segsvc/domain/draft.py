"""What a caller asks a segment to be, and how that becomes the segment."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from segsvc.domain.segment import Author, Roles, Segment


@dataclass(frozen=True, slots=True)
class Draft:
    """A valid body of a create or an update. ``None`` stands for what the caller left out."""

    id: str | None
    display_name: str
    description: str
    editor: tuple[str, ...] | None
    viewer: tuple[str, ...] | None
    labels: tuple[str, ...]
    data: Mapping[str, Any]

    def create(self, segment_id: str, *, author: Author, now: str) -> Segment:
        """Make the new segment; role lists left out get their defaults."""
        return Segment(
            id=segment_id,
            display_name=self.display_name,
            description=self.description,
            roles=self._roles(Roles()),
            labels=self.labels,
            data=self.data,
            created_at=now,
            created_by=author,
        )

    def update(self, segment: Segment, *, author: Author, now: str) -> Segment:
        """Make the changed segment; role lists left out stay as they were, everything else is overwritten."""
        return replace(
            segment,
            display_name=self.display_name,
            description=self.description,
            roles=self._roles(segment.roles),
            labels=self.labels,
            data=self.data,
            modified_at=now,
            modified_by=author,
        )

    def _roles(self, fallback: Roles) -> Roles:
        return Roles(
            editor=fallback.editor if self.editor is None else self.editor,
            viewer=fallback.viewer if self.viewer is None else self.viewer,
        )

"""Entries again, from what the index gives of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segsvc.index.entry import Entry
    from segsvc.index.query import Selection
    from segsvc.index.views import View


def entries_in(view: View, offset: int = 0, count: int | None = None, *, sort: str | None = None) -> list[Entry]:
    """Return some of the entries in view, or all."""
    slots = view.slice(offset, len(view) if count is None else count, sort=sort)
    held = view._views.contents.slots.entries
    return [held[slot] for slot in slots.tolist()]


def ids_on(selection: Selection) -> list[str]:
    """Return the ids of what is on a page."""
    return [body.partition(b"?")[0].decode() for body in selection.bodies]

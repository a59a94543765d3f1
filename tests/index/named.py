"""Display names by id, searched with the index itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segsvc.index.search import SearchIndex, asked

if TYPE_CHECKING:
    from collections.abc import Mapping


class Names:
    """A `SearchIndex` that is spoken to in ids, with slots given out as the store does it."""

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.index = SearchIndex()
        self._names: dict[str, str] = {}
        self._slots: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        for slot, (segment_id, name) in enumerate((names or {}).items()):
            self._names[segment_id], self._slots[segment_id], self._ids[slot] = name, slot, segment_id
        self.index.extend(0, list(self._names.values()))

    def put(self, segment_id: str, name: str) -> None:
        """Take in a name, in place of the one that this id had."""
        slot = self._slots.get(segment_id)
        if slot is None:
            slot = next(number for number in range(len(self._ids) + 1) if number not in self._ids)
        else:
            self.index.remove(slot, self._names[segment_id])
        self.index.put(slot, name)
        self._names[segment_id], self._slots[segment_id], self._ids[slot] = name, slot, segment_id

    def remove(self, segment_id: str) -> None:
        """Forget an id, where it is known."""
        if segment_id in self._names:
            slot = self._slots.pop(segment_id)
            del self._ids[slot]
            self.index.remove(slot, self._names.pop(segment_id))

    def search(self, text: str) -> dict[str, int]:
        """Return the ids of all names that match, each with its rank."""
        found = self.index.search(asked(text))
        slots = found.slots.tolist()
        assert slots == sorted(set(slots))
        return {self._ids[slot]: rank for slot, rank in zip(slots, found.ranks.tolist(), strict=True)}

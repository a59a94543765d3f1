"""The segments by slot: a small number that stands for a segment in all arrays of the index.

A list of the whole namespace comes in the order of ids, and so slots are given out: arrays in that order are then read
from front to back. A slot that became free is given out again. What orders need to know of each segment stands in
columns, so that none has to be looked for in a hundred thousand bodies at once.
"""

from array import array
from collections.abc import KeysView
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segsvc.domain.segment import Roles
from segsvc.index.entry import DIGEST_SIZE, Entry, Version, body_digest

SlotArray = NDArray[np.int32]
_Digest = np.complex128  # a type of `DIGEST_SIZE` bytes that numpy moves as one

ID, DISPLAY_NAME, CREATED_AT, MODIFIED_AT = "id", "displayName", "createdAt", "modifiedAt"
"""What lists can be sorted by."""

PREFIX = 24
"""How many bytes of a display name are at hand for sorting."""


class Sortable(Protocol):
    """What lists are sorted by: a segment has it at hand, an entry finds it in its body."""

    @property
    def display_name(self) -> str:
        """Any text that is not blank."""

    @property
    def created_at(self) -> str:
        """A timestamp, or empty."""

    @property
    def modified_at(self) -> str:
        """A timestamp, or empty."""


_FREE = Entry("", Version("", 0), Roles(), (), b"")
_UNMADE = bytes(DIGEST_SIZE)


class Slots:
    """Entries and columns by slot. Columns of a free slot say nothing."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.bodies: list[bytes] = []
        """Those of the entries: a page needs nothing else of its segments, and each of them is far from the others."""
        self.classes = array("I")
        """Numbers of `segsvc.index.classes.Classes`."""
        self.created = array("q")
        self.modified = array("q")
        """Both as numbers of which a later time has the greater; -1 where there is none."""
        self.prefixes = bytearray()
        """As `prefix` has it."""
        self._class_numbers: NDArray[np.uint32] | None = None
        self._digests = bytearray()
        self._slots: dict[str, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        """Return the number of segments."""
        return len(self._slots)

    @property
    def ids(self) -> KeysView[str]:
        """The ids of all segments, in no order."""
        return self._slots.keys()

    @property
    def capacity(self) -> int:
        """How many slots there are, the free ones included."""
        return len(self.entries)

    def find(self, segment_id: str) -> int | None:
        """Return the slot of a segment, or None."""
        return self._slots.get(segment_id)

    def get(self, segment_id: str) -> Entry | None:
        """Return a segment, or None."""
        slot = self._slots.get(segment_id)
        return None if slot is None else self.entries[slot]

    @property
    def class_numbers(self) -> NDArray[np.uint32]:
        """`classes` as an array, to be used at once: nothing can be added while anyone holds it."""
        if self._class_numbers is None:
            self._class_numbers = np.frombuffer(self.classes, np.uint32)
        return self._class_numbers

    def digests(self, slots: SlotArray) -> bytes:
        """Return the digests of the bodies in some slots, one behind the other. Each is made when first asked for."""
        found = np.frombuffer(self._digests, _Digest).take(slots).tobytes()
        if _UNMADE in found:
            for slot in slots.tolist():
                self.make_digest(slot)
            found = np.frombuffer(self._digests, _Digest).take(slots).tobytes()
        return found

    def make_digest(self, slot: int) -> None:
        """Make the digest of the body in a slot, if there is such a slot and it is not made yet."""
        start, end = slot * DIGEST_SIZE, (slot + 1) * DIGEST_SIZE
        if self._digests[start:end] == _UNMADE:
            self._digests[start:end] = body_digest(self.bodies[slot])

    def name(self, slot: int) -> str:
        """Return the display name of the segment in a slot. Most are at hand, and need not be sought in a body."""
        short = self.prefixes[slot * PREFIX : (slot + 1) * PREFIX]
        return self.entries[slot].display_name if short[-1] else short.rstrip(b"\0").decode()

    def add(self, entry: Entry, shown: Sortable, *, class_: int) -> int:
        """Take in a segment whose id is new; return its slot."""
        if self._free:
            slot = self._free.pop()
            self._slots[entry.id] = slot
            self.replace(slot, entry, shows=True)
            self.classes[slot] = class_
            self.place(slot, shown)
            return slot
        slot = self._slots[entry.id] = len(self.entries)
        self.entries.append(entry)
        self.bodies.append(entry.body)
        self._class_numbers = None
        self.classes.append(class_)
        self._digests += _UNMADE
        self.created.append(_number(shown.created_at))
        self.modified.append(_number(shown.modified_at))
        self.prefixes += prefix(shown.display_name)
        return slot

    def replace(self, slot: int, entry: Entry, *, shows: bool) -> None:
        """Take in a segment's new state, in which something new ``shows`` or not."""
        self.entries[slot] = entry
        self.bodies[slot] = entry.body
        if shows:
            self._digests[slot * DIGEST_SIZE : (slot + 1) * DIGEST_SIZE] = _UNMADE

    def place(self, slot: int, shown: Sortable) -> None:
        """Take in what lists are sorted by, once that has changed."""
        self.created[slot] = _number(shown.created_at)
        self.modified[slot] = _number(shown.modified_at)
        self.prefixes[slot * PREFIX : (slot + 1) * PREFIX] = prefix(shown.display_name)

    def remove(self, segment_id: str) -> int:
        """Forget a segment; return the slot that it had."""
        slot = self._slots.pop(segment_id)
        self.entries[slot] = _FREE
        self.bodies[slot] = b""
        self._free.append(slot)
        return slot


def _number(timestamp: str) -> int:
    """Return a number for a timestamp that is greater for a later one; least for an empty one."""
    return int(timestamp.encode().translate(None, b"-T:.")) if timestamp else -1


def prefix(name: str) -> bytes:
    """Return the first bytes of a name, always as many. UTF-8 sorts as code points do.

    The last is 0 if they are all of it, and 1 if there may be another name with the same.
    """
    text = name.encode()
    if len(text) >= PREFIX or b"\0" in text:
        return text[: PREFIX - 1].ljust(PREFIX - 1, b"\0") + b"\1"
    return text.ljust(PREFIX, b"\0")

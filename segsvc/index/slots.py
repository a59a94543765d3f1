"""The segments by slot: a small number that stands for a segment in all arrays of the index.

A list of the whole namespace comes in the order of ids, and so slots are given out: arrays in that order are then read
from front to back. A slot that became free is given out again. What orders need to know of each segment stands in
columns, so that none has to be looked for in a hundred thousand bodies at once.
"""

from array import array
from collections.abc import KeysView, Sequence
from itertools import count
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segsvc.domain.segment import Roles
from segsvc.index.entry import DIGEST_SIZE, Entry, Version

SlotArray = NDArray[np.int64]
"""As numpy looks things up where addresses have as many bits: it makes this of all others first."""
SomeSlots = NDArray[np.signedinteger[Any]]
"""In however many bits."""
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


class Batch:
    """Segments that are to be taken in together, with what lists are sorted by: one column of each.

    No more is held of them than that takes: whatever holds their data would keep the garbage collector busy.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.display_names: list[str] = []
        self.created: list[str] = []
        self.modified: list[str] = []

    def __len__(self) -> int:
        """Return the number of segments."""
        return len(self.entries)

    def extend(self, entries: Sequence[Entry], shown: Sequence[Sortable]) -> None:
        """Add segments, and what each entry was made of."""
        self.entries += entries
        self.display_names += [one.display_name for one in shown]
        self.created += [one.created_at for one in shown]
        self.modified += [one.modified_at for one in shown]


_MILLISECONDS = np.dtype("datetime64[ms]")
_FREE = Entry("", Version("", 0), Roles(), (), b"")
UNMADE = bytes(DIGEST_SIZE)
"""In place of a digest that nobody has asked for yet."""


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
        """Both as numbers of which a later time has the greater, and none has the least."""
        self.prefixes = bytearray()
        """As `prefix` has it."""
        self._class_numbers: NDArray[np.uint32] | None = None
        self._digests = bytearray()  # of as many slots as there were when one was last asked for
        self._digest_array: NDArray[Any] | None = None  # the same
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

    def digests(self, slots: SomeSlots) -> bytes:
        """Return the digests of the bodies in some slots, one behind the other; `UNMADE` where it has not been made."""
        self._make_room_for_digests()
        if self._digest_array is None:
            self._digest_array = np.frombuffer(self._digests, _Digest)
        return self._digest_array.take(slots).tobytes()

    def keep_digest(self, slot: int, body: bytes, digest: bytes) -> None:
        """Keep the digest of a body, if that is still the one in this slot."""
        if slot < self.capacity and self.bodies[slot] is body:
            self._make_room_for_digests()
            self._digests[slot * DIGEST_SIZE : (slot + 1) * DIGEST_SIZE] = digest

    def _make_room_for_digests(self) -> None:
        missing = self.capacity * DIGEST_SIZE - len(self._digests)
        if missing:
            self._digest_array = None  # what is looked into cannot be made longer
            self._digests += bytes(missing)

    def name(self, slot: int) -> str:
        """Return the display name of the segment in a slot. Most are at hand, and need not be sought in a body."""
        short = self.prefixes[slot * PREFIX : (slot + 1) * PREFIX]
        return self.entries[slot].display_name if short[-1] else short.rstrip(b"\0").decode()

    def add(self, entry: Entry, shown: Sortable, *, class_: int) -> int:
        """Take in a segment whose id is new; return its slot."""
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self.entries)
            self._class_numbers = None
            self.entries.append(_FREE)
            self.bodies.append(b"")
            self.classes.append(0)
            self.created.append(0)
            self.modified.append(0)
            self.prefixes += bytes(PREFIX)
        self._slots[entry.id] = slot
        self.replace(slot, entry, shows=True)
        self.classes[slot] = class_
        self.place(slot, shown)
        return slot

    def extend(self, batch: Batch, *, classes: Sequence[int]) -> None:
        """Take in segments whose ids are new, in slots that none has had."""
        self._slots.update(zip([entry.id for entry in batch.entries], count(len(self.entries)), strict=False))
        self._class_numbers = None
        self.entries += batch.entries
        self.bodies += [entry.body for entry in batch.entries]
        self.classes.extend(classes)
        self.created.frombytes(_numbers(batch.created).tobytes())
        self.modified.frombytes(_numbers(batch.modified).tobytes())
        self.prefixes += joined_prefixes(batch.display_names)

    def replace(self, slot: int, entry: Entry, *, shows: bool) -> None:
        """Take in a segment's new state, in which something new ``shows`` or not."""
        self.entries[slot] = entry
        self.bodies[slot] = entry.body
        start, end = slot * DIGEST_SIZE, (slot + 1) * DIGEST_SIZE
        if shows and end <= len(self._digests):
            self._digests[start:end] = UNMADE

    def place(self, slot: int, shown: Sortable) -> None:
        """Take in what lists are sorted by, once that has changed."""
        self.created[slot], self.modified[slot] = _numbers([shown.created_at, shown.modified_at]).tolist()
        self.prefixes[slot * PREFIX : (slot + 1) * PREFIX] = prefix(shown.display_name)

    def remove(self, segment_id: str) -> int:
        """Forget a segment; return the slot that it had."""
        slot = self._slots.pop(segment_id)
        self.entries[slot] = _FREE
        self.bodies[slot] = b""
        self._free.append(slot)
        return slot


def _numbers(timestamps: Sequence[str]) -> NDArray[np.int64]:
    """Return a number for each timestamp that is greater for a later one; least for an empty one."""
    return np.array(timestamps, _MILLISECONDS).view(np.int64)


def prefix(name: str) -> bytes:
    """Return the first bytes of a name, always as many. UTF-8 sorts as code points do.

    The last is 0 if they are all of it, and 1 if there may be another name with the same.
    """
    text = name.encode()
    if len(text) >= PREFIX or 0 in text:
        return text[: PREFIX - 1].ljust(PREFIX - 1, b"\0") + b"\1"
    return text.ljust(PREFIX, b"\0")


def joined_prefixes(names: Sequence[str]) -> bytes:
    """Return `prefix` of each name, one behind the other: for many in half the time."""
    texts = [name.encode() for name in names]
    lines = np.array(texts, f"S{PREFIX}").view(np.uint8).reshape(-1, PREFIX)
    lines[:, -1] = [len(text) >= PREFIX or 0 in text for text in texts]
    return lines.tobytes()

"""Classes: segments with the same readers (viewer and editor roles together) are one, whatever else differs.

A caller sees whole classes, so what a caller sees is told by one flag for each class, however many segments there are.
Classes have numbers; one that became empty gives its number back.
"""

import numpy as np

from segsvc.index.postings import Postings

NO_CLASS = 0
"""The number of a class that no segment is ever in, and that nobody sees."""
_LEAST = 64

Readers = frozenset[str]


class Classes:
    """Classes by number, with the number of segments in each. None is empty but `NO_CLASS`."""

    def __init__(self) -> None:
        self.counts = [0]
        """By number; 0 for a number that is free."""
        self._numbers: dict[Readers, int] = {}
        self._readers: list[Readers] = [frozenset()]
        self._free: list[int] = []
        self._of_role: Postings[str] = Postings("I")

    @property
    def capacity(self) -> int:
        """A size for flags: all numbers are below it, and it seldom changes."""
        capacity = _LEAST
        while capacity < len(self.counts):
            capacity *= 2
        return capacity

    def join(self, readers: Readers) -> int:
        """Add a segment to a class; return its number. The class is new if there is one segment in it then."""
        number = self._numbers.get(readers)
        if number is None:
            number = self._open(readers)
        self.counts[number] += 1
        return number

    def leave(self, number: int) -> None:
        """Take a segment out of a class, which ends with its last."""
        self.counts[number] -= 1
        if not self.counts[number]:
            readers = self._readers[number]
            del self._numbers[readers]
            for role in readers:
                self._of_role.remove(role, number)
            self._free.append(number)

    def readers(self, number: int) -> Readers:
        """Return which roles may read segments of a class."""
        return self._readers[number]

    def seen_with(self, roles: Readers) -> bytearray:
        """Return flags by number: 1 for the classes that a caller with these roles sees."""
        flags = bytearray(self.capacity)
        seen = np.frombuffer(flags, np.bool_)
        for role in roles:
            numbers = self._of_role.get(role)
            if numbers is not None:
                seen[np.frombuffer(numbers, np.uint32)] = True
        return flags

    def _open(self, readers: Readers) -> int:
        if self._free:
            number = self._free.pop()
            self._readers[number] = readers
        else:
            number = len(self.counts)
            self.counts.append(0)
            self._readers.append(readers)
        self._numbers[readers] = number
        for role in readers:
            self._of_role.add(role, number)
        return number

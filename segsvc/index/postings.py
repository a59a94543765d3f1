"""Who has what: for each key the sorted numbers of those that have it, four or eight bytes each.

Keys without anyone are not held. What numpy reads of an array must be gone before the array changes, which is so where
it is used within one call.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import Generic, TypeVar

_Key = TypeVar("_Key")


class Postings(Generic[_Key]):
    """Sorted arrays of numbers by key. ``typecode`` is that of the module `array`."""

    def __init__(self, typecode: str) -> None:
        self._typecode = typecode
        self._arrays: dict[_Key, array[int]] = {}

    def get(self, key: _Key) -> "array[int] | None":
        """Return the numbers under a key, or None if there are none."""
        return self._arrays.get(key)

    def items(self) -> "list[tuple[_Key, array[int]]]":
        """Return all keys with their numbers."""
        return list(self._arrays.items())

    def add(self, key: _Key, number: int) -> None:
        """Add a number, unless the key has it."""
        numbers = self._arrays.get(key)
        if numbers is None:
            self._arrays[key] = array(self._typecode, (number,))
        else:
            put(numbers, number)

    def extend(self, key: _Key, numbers: Iterable[int]) -> None:
        """Add numbers, upwards, which are above all that the key has."""
        held = self._arrays.setdefault(key, array(self._typecode))
        held.fromlist(list(dict.fromkeys(numbers)))  # one may be named twice

    def remove(self, key: _Key, number: int) -> None:
        """Remove a number, where the key has it."""
        numbers = self._arrays.get(key)
        if numbers is not None:
            take(numbers, number)
            if not numbers:
                del self._arrays[key]


def put(numbers: "array[int]", number: int) -> None:
    """Add a number to a sorted array, unless it is there."""
    last = numbers[-1] if numbers else -1
    if last < number:
        numbers.append(number)  # as while a list is taken in
    elif last > number:
        at = bisect_left(numbers, number)
        if numbers[at] != number:
            numbers.insert(at, number)


def take(numbers: "array[int]", number: int) -> None:
    """Remove a number from a sorted array, where it is there."""
    at = bisect_left(numbers, number)
    if at < len(numbers) and numbers[at] == number:
        del numbers[at]

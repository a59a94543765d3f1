"""Names as they come by the thousand: the words of many are found at once, and the places of each put together.

One name after the other, most of the time would go into Python's steps from word to word, and into arrays of places
that are in no cache: so each of these is gone to once for thousands of names.
"""

from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from segsvc.index.matches import POSITION_BITS
from segsvc.index.words import word

MAX_WORDS = (1 << POSITION_BITS) - 1
"""Of a name; an annotation has no room for as many."""

MAX_CHARACTERS = 1 << 18
"""Of names that are taken in together, so that it takes some milliseconds and megabytes."""

_PLACE_BITS = POSITION_BITS + 24  # for sixteen million slots; the number of a word has room in what is left
_PLACE = (1 << _PLACE_BITS) - 1
# as many again have room, of which those that come before the next look are half: a word and what is behind it take two
# characters, and an annotation has no more than `MAX_CHARACTERS`
_MOST_WORDS = 1 << (62 - _PLACE_BITS)
_SIZE = np.dtype(np.int64).itemsize

_BREAK = "\n"
_AT_BREAK, _OTHER = -1, -2  # in place of the number of a word

_LONGEST_KEPT = 32
_MOST_KEPT = 16384  # which take 3 MB


class Intake:
    """Words of names, with their places, that are yet to be put to those that are known of each word."""

    def __init__(self) -> None:
        self._numbers = _Numbers()
        self._found = array("q")  # a word's number and, in the lower bits, a place

    def __len__(self) -> int:
        """Return the number of places."""
        return len(self._found)

    def extend(self, slot: int, names: Sequence[str]) -> list[int]:
        """Add the words of the names of this slot and the next ones.

        Return the slots of those that hold anything else than words with single spaces between them: they are left to
        `add`. Several names must have no more than `MAX_CHARACTERS` in all.
        """
        parts = f" {_BREAK} ".join(names).split(" ")
        # of a list: an array makes one thrice as fast as of an iterator
        numbers = np.frombuffer(array("q", list(map(self._numbers.__getitem__, parts))), np.int64)
        ends = np.append(np.flatnonzero(numbers == _AT_BREAK), len(numbers))
        if len(ends) != len(names):  # a line break stands in one of them
            return list(range(slot, slot + len(names)))
        sizes = np.diff(ends, prepend=-1)  # with the break
        name = np.repeat(np.arange(len(names)), sizes)[: len(numbers)]  # of each part
        positions = np.arange(len(numbers)) - (ends - sizes + 1).take(name)
        is_left = np.zeros(len(names), np.bool_)
        is_left[name[numbers == _OTHER]] = True
        places = ((name + slot) << POSITION_BITS) + positions
        found = (numbers << _PLACE_BITS) + places
        self._found.frombytes(found[(numbers >= 0) & ~is_left.take(name)].tobytes())
        return (np.flatnonzero(is_left) + slot).tolist()

    def add(self, slot: int, words: Sequence[str]) -> None:
        """Add the words of the name of a slot."""
        for place, known in enumerate(words[:MAX_WORDS], slot << POSITION_BITS):
            self._found.append((self._numbers.of_word(known) << _PLACE_BITS) + place)

    def take(self) -> Iterator[tuple[str, bytes]]:
        """Yield all words, each once, and its places, upwards, as the bytes of an `array` of type ``q``.

        They are not held any more when the first is asked for.
        """
        found, self._found = np.sort(np.frombuffer(self._found, np.int64)), array("q")
        words = self._numbers.words
        if len(words) > _MOST_WORDS:
            self._numbers = _Numbers()
        numbers, places = found >> _PLACE_BITS, (found & _PLACE).tobytes()
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        ends = [*(starts[1:] * _SIZE).tolist(), len(places)]
        for number, start, end in zip(numbers.take(starts).tolist(), (starts * _SIZE).tolist(), ends, strict=True):
            yield words[number], places[start:end]


class _Numbers(dict[str, int]):
    """Words, numbered as they come. The numbers are those of what stands between two spaces of a name."""

    def __init__(self) -> None:
        self.words: list[str] = []
        """By number."""
        self._of_words: dict[str, int] = {}
        self[_BREAK] = _AT_BREAK

    def of_word(self, known: str) -> int:
        """Return the number of a word."""
        number = self._of_words.get(known)
        if number is None:
            number = self._of_words[known] = len(self.words)
            self.words.append(known)
        return number

    def __missing__(self, part: str) -> int:
        known = word(part)
        number = _OTHER if known is None else self.of_word(known)
        if len(part) <= _LONGEST_KEPT:
            if len(self) >= _MOST_KEPT:
                self.clear()
                self[_BREAK] = _AT_BREAK
            self[part] = number
        return number

"""The distinct words of all names: which of them a word of a search begins, stands in, or is a misspelling of.

Names share words: a hundred thousand of them may have some thousand, so what is sought is sought among those. What is
worked out from all words, for a search, follows new ones when it is next needed.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import OSA

from segsvc.index.words import MAX_EDITS, edits_allowed, edits_between_lengths

_LONGEST = 255
_BETWEEN = "\n"
_AFTER_ALL = "\U0010ffff"  # no letter, and no letter is greater


class Vocabulary:
    """Words, to which any number can be added. To take some away, begin anew."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._lengths = array("B")
        self._letters = array("Q")
        # these have the first of the words only, as many as there were when last needed
        self._sorted: list[str] = []
        self._starts: list[int] = []
        self._text = ""

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self._words)

    def add(self, word: str) -> None:
        """Take in a word that is new."""
        self._words.append(word)
        self._lengths.append(min(len(word), _LONGEST))
        self._letters.append(_letters(word))

    def settle(self) -> None:
        """Work out what the next search needs: worth it beforehand where there are new words by the thousand."""
        new = self._words[len(self._sorted) :]
        if not new:
            return
        self._sorted.extend(new)
        self._sorted.sort()  # what was sorted is one run of it, and quick to merge
        start = len(self._text)
        for word in new:
            self._starts.append(start)
            start += len(word) + len(_BETWEEN)
        self._text += _BETWEEN.join(new) + _BETWEEN

    def begun(self, word: str) -> list[str]:
        """Return all words that begin with this one, itself included."""
        self.settle()
        first = bisect_left(self._sorted, word)
        if first == len(self._sorted) or not self._sorted[first].startswith(word):
            return []
        return self._sorted[first : bisect_left(self._sorted, word + _AFTER_ALL, first)]

    def within(self, word: str) -> Iterator[str]:
        """Yield all words in which this one stands, also at their beginning."""
        self.settle()
        found = self._text.find(word)
        while found >= 0:
            number = bisect_right(self._starts, found) - 1
            yield self._words[number]
            if number + 1 == len(self._starts):
                return
            found = self._text.find(word, self._starts[number + 1])

    def misspelled(self, word: str) -> Iterator[tuple[str, int]]:
        """Yield all words that this one may be a misspelling of, each with the number of edits."""
        if not self._words:
            return
        allowed = _differing_letters(len(word))
        differing = np.bitwise_count(np.frombuffer(self._letters, np.uint64) ^ np.uint64(_letters(word)))
        near = np.flatnonzero(differing < allowed.take(np.frombuffer(self._lengths, np.uint8)))
        known = [self._words[number] for number in near.tolist()]
        for other, edits, _ in process.extract(
            word, known, scorer=OSA.distance, processor=None, score_cutoff=MAX_EDITS, limit=None
        ):
            if edits <= edits_allowed(word, other):
                yield other, int(edits)


def _letters(word: str) -> int:
    """Return which letters a word has, as bits; letters may share one."""
    bits = 0
    for letter in word:
        bits |= 1 << (ord(letter) & 63)
    return bits


@lru_cache(maxsize=256)
def _differing_letters(asked: int) -> NDArray[np.uint8]:
    """Return by length of a known word how many letters must not be in one only of it and of a word of a search.

    An edit makes a difference of two at most: the letter that was changed, and what it was changed to.
    """
    allowed = [edits_between_lengths(asked, known) for known in range(_LONGEST + 1)]
    return np.array(
        [2 * edits + 1 if edits and abs(asked - known) <= edits else 0 for known, edits in enumerate(allowed)], np.uint8
    )

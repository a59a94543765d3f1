"""Fuzzy search on display names.

The rules, which docs/search.md tells the API's users:

- Names and searches are split into words, without case and accents (`segsvc.index.words`). The order of the words
  of a search does not matter; each must match the name in one of these ways, from the best to the worst:
  0 it is a word of the name;
  1 it begins one, or two or more neighbouring words of the name written together are it or begin with it;
  2 it stands within one, if it has three letters or more;
  3, 4 it is one or two edits away from one: one edit is allowed from four letters on, two from eight, counted in the
    longer of the two words; an edit adds, drops or changes a letter or swaps two neighbours; the digits must be right.
- Two neighbouring words of a search may also match together, written as one word: if that is a word of the name or
  begins one, this counts as 1.
- A search without letters and digits matches names that hold it as it stands, case and accents aside.
- A name's rank is the sum over the search's words; lower is better.

Names share words, so the work is done on the distinct words: each leads to the names that hold it.
"""

from collections.abc import Iterable, Mapping
from functools import cache

from rapidfuzz import process
from rapidfuzz.distance import OSA

from segsvc.index.words import MAX_EDITS, edits_allowed, fold, words

EXACT, BEGUN, WITHIN, MISSPELLED = 0, 1, 2, 2
"""Ranks of a word's match; a misspelling's is MISSPELLED and the number of edits."""

INNER_LENGTH = 3

_Matches = dict[str, int]


class SearchIndex:
    """Display names by the words in them. Holds one name per id."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._ids: dict[str, set[str]] = {}  # by word

    def put(self, segment_id: str, name: str) -> None:
        """Take in a name, in place of the one that this id had."""
        self.remove(segment_id)
        self._names[segment_id] = name
        for word in words(name):
            self._ids.setdefault(word, set()).add(segment_id)

    def remove(self, segment_id: str) -> None:
        """Forget an id, where it is known."""
        name = self._names.pop(segment_id, "")
        for word in set(words(name)):
            ids = self._ids[word]
            ids.discard(segment_id)
            if not ids:
                del self._ids[word]

    def rebuild(self, names: Mapping[str, str]) -> None:
        """Begin anew with these names by id."""
        self._names.clear()
        self._ids.clear()
        for segment_id, name in names.items():
            self.put(segment_id, name)

    def search(self, text: str) -> Mapping[str, int]:
        """Return the ids of all names that match, each with its rank. A search must not be blank."""
        asked = words(text)
        if not asked:
            held = fold(text).strip()
            if not held:  # nothing but accents
                return {}
            return {segment_id: EXACT for segment_id, name in self._names.items() if held in fold(name)}
        matches_of, matches_together = cache(self._word), cache(self._together)  # words may be asked repeatedly
        found = [matches_of(asked[0])]  # by how many words of the search have been matched
        for position in range(1, len(asked)):
            pair = matches_together(asked[position - 1] + asked[position])
            if position > 1:
                pair = _both(found[position - 2], pair)
            found.append(_either(_both(found[position - 1], matches_of(asked[position])), pair))
            if not found[-1] and not found[-2]:
                return {}  # the next words can only add to the last two
        return found[-1]

    def _word(self, word: str) -> _Matches:
        """Return the names that a single word of the search matches."""
        ranked = self._begun(word)
        if len(word) >= INNER_LENGTH:
            for known in self._ids:
                if word in known:
                    ranked.setdefault(known, WITHIN)
        for known, distance, _ in process.extract(
            word, self._ids.keys(), scorer=OSA.distance, processor=None, score_cutoff=MAX_EDITS, limit=None
        ):
            if distance <= edits_allowed(word, known):
                ranked.setdefault(known, MISSPELLED + int(distance))
        matches = self._names_of(ranked)
        for segment_id in self._apart(word):
            matches[segment_id] = min(matches.get(segment_id, BEGUN), BEGUN)
        return matches

    def _begun(self, word: str) -> dict[str, int]:
        ranked = {known: BEGUN for known in self._ids if known.startswith(word)}
        if word in ranked:
            ranked[word] = EXACT
        return ranked

    def _together(self, joined: str) -> _Matches:
        """Return the names that two neighbouring words of the search match when written together."""
        return self._names_of(dict.fromkeys(self._begun(joined), BEGUN))

    def _apart(self, word: str) -> Iterable[str]:
        """Return the names in which neighbouring words, written together, begin with this word."""
        for end in range(1, len(word)):
            for segment_id in self._ids.get(word[:end], ()):
                if begins_apart(word, words(self._names[segment_id])):
                    yield segment_id

    def _names_of(self, ranked: Mapping[str, int]) -> _Matches:
        matches: _Matches = {}
        for word, rank in sorted(ranked.items(), key=lambda item: item[1], reverse=True):
            matches.update(dict.fromkeys(self._ids[word], rank))  # the better rank comes later and stays
        return matches


def begins_apart(word: str, name: tuple[str, ...]) -> bool:
    """Tell whether two or more neighbouring words of a name, written together, begin with a word."""
    return any(
        # each word has a letter at least: more of them than the word has letters could not matter
        len(first) < len(word) and "".join(name[start : start + len(word)]).startswith(word)
        for start, first in enumerate(name)
        if word.startswith(first)
    )


def _both(left: _Matches, right: _Matches) -> _Matches:
    if len(right) < len(left):
        left, right = right, left
    return {segment_id: rank + right[segment_id] for segment_id, rank in left.items() if segment_id in right}


def _either(left: _Matches, right: _Matches) -> _Matches:
    if not left or not right:
        return left or right
    matches = dict(left)
    for segment_id, rank in right.items():
        matches[segment_id] = min(matches.get(segment_id, rank), rank)
    return matches

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

Names share words, so the work is done on the distinct words, and each leads to the places at which it stands: a slot
and a position in its name, as one number, so that the place after it is the next number. What a search costs is bounded
by its distinct words (at most 64 in 128 characters), each of which is sought once: a pass over the vocabulary, and one
over the places of the words that it matches.
"""

from array import array
from bisect import insort
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segsvc.index.intake import MAX_CHARACTERS, MAX_WORDS, Intake
from segsvc.index.matches import NOTHING, POSITION_BITS, Match, Places, Ranked, both, distinct, either
from segsvc.index.postings import Postings, take
from segsvc.index.vocabulary import Vocabulary
from segsvc.index.words import fold, words, words_and_signs

EXACT, BEGUN, WITHIN, MISSPELLED = 0, 1, 2, 2
"""Ranks of a word's match; a misspelling's is MISSPELLED and the number of edits."""

INNER_LENGTH = 3

_MANY = 1024
_ENOUGH = 24576
"""How many places of words there are before they are put to those of each word, which takes some milliseconds."""

Asked = tuple[tuple[str, ...], str]
"""A search's words, and what it is where it has none."""


def asked(text: str) -> Asked:
    """Take a search apart. Those that come out equal find the same."""
    found = words(text)
    return found, "" if found else fold(text).strip()


class SearchIndex:
    """Display names by the words in them. Knows of names by slot, and is told the old one when a name goes."""

    def __init__(self) -> None:
        self.stamp = object()
        """Stands for all names as they are now: another object after each change."""
        self._vocabulary = Vocabulary()
        self._places: dict[str, array[int]] = {}  # by word; empty for one that no name has any more
        self._unused = 0
        self._signs: Postings[str] = Postings("q")
        self._capacity = 0
        self._intake = Intake()

    def put(self, slot: int, name: str) -> None:
        """Take in the name of a slot that has none."""
        self._take_in()
        known, signs = words_and_signs(name)
        place = slot << POSITION_BITS
        for between in signs:
            self._signs.add(between, place)
        for word in known[:MAX_WORDS]:
            held = self._places.get(word)
            if held is None:
                self._vocabulary.add(word)
                self._places[word] = array("q", (place,))
            elif held and held[-1] < place:  # as while a list is taken in
                held.append(place)
            else:
                self._unused -= not held
                insort(held, place)
            place += 1
        if slot >= self._capacity:
            self._capacity = slot + 1
        self.stamp = object()

    def extend(self, slot: int, names: Sequence[str]) -> None:
        """Take in the names of this slot and the next ones, which are above all that have had one; none was removed.

        It takes a fraction of the time that one by one takes.
        """
        if len(names) > 1 and sum(map(len, names)) > MAX_CHARACTERS:
            for next_slot, name in enumerate(names, slot):
                self.extend(next_slot, [name])
            return
        for left in self._intake.extend(slot, names):
            known, signs = words_and_signs(names[left - slot])
            for between in signs:
                self._signs.add(between, left << POSITION_BITS)
            self._intake.add(left, known)
        # not sooner: the slots of those that were left lie between the others, and places must come upwards
        self._take_in(_ENOUGH)
        self._capacity = slot + len(names)
        self.stamp = object()

    def remove(self, slot: int, name: str) -> None:
        """Forget the name of a slot."""
        self._take_in()
        known, signs = words_and_signs(name)
        place = slot << POSITION_BITS
        for between in signs:
            self._signs.remove(between, place)
        for word in known[:MAX_WORDS]:
            held = self._places[word]
            take(held, place)
            if not held:
                self._unused += 1
            place += 1
        if self._unused > max(_MANY, len(self._places) // 2):
            self._compact()
        self.stamp = object()

    def settle(self) -> None:
        """Work out beforehand what the next search needs: worth it where there are many new words."""
        self._take_in()
        self._intake = Intake()  # whose words are only of use as long as there come more names at once
        self._vocabulary.settle()

    def search(self, asked: Asked) -> Ranked:
        """Return the slots of all names that match."""
        self._take_in()
        of_words, of_signs = asked
        if of_words:
            return _Search(self._vocabulary, self._places, self._capacity).find(of_words)
        if not of_signs:  # nothing but accents
            return NOTHING
        found = [places for between, places in self._signs.items() if of_signs in between]
        return Match([(EXACT, found)], self._capacity).ranked()

    def _take_in(self, least: int = 1) -> None:
        """Put the places that there are to those of their words, if there are as many."""
        if len(self._intake) < least:
            return
        for word, places in self._intake.take():
            held = self._places.get(word)
            if held is None:
                self._vocabulary.add(word)
                held = self._places[word] = array("q")
            held.frombytes(places)

    def _compact(self) -> None:
        self._places = {word: places for word, places in self._places.items() if places}
        self._vocabulary, self._unused = Vocabulary(), 0
        for word in self._places:
            self._vocabulary.add(word)


class _Search:
    """One search. What occurs in it repeatedly is sought once."""

    def __init__(self, vocabulary: Vocabulary, places: Mapping[str, "array[int]"], capacity: int) -> None:
        self._vocabulary = vocabulary
        self._places = places
        self._capacity = capacity

    def find(self, asked: tuple[str, ...]) -> Ranked:
        """Return the slots of all names that match these words."""
        pairs = {one + other for one, other in pairwise(asked)}
        together = {joined: match for joined in pairs if (match := self._together(joined)).size}
        if together:
            return self._in_turn(asked, together)
        matches = []
        for word, times in Counter(asked).items():
            match = self._word(word)
            if not match.size:
                return NOTHING
            matches.append((match, times))
        # the rarest first: all others are looked up for what remains
        (rarest, times), *others = sorted(matches, key=lambda item: item[0].size)
        found = rarest.ranked(times=times)
        for match, times in others:
            found = both(found, match, times=times)
        return found

    def _in_turn(self, asked: tuple[str, ...], together: dict[str, Match]) -> Ranked:
        """Match a search of which neighbouring words may match together."""
        match_of = cache(self._word)
        found = [match_of(asked[0]).ranked()]  # by how many words of the search have been matched
        for position in range(1, len(asked)):
            pair = together.get(asked[position - 1] + asked[position])
            paired = NOTHING
            if pair is not None:
                paired = pair.ranked() if position == 1 else both(found[position - 2], pair)
            single = both(found[-1], match_of(asked[position])) if found[-1] else NOTHING
            found.append(either(single, paired, capacity=self._capacity))
            if not found[-1] and not found[-2]:
                return NOTHING  # the next words can only add to the last two
        return found[-1]

    def _word(self, word: str) -> Match:
        """Match a single word."""
        ranks = dict.fromkeys(self._vocabulary.begun(word), BEGUN)
        if word in ranks:
            ranks[word] = EXACT
        if len(word) >= INNER_LENGTH:
            for known in self._vocabulary.within(word):
                ranks.setdefault(known, WITHIN)
            for known, edits in self._vocabulary.misspelled(word):
                ranks.setdefault(known, MISSPELLED + edits)
        found: dict[int, list[Places]] = {}
        for known, rank in ranks.items():
            found.setdefault(rank, []).append(self._places[known])
        apart = self._apart(word)
        if apart:
            found.setdefault(BEGUN, []).extend(apart)
        return Match(sorted(found.items()), self._capacity)

    def _together(self, joined: str) -> Match:
        """Match two neighbouring words of the search, written together."""
        return Match([(BEGUN, self._begun(joined))], self._capacity)

    def _begun(self, word: str) -> list[Places]:
        return [self._places[known] for known in self._vocabulary.begun(word)]

    def _apart(self, word: str) -> list[Places]:
        """Find neighbouring words that, written together, begin with this one; of each the place of the last."""
        found: list[NDArray[np.int64]] = []
        # by how much of the word has been matched: the places that must go on from there
        reached: dict[int, list[NDArray[np.int64]]] = {}
        for end in range(1, len(word)):
            first = self._at(word[:end])
            if first is not None:
                reached.setdefault(end, []).append(first + 1)
            if end not in reached:
                continue
            before = reached.pop(end)
            next_ = before[0] if len(before) == 1 else distinct(np.concatenate(before))
            last = self._begun(word[end:])
            if last:
                found.append(self._among(next_, np.frombuffer(b"".join(last), np.int64)))
            for further in range(end + 1, len(word)):
                inner = self._at(word[end:further])
                if inner is not None and len(inner := self._among(next_, inner)):
                    reached.setdefault(further, []).append(inner + 1)
        return [places.data for places in found if len(places)]

    def _at(self, word: str) -> NDArray[np.int64] | None:
        places = self._places.get(word)
        return np.frombuffer(places, np.int64) if places else None

    def _among(self, wanted: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the places that are among the wanted ones, which must be sorted."""
        if len(places) > _MANY:
            slots = np.zeros(self._capacity + 1, np.bool_)
            slots[wanted >> POSITION_BITS] = True
            places = places.compress(slots.take(places >> POSITION_BITS))
        at = wanted.searchsorted(places)
        return places.compress(wanted.take(at, mode="clip") == places)

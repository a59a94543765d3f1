"""The rules of search, written down a second time as plainly as possible: slow, and sharing no code with the index."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EXACT, BEGUN, WITHIN, ONE_EDIT, TWO_EDITS = range(5)


def search(names: Mapping[str, str], text: str) -> dict[str, int]:
    """Return the ids of the names that a search finds, with their ranks."""
    ranks = {segment_id: rank(text, name) for segment_id, name in names.items()}
    return {segment_id: found for segment_id, found in ranks.items() if found is not None}


def rank(text: str, name: str) -> int | None:
    """Return how well a name matches a search, 0 for best, or None."""
    asked, known = words_of(text), words_of(name)
    if asked:
        return rank_of_words(asked, known)
    sign = plain(text).strip()
    return EXACT if sign and sign in plain(name) else None


def plain(text: str) -> str:
    """Return a text without case and accents; good for the characters that these tests use."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


@cache
def words_of(text: str) -> tuple[str, ...]:
    """Split at all that is neither letter nor digit."""
    return tuple("".join(c if c.isalnum() else " " for c in plain(text)).split())


def rank_of_words(asked: tuple[str, ...], known: tuple[str, ...]) -> int | None:
    """Try every way to read the search: word by word, or two neighbours as one."""
    if not asked:
        return 0
    ways = [(rank_of_word(asked[0], known), asked[1:])]
    if len(asked) > 1:
        ways.append((rank_of_pair(asked[0] + asked[1], known), asked[2:]))
    totals = []
    for first, others in ways:
        rest = rank_of_words(others, known)
        if first is not None and rest is not None:
            totals.append(first + rest)
    return min(totals, default=None)


def rank_of_word(asked: str, known: tuple[str, ...]) -> int | None:
    """Return the best way in which a word of a search matches any word of a name, or neighbours of them."""
    ranks = []
    for word in known:
        if word == asked:
            ranks.append(EXACT)
        if word.startswith(asked):
            ranks.append(BEGUN)
        if len(asked) >= 3 and asked in word:
            ranks.append(WITHIN)
        edits = edits_between(asked, word)
        if edits == 1 and max(len(asked), len(word)) >= 4:
            ranks.append(ONE_EDIT)
        if edits == 2 and max(len(asked), len(word)) >= 8:
            ranks.append(TWO_EDITS)
    spans = [known[start:end] for start in range(len(known)) for end in range(start + 2, len(known) + 1)]
    if any("".join(span).startswith(asked) for span in spans):
        ranks.append(BEGUN)
    return min(ranks, default=None)


def rank_of_pair(joined: str, known: tuple[str, ...]) -> int | None:
    """Return how two words of a search, written as one, match a name."""
    return BEGUN if any(word.startswith(joined) for word in known) else None


def edits_between(one: str, other: str) -> int:
    """Return the edits between two words, or 3 where they are more than 2 or would touch a digit."""
    digits = [[character for character in word if character.isdigit()] for word in (one, other)]
    if digits[0] != digits[1] or abs(len(one) - len(other)) > 2:
        return 3
    return min(3, distance(one, other))


@cache
def distance(one: str, other: str) -> int:
    """Return the optimal string alignment distance: the textbook's table, row by row."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one) + 1):
        for j in range(len(other) + 1):
            if i == 0 or j == 0:
                table[i][j] = i + j
                continue
            table[i][j] = min(
                table[i - 1][j] + 1,
                table[i][j - 1] + 1,
                table[i - 1][j - 1] + (one[i - 1] != other[j - 1]),
            )
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]

"""How texts become words, for names and for searches alike."""

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

MAX_EDITS = 2

# letters that have no decomposition but that people type without their stroke or ligature
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
_LONGEST_CACHED = 32
_WORD = re.compile(r"[^\W_]+")
_BETWEEN = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """Return a text without what a search does not care about: case, accents, ways to write the same character.

    Unicode's compatibility caseless matching (The Unicode Standard, section 3.13, D146), then all marks dropped:
    ``MÜLLER``, ``müller`` in composed and decomposed form and ``muller`` become one, so do ``STRASSE`` and ``straße``.
    """
    if text.isascii():
        return text.lower()
    # part by part, for nothing reaches across a space: parts without accents are quick, and the others are the same few
    parts = text.split(" ")
    return " ".join([part.lower() if part.isascii() else _folded(part) for part in parts])


def _folded(part: str) -> str:
    return _cached_fold(part) if len(part) <= _LONGEST_CACHED else _fold(part)


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFD", text).casefold()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", folded).casefold())
    bare = "".join([character for character in folded if unicodedata.category(character)[0] != "M"])
    return unicodedata.normalize("NFC", bare.translate(_PLAIN))


_cached_fold = lru_cache(maxsize=1024)(_fold)


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """Return the folded words of a text in order: its longest runs of letters and digits."""
    return tuple(_WORD.findall(fold(text)))


def word(part: str) -> str | None:
    """Return what stands between two spaces of a text, folded, if that is a single word and nothing else."""
    folded = fold(part)
    return folded if folded.isalnum() else None


def words_and_signs(text: str) -> tuple[list[str], Collection[str]]:
    """Return the folded words of a text in order, and what stands around and between them but for mere spaces."""
    folded = fold(text)
    found = folded.split()
    if "".join(found).isalnum():  # as most names
        return found, ()
    return _WORD.findall(folded), {between for between in _BETWEEN.findall(folded) if not between.isspace()}


def edits_allowed(asked: str, known: str) -> int:
    """Return how many edits a word of a search may be away from a word of a name, `MAX_EDITS` at most.

    Digits are never misspelled: who asks for ``2024q1`` does not want ``2024q2``.
    """
    return edits_between_lengths(len(asked), len(known)) if _digits(asked) == _digits(known) else 0


def edits_between_lengths(asked: int, known: int) -> int:
    """Return how many edits are allowed between words of these lengths.

    The longer of the two counts, for a misspelled word may lack letters.
    """
    length = max(asked, known)
    if length < 4:
        return 0
    return 1 if length < 8 else MAX_EDITS


def _digits(word: str) -> list[str]:
    return [character for character in word if character.isdigit()]

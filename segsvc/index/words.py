"""How texts become words, for names and for searches alike."""

import re
import unicodedata
from functools import lru_cache

# letters that have no decomposition but that people type without their stroke or ligature
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Return a text without what a search does not care about: case, accents, ways to write the same character.

    Unicode's compatibility caseless matching (The Unicode Standard, section 3.13, D146), then all marks dropped:
    ``MÜLLER``, ``müller`` in composed and decomposed form and ``muller`` become one, so do ``STRASSE`` and ``straße``.
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFD", text).casefold()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", folded).casefold())
    bare = "".join([character for character in folded if unicodedata.category(character)[0] != "M"])
    return unicodedata.normalize("NFC", bare.translate(_PLAIN))


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """Return the folded words of a text in order: its longest runs of letters and digits."""
    return tuple(_WORD.findall(fold(text)))


def edits_allowed(word: str) -> int:
    """Return how many edits a word of a search may be away from a name's word. Numbers are never misspelled."""
    if len(word) < 4 or word.isdigit():
        return 0
    return 1 if len(word) < 8 else 2

"""Hints at what a misspelled name was likely meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'NAME'?`` for the known name nearest to a word, or nothing when none is near."""
    by_lower = {name.lower(): name for name in known}
    # difflib is quadratic in the length, and the word is the caller's
    near = get_close_matches(word[:64].lower(), by_lower, n=1, cutoff=0.65)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""

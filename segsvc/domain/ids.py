"""Segment ids: which are valid, and how one is derived from a display name."""

import re
from collections.abc import Sequence

MIN_LENGTH = 4
MAX_LENGTH = 134
SUFFIX_LENGTH = 5
SUFFIX_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"

SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""What a whole DNS-1123 subdomain matches."""
SUBDOMAIN_MAX_LENGTH = 253

# the same, quicker: no label is tried in more than one way. A group's repetition must not be possessive: where its last
# turn fails, Python before 3.11.5 does not go back to where that began (https://github.com/python/cpython/issues/106052)
_LABEL = "(?!-)[-a-z0-9]++(?<!-)"
_SUBDOMAIN = re.compile(rf"{_LABEL}(?:[.]{_LABEL})*")
_SUBDOMAINS = re.compile(rf"{_LABEL}(?:[./]{_LABEL})*")
_DROPPED = re.compile(r"[^a-z0-9\s-]")
_WHITE_SPACE = re.compile(r"\s+")


def is_subdomain(text: str) -> bool:
    """Tell whether a text is a DNS-1123 subdomain, which is what Kubernetes takes as a resource's name.

    Anything else must reach no cluster call: a name of ``.`` would address the whole collection.
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
    """
    return len(text) <= SUBDOMAIN_MAX_LENGTH and _SUBDOMAIN.fullmatch(text) is not None


def are_subdomains(texts: Sequence[str]) -> bool:
    """Tell whether all of these texts, of which there must be one, are DNS-1123 subdomains, in half the time."""
    together = "/".join(texts)
    return (
        _SUBDOMAINS.fullmatch(together) is not None
        and together.count("/") == len(texts) - 1
        and max(map(len, texts)) <= SUBDOMAIN_MAX_LENGTH
    )


def id_problem(text: str) -> str | None:
    """Say why a text cannot be a new segment's id, or None when it can."""
    if not MIN_LENGTH <= len(text) <= MAX_LENGTH:
        return f"must be {MIN_LENGTH} to {MAX_LENGTH} characters long but has {len(text)}"
    if not is_subdomain(text):
        return (
            "must be a DNS-1123 subdomain: lower case letters, digits, '-' and '.', "
            "each part beginning and ending with a letter or digit"
        )
    return None


def derive_id(display_name: str, suffix: str) -> str:
    """Derive a segment's id from its display name and a random suffix of `SUFFIX_LENGTH` characters.

    Lower case; all but ``a-z``, ``0-9``, ``-`` and white space goes; what white space is left becomes ``-``. The name
    part is cut to fit and neither begins nor ends with ``-``; where nothing remains of it, it is ``segment``.
    """
    kept = _DROPPED.sub("", display_name.lower()).strip()
    longest = MAX_LENGTH - 1 - len(suffix)
    name = _WHITE_SPACE.sub("-", kept).strip("-")[:longest].rstrip("-")
    return f"{name or 'segment'}-{suffix}"

"""Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13.1).

A tag is the digest of what the caller sees, in hexadecimal; an encoding adds a suffix behind a hyphen, which
comparisons see through, whether we or a gateway put it there. The headers are read here, for aiohttp takes ``"*"``,
a tag like any other, for ``*``, and the empty tag for a malformed header.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import hdrs, web
from multidict import MultiMapping

from segsvc.service import Precondition
from segsvc.web.errors import HttpError, bad_header, echo

# one run of white space before a tag and one behind it, for two in a row would be tried in every way they can be split
_ELEMENT = re.compile(r'[ \t]*(?:(W/)?"([^"\x00-\x20\x7f]*)"[ \t]*)?(?:,|\Z)')
"""An element of a list of tags; an empty one stands for nothing (RFC 9110, section 5.6.1.2)."""


def entity_tag(digest: bytes, suffix: str = "") -> str:
    """Write a strong entity tag."""
    return f'"{digest.hex()}{suffix}"'


def known_tags(headers: MultiMapping[str]) -> str | None:
    """Return what a request's If-None-Match says that the caller has, unread; None where there is none."""
    values = headers.getall(hdrs.IF_NONE_MATCH, None)
    return None if values is None else ",".join(values)


def not_modified(tags: str, digest: bytes) -> bool:
    """Tell whether an If-None-Match names what the caller would get. A malformed one names nothing."""
    asked = _read(tags)
    # compares weakly: a tag is as good with W/ as without
    return asked is not None and (asked.any or digest.hex() in asked.strong | asked.weak)


def precondition(request: web.BaseRequest) -> Precondition | None:
    """Read If-Match; None where there is none. Raises HttpError for a malformed one, for ignoring it loses writes."""
    values = request.headers.getall(hdrs.IF_MATCH, [])
    if not values:
        return None
    asked = _read(",".join(values))
    if asked is None:
        raise _malformed(values)
    # compares strongly: a weak tag matches nothing
    return Precondition(asked.strong, any=asked.any)


@dataclass(frozen=True, slots=True)
class _Tags:
    """The tags of a header without their suffixes; ``any`` stands for ``*``."""

    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()
    any: bool = False


def _read(text: str) -> _Tags | None:
    """Read a header; None for one that is malformed or names nothing."""
    if text.strip() == "*":
        return _Tags(any=True)
    found: tuple[set[str], set[str]] = (set(), set())
    position = 0
    while position < len(text):
        match = _ELEMENT.match(text, position)
        if match is None:
            return None
        if match[2] is not None:
            found[match[1] is not None].add(match[2].partition("-")[0])
        position = match.end()
    return _Tags(frozenset(found[0]), frozenset(found[1])) if any(found) else None


def _malformed(values: Sequence[str]) -> HttpError:
    return bad_header(f"Header 'If-Match' must be '*' or a list of entity tags but is '{echo(', '.join(values))}'.")

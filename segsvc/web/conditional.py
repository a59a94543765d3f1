"""Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13.1).

A tag is the digest of what the caller sees, in hexadecimal; an encoding adds a suffix behind a hyphen, which
comparisons see through, whether we or a gateway put it there.
"""

from aiohttp import ETag, hdrs, web

from segsvc.service import Precondition
from segsvc.web.errors import HttpError, bad_header, echo


def entity_tag(digest: bytes, suffix: str = "") -> str:
    """Write a strong entity tag."""
    return f'"{digest.hex()}{suffix}"'


def not_modified(request: web.BaseRequest, digest: bytes) -> bool:
    """Tell whether If-None-Match names what the caller would get. A malformed header names nothing."""
    if hdrs.IF_NONE_MATCH not in request.headers:
        return False
    tags = request.if_none_match or ()
    return any(tag.value == "*" or _bare(tag) == digest.hex() for tag in tags)


def precondition(request: web.BaseRequest) -> Precondition | None:
    """Read If-Match; None where there is none. Raises HttpError for a malformed one, for ignoring it loses writes."""
    if hdrs.IF_MATCH not in request.headers:
        return None
    tags = request.if_match
    if not tags:  # aiohttp's way to say that it could not make sense of the header
        raise _malformed(request)
    if any(tag.value == "*" and not tag.is_weak for tag in tags) and '"*"' not in request.headers[hdrs.IF_MATCH]:
        return Precondition(frozenset(), any=True)
    # If-Match compares strongly: a weak tag matches nothing
    return Precondition(frozenset(_bare(tag) for tag in tags if not tag.is_weak))


def _bare(tag: ETag) -> str:
    return tag.value.partition("-")[0]


def _malformed(request: web.BaseRequest) -> HttpError:
    value = echo(", ".join(request.headers.getall(hdrs.IF_MATCH)))
    return bad_header(f"Header 'If-Match' must be '*' or a list of entity tags but is '{value}'.")

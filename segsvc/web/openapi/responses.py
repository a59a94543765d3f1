"""What comes back: headers, and the answers that are not the one hoped for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apispec import APISpec

from segsvc.web.openapi import patterns
from segsvc.web.openapi.conversion import ref
from segsvc.web.openapi.examples import ENTITY_TAG, PAGE_LINKS, SEGMENT_ID, TRACE_ID, named
from segsvc.web.representation import VARY

_COUNT = {"type": "integer", "minimum": 0}

_TEXT = {"type": "string"}


def _header(description: str, schema: dict[str, Any], example: object, *, required: bool = True) -> dict[str, Any]:
    header = {"description": description, "schema": schema, "example": example}
    return header | ({"required": True} if required else {})


_HEADERS: Mapping[str, dict[str, Any]] = {
    "X-Trace-Id": _header(
        "Leads to this request in the service's log.", {"type": "string", "pattern": patterns.TRACE_ID}, TRACE_ID
    ),
    "X-Revision": _header(
        "The Kubernetes resourceVersion that this answer reflects; give it as `minRevision` to read at least as much "
        "elsewhere.",
        _COUNT,
        48211,
    ),
    "X-Index-Age": _header("Whole seconds since the connection to the cluster last proved alive.", _COUNT, 0),
    "ETag": _header(
        "Stands for what the caller sees, links left out: it changes when that does, and is the same on every replica. "
        "An encoding adds a suffix, which conditional requests see through.",
        {"type": "string", "pattern": patterns.ENTITY_TAG},
        ENTITY_TAG,
    ),
    "Cache-Control": _header("Ask whether it still holds before you use what you kept.", _TEXT, "private, no-cache"),
    "Vary": _header("What an answer depends on beside the address.", _TEXT, VARY),
    "Link": _header("The `first`, `prev`, `next` and `last` page (RFC 8288).", _TEXT, PAGE_LINKS),
    "X-Total-Count": _header("The same as `totalCount`.", _COUNT, 2),
    "Location": _header(
        "The new segment's address.",
        {"type": "string", "format": "uri"},
        f"https://api.example.com/segments/{SEGMENT_ID}",
    ),
    "Retry-After": _header("Seconds after which to try again.", {"type": "integer", "minimum": 1}, 1),
    "WWW-Authenticate": _header("What is wrong with the token (RFC 6750).", _TEXT, "Bearer"),
    "Challenge": _header(
        "Present where the token is the reason (RFC 6750).", _TEXT, 'Bearer error="invalid_token"', required=False
    ),
    "Allow": _header("The methods that there are.", _TEXT, "GET, HEAD, POST"),
    "Content-Encoding": _header(
        "Present where the body is compressed: over 1 KiB, and the caller accepts it.",
        {"type": "string", "const": "gzip"},
        "gzip",
        required=False,
    ),
}

STORED = ("ETag", "Vary", "X-Revision", "Content-Encoding")
READ = (*STORED, "Cache-Control", "X-Index-Age")


def add_headers(spec: APISpec) -> None:
    """Put all response headers into the document."""
    for name, header in _HEADERS.items():
        spec.components.header(name, header)


def headers(*names: str) -> dict[str, str]:
    """Name the headers of an answer; each one has its trace id."""
    return {name: name for name in ("X-Trace-Id", *names)}


@dataclass(frozen=True)
class Failure:
    """An answer other than success: its status, what it means, its headers and the examples of its body, if any."""

    status: int
    description: str
    examples: Sequence[str] = ()
    headers: Sequence[str] = ()
    challenges: bool = False

    def response(self, *, head: bool = False) -> dict[str, Any]:
        """Write the response object; one to a HEAD has no body."""
        carried: dict[str, str] = headers(*self.headers)
        if self.challenges:
            carried["WWW-Authenticate"] = "Challenge"
        if not self.examples or head:
            return {"description": self.description, "headers": carried}
        carried |= headers("Vary", "Content-Encoding")
        content = {"application/json": {"schema": ref("Error"), "examples": named(*self.examples)}}
        return {"description": self.description, "headers": carried, "content": content}


FAILURES: Mapping[str, Failure] = {
    "BadQuery": Failure(
        400,
        "A query parameter or a header is not as described here, is unknown, or is given twice. All that is wrong "
        "with the parameters is told at once.",
        ("parameter", "unknownParameter", "untrustedHost"),
    ),
    "BadRequest": Failure(
        400,
        "The body, a query parameter or a header is not as described here. All that is wrong with parameters or body "
        "is told at once.",
        ("emptyName", "severalProblems", "unknownParameter", "ifMatch", "untrustedHost"),
    ),
    "TokenMissing": Failure(401, "The request carries no token. The body is empty.", headers=["WWW-Authenticate"]),
    "TokenInvalid": Failure(
        403,
        "The token is malformed, wrongly signed, expired, not yet valid, or made by or for somebody else. The body is "
        "empty.",
        headers=["WWW-Authenticate"],
    ),
    "Forbidden": Failure(
        403,
        "The caller's roles do not suffice. Or the token is no good (malformed, wrongly signed, expired, not yet "
        "valid, made by or for somebody else): then the body is empty, and `WWW-Authenticate` says so.",
        ["missingRoles"],
        challenges=True,
    ),
    "NotFound": Failure(
        404,
        "There is no such segment; one that is being deleted, or a resource that holds no valid segment, is none.",
        ["notFound"],
    ),
    "MethodNotAllowed": Failure(
        405, "There is no such method on this path. Answered before any token is read.", ["methodNotAllowed"], ["Allow"]
    ),
    "TooSlow": Failure(408, "The body did not come in within 30 seconds.", ["tooSlow"]),
    "Exists": Failure(
        409, "The id is taken, be it by a resource that the API does not show. Names the display name sent.", ["exists"]
    ),
    "LostRace": Failure(409, "Others kept changing the segment meanwhile. Nothing was written.", ["modified"]),
    "Modified": Failure(
        412, "The segment no longer has the entity tag that `If-Match` names. Nothing was written.", ["modified"]
    ),
    "TooLarge": Failure(413, "The body is over 1 MiB, or more than the cluster can store.", ["tooLarge"]),
    "UnsupportedMediaType": Failure(
        415, "The body's `Content-Type` is not `application/json`, or the body is compressed.", ["mediaType"]
    ),
    "Unexpected": Failure(
        500, "Something broke. The answer tells nothing but the `traceId`; the service's log tells all.", ["unexpected"]
    ),
    "Unavailable": Failure(
        503,
        "Not now: the service is starting, the cluster cannot be reached (reads go on then), the token issuer's keys "
        "are not to be had, `minRevision` has not been reached, or too many bodies are coming in at a time.",
        ["unavailable", "behind"],
        ["Retry-After"],
    ),
}


def add_failures(spec: APISpec) -> None:
    """Put all answers other than success into the document."""
    for name, failure in FAILURES.items():
        spec.components.response(name, failure.response())

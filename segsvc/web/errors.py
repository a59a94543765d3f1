"""Every error that a caller can meet: status, type and words.

The body's form is the platform's: ``timestamp``, ``message``, ``type``, ``traceId`` and, where parameters are the
reason, ``invalidParams``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
from multidict import CIMultiDict

from segsvc.auth.errors import KeysUnavailable, TokenInvalid
from segsvc.cluster.errors import ClusterUnavailable, InvalidResource, ResourceTooLarge
from segsvc.domain.errors import (
    AccessDenied,
    InvalidParameters,
    Problem,
    SegmentExists,
    SegmentModified,
    SegmentNotFound,
)
from segsvc.service import NotReady

MAX_ECHO = 256
"""How much of a caller's own text an error repeats, in characters."""


@dataclass(eq=False)  # not frozen: the interpreter sets an exception's traceback
class HttpError(Exception):
    """An answer other than success. Without a ``type_`` its body is empty."""

    status: int
    type_: str | None = None
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=CIMultiDict)
    problems: Sequence[Problem] = ()

    def body(self, trace_id: str) -> bytes:
        """Render the error's JSON object, or nothing."""
        if self.type_ is None:
            return b""
        document: dict[str, object] = {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "message": self.message,
            "type": self.type_,
            "traceId": trace_id,
        }
        if self.problems:
            document["invalidParams"] = [
                {"name": echo(problem.name), "reason": problem.reason} for problem in self.problems
            ]
        return orjson.dumps(document)


class TokenMissing(Exception):
    """The request carries no bearer token."""


def bad_parameters(problems: Sequence[Problem], *, status: int = 400) -> HttpError:
    """Say which parameters are wrong: the first in the message, all of them in ``invalidParams``."""
    first = problems[0]
    message = f"Parameter '{echo(first.name)}' {first.reason}"
    return HttpError(
        status, "bad_parameter_value", message if message.endswith("?") else f"{message}.", problems=problems
    )


def bad_header(message: str, *, status: int = 400) -> HttpError:
    """Say which header is wrong."""
    return HttpError(status, "bad_header_value", message)


def unavailable(message: str, retry_after: float | None) -> HttpError:
    """Say that the request cannot be answered now, and when to try again, in seconds."""
    seconds = max(1, round(retry_after or 1))
    return HttpError(503, "service_unavailable", message, {"Retry-After": str(seconds)})


def no_such_path(path: str) -> HttpError:
    """Say that no route is at this path."""
    return HttpError(404, "entity_not_found", f"Path '{echo(path)}' not found.")


def method_not_allowed(method: str, allow: str) -> HttpError:
    """Say which methods there are instead (RFC 9110, section 15.5.6)."""
    message = f"Method '{echo(method)}' is not allowed here; allowed: {allow}."
    return HttpError(405, "method_not_allowed", message, {"Allow": allow})


def unexpected() -> HttpError:
    """Tell nothing: the trace id leads to the log, which tells all."""
    return HttpError(500, "unexpected_error", "An unexpected error occurred.")


def from_exception(error: Exception) -> HttpError:  # noqa: PLR0911, PLR0912 (a table)
    """Find the answer to what a request's handling raised; anything unknown is unexpected."""
    match error:
        case HttpError():
            return error
        case TokenMissing():
            return HttpError(401, headers={"WWW-Authenticate": "Bearer"})
        case TokenInvalid():
            return HttpError(403, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        case KeysUnavailable():
            return unavailable("The token issuer's keys are not available.", error.retry_after)
        case NotReady():
            return unavailable(f"Not ready: {error}.", 1)
        case InvalidParameters():
            return bad_parameters(error.problems)
        case AccessDenied():
            return HttpError(403, "entity_not_accessible", "Access forbidden due to missing roles.")
        case SegmentNotFound():
            return HttpError(404, "entity_not_found", f"Segment with ID '{echo(error.segment_id)}' not found.")
        case SegmentExists():
            message = f"Segment '{echo(error.display_name)}' already exists."
            return HttpError(409, "entity_already_exists", message)
        case SegmentModified():
            message = f"Segment with ID '{error.segment_id}' was modified meanwhile."
            return HttpError(412 if error.precondition else 409, "entity_modified", message)
        case InvalidResource() if error.causes:
            return bad_parameters([_in_callers_words(cause.field, cause.message) for cause in error.causes])
        case ResourceTooLarge():
            return bad_parameters([Problem("body", "is too large for the cluster to store")], status=413)
        case ClusterUnavailable():
            unknown = " The write was sent, and whether it was carried out is not known." if error.unclear else ""
            return unavailable(f"The cluster is not available.{unknown}", error.retry_after)
        case _:
            return unexpected()


def echo(text: str) -> str:
    """Return a caller's text short enough, and fit, to be repeated in an answer."""
    fit = text if text.isascii() else text.encode("utf-8", "replace").decode()
    return fit if len(fit) <= MAX_ECHO else fit[:MAX_ECHO] + "..."


def _in_callers_words(name: str, message: str) -> Problem:
    """Name what the cluster refused as the caller knows it: a resource's `spec` is the API's `data`."""
    if name == "spec" or name.startswith(("spec.", "spec[")):
        name = "data" + name.removeprefix("spec")
    elif name == "metadata.name":
        name = "id"
    elif name.startswith("metadata.annotations"):
        name = "metadata"  # display name, description, labels and roles are kept in annotations
    return Problem(name or "body", f"was refused by the cluster: {message}")

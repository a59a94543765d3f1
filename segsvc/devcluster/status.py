"""Kubernetes Status errors: one exception, and a constructor for each reason the emulator answers with.

Words, reasons and details follow `k8s.io/apimachinery/pkg/api/errors`, so that a client that reads messages
or causes sees what a kube-apiserver would have sent. Must not know HTTP beyond the status code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Named(Protocol):
    """What an error says about a resource: `widgets.example.com` for lookups, `Widget.example.com` for content."""

    @property
    def group(self) -> str: ...  # noqa: D102
    @property
    def plural(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing wrong with one field: an entry of `details.causes`."""

    field: str
    reason: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """Return the entry as it stands in a Status."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


class ApiError(Exception):
    """A request that ends with a Status; `retry_after` becomes the header of that name."""

    def __init__(
        self, code: int, reason: str, *, message: str, details: dict[str, Any] | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after

    def as_dict(self) -> dict[str, Any]:
        """Return the Status object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return {**status, "code": self.code}


def success(of: Named, name: str, *, uid: str) -> dict[str, Any]:
    """Return the Status that answers a finished deletion."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": name, "group": of.group, "kind": of.plural, "uid": uid},
    }


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, "BadRequest", message=message)


def unauthorized() -> ApiError:
    """401: no token, or not the right one."""
    return ApiError(401, "Unauthorized", message="Unauthorized")


def not_found(of: Named, name: str) -> ApiError:
    """404: no such object."""
    return ApiError(
        404,
        "NotFound",
        message=f"{of.plural}.{of.group} {quoted(name)} not found",
        details={"name": name, "group": of.group, "kind": of.plural},
    )


def already_exists(of: Named, name: str, *, being_deleted: bool) -> ApiError:
    """409: the name is taken, perhaps by an object that waits for its finalizers."""
    message = f"{of.plural}.{of.group} {quoted(name)} already exists"
    return ApiError(
        409,
        "AlreadyExists",
        message=f"object is being deleted: {message}" if being_deleted else message,
        details={"name": name, "group": of.group, "kind": of.plural},
    )


def conflict(of: Named, name: str, *, why: str, kind: str | None = None) -> ApiError:
    """409: the object is not in the version that the caller meant."""
    kind = kind or of.plural
    return ApiError(
        409,
        "Conflict",
        message=f"Operation cannot be fulfilled on {kind}.{of.group} {quoted(name)}: {why}",
        details={"name": name, "group": of.group, "kind": kind},
    )


def modified(of: Named, name: str) -> ApiError:
    """409: the resourceVersion sent is not the newest."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(of, name, why=why)


def invalid(kind: str, group: str, *, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: well-formed, but its content breaks the rules of the resource."""
    lines = [f"{cause.field}: {cause.message}" for cause in causes]
    what = f"{kind}.{group}" if group else kind
    return ApiError(
        422,
        "Invalid",
        message=f"{what} {quoted(name)} is invalid: " + (lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"),
        details={
            **({"name": name} if name else {}),
            **({"group": group} if group else {}),
            **({"kind": kind} if kind else {}),
            "causes": [cause.as_dict() for cause in causes],
        },
    )


def invalid_options(kind: str, cause: Cause) -> ApiError:
    """422: a query parameter or a DeleteOptions field has no such value."""
    return invalid(kind, "meta.k8s.io", name="", causes=[cause])


def method_not_supported(of: Named, verb: str) -> ApiError:
    """405: the resource is there, but not this verb on it."""
    return ApiError(
        405,
        "MethodNotAllowed",
        message=f'{verb} is not supported on resources of kind "{of.plural}.{of.group}"',
        details={"group": of.group, "kind": of.plural},
    )


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """415: the body is in none of the `accepted` formats."""
    message = "the body of the request was in an unknown format - accepted media types include: "
    return ApiError(415, "UnsupportedMediaType", message=message + ", ".join(accepted))


def not_acceptable(accepted: Sequence[str]) -> ApiError:
    """406: the caller takes none of the formats there are."""
    message = "only the following media types are accepted: " + ", ".join(accepted)
    return ApiError(406, "NotAcceptable", message=message)


def too_large(limit: int) -> ApiError:
    """413: the body is over the API server's own limit."""
    return ApiError(413, "RequestEntityTooLarge", message=f"Request entity too large: limit is {limit}")


def etcd_too_large() -> ApiError:
    """500: the stored object would be over what etcd takes in one request."""
    return ApiError(500, "", message="etcdserver: request is too large")


def internal(message: str) -> ApiError:
    """500 without a reason, as plain Go errors come out."""
    return ApiError(500, "", message=message)


def expired_version(requested: int, oldest: int) -> ApiError:
    """410: the history no longer reaches back to the requested resourceVersion."""
    return ApiError(410, "Expired", message=f"too old resource version: {requested} ({oldest})")


def expired_continue() -> ApiError:
    """410: the snapshot that a continue token belongs to is gone."""
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new "
        "list without the continue parameter."
    )
    return ApiError(410, "Expired", message=message)


def future_version(requested: int, current: int) -> ApiError:
    """504: the resourceVersion is ahead of everything this server has seen."""
    return ApiError(
        504,
        "Timeout",
        message=f"Timeout: Too large resource version: {requested}, current: {current}",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
        retry_after=1,
    )


def quoted(text: str) -> str:
    """Return `text` in the double quotes that Go's `%q` puts around it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'

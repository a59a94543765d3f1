"""From what the Kubernetes API and the HTTP client say went wrong to `segsvc.cluster.errors`: all of it, only here.

Refusals of the service's own account are logged here, since their messages must go no further than the log.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import orjson
import structlog
from kubernetes_asyncio.client import ApiException

from segsvc.cluster.errors import (
    AlreadyExists,
    Cause,
    ClusterError,
    ClusterForbids,
    ClusterUnavailable,
    Conflict,
    Expired,
    InvalidResource,
    ResourceNotFound,
    ResourceTooLarge,
    UnexpectedAnswer,
    WatchStalled,
)
from segsvc.domain.codec import PLURAL
from segsvc.domain.segment import JsonObject

MAX_RETRY_AFTER = 300.0
"""Seconds; a server that asks for more is asked again earlier."""

# what etcd and gRPC say of an object beyond their limits, which reaches the client as a 500
_TOO_LARGE = re.compile("request is too large|larger than max")
_STRICT_FIELD = re.compile(r'(unknown|duplicate) field "([^"]+)"')

log = structlog.get_logger(__name__)


def object_of(body: bytes) -> JsonObject:
    """Parse an answer that must be a JSON object. Raises UnexpectedAnswer."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnexpectedAnswer(f"no JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise UnexpectedAnswer(f"a JSON {type(parsed).__name__} in place of an object")
    return parsed


def error_of_answer(verb: str, status: int, body: bytes, *, retry_after: str | None) -> ClusterError:
    """Return the error that an HTTP answer with an error status stands for."""
    try:
        answer = object_of(body)
    except UnexpectedAnswer:
        answer = {}  # a text or a page, from a proxy or from a path that nothing serves
    return error_of_status(verb, status, answer, retry_after=retry_after)


def error_of_status(  # noqa: PLR0911, PLR0912 -- a table
    verb: str, code: int, answer: JsonObject, *, retry_after: str | None = None
) -> ClusterError:
    """Return the error that a Kubernetes Status object stands for; ``answer`` is empty where there was none.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
    """
    message = str(answer.get("message") or f"HTTP status {code}")
    details = answer.get("details")
    if not isinstance(details, dict):
        details = {}
    match code, answer.get("reason"):
        case 400, _:
            return InvalidResource(_strict_causes(message), message)
        case 401, _:
            log.error("cluster_credentials_refused", verb=verb, message=message)
            return ClusterUnavailable("the cluster refuses the service's credentials", unclear=False)
        case 403, _:
            log.error("cluster_forbids", verb=verb, message=message)
            return ClusterForbids(message)
        case 404, _ if details.get("kind") == PLURAL and details.get("name"):
            return ResourceNotFound(message)
        case 404, _:  # a text where the CustomResourceDefinition is missing, or the namespace's name
            return ClusterUnavailable(f"Segment resources are not served: {message}", unclear=False)
        case 409, "AlreadyExists":
            return AlreadyExists(message)
        case 409, "Conflict":
            return Conflict(message)
        case 410, _:
            return Expired(message)
        case 413, _:
            return ResourceTooLarge(message)
        case 422, _:
            return InvalidResource(_causes(details), message)
        case 429, _:
            return ClusterUnavailable(message, _seconds(retry_after, details), unclear=False)
        case 504, _ if "Too large resource version" in message:  # of a cluster that was restored to an earlier state
            return Expired(message)
        case 500, _ if _TOO_LARGE.search(message):
            return ResourceTooLarge(message)
        case _ if code >= 500:
            return ClusterUnavailable(message, _seconds(retry_after, details))
        case _:
            refused = 400 <= code < 500 and answer.get("kind") == "Status"  # by the API server, not by a proxy
            return UnexpectedAnswer(message, unclear=not refused)


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the client raises as one of our errors."""
    try:
        yield
    except ClusterError:
        raise
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise ClusterUnavailable(_reason(error), unclear=False) from error
    except aiohttp.SocketTimeoutError as error:
        raise WatchStalled("nothing was sent for too long") from error
    except TimeoutError as error:
        raise ClusterUnavailable("no answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ClusterUnavailable(_reason(error)) from error
    except (ApiException, ValueError) as error:  # ValueError: what cannot be decoded
        raise UnexpectedAnswer(_reason(error)) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _causes(details: JsonObject) -> tuple[Cause, ...]:
    causes: Any = details.get("causes")
    return tuple(
        Cause(str(cause.get("field") or ""), str(cause.get("message") or ""))
        for cause in (causes if isinstance(causes, list) else ())
        if isinstance(cause, dict) and cause.get("field") != "<nil>"  # says only that there may be more
    )


def _strict_causes(message: str) -> tuple[Cause, ...]:
    """Read the fields out of what ``fieldValidation=Strict`` answers, which has no causes."""
    return tuple(Cause(found[2], f"{found[1]} field") for found in _STRICT_FIELD.finditer(message))


def _seconds(header: str | None, details: JsonObject) -> float | None:
    said = header if header is not None else details.get("retryAfterSeconds")
    try:
        return float(min(max(int(said), 0), MAX_RETRY_AFTER)) if said is not None else None
    except (TypeError, ValueError):  # an HTTP date, which Kubernetes does not send, or no time at all
        return None

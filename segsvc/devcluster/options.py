"""Query parameters and DeleteOptions, read as the API server reads them.

Each `read_*` function raises ApiError for a value that Kubernetes refuses. Unknown parameters are ignored.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from segsvc.devcluster import jsonbody, selectors, status
from segsvc.devcluster.status import Cause, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiMapping

    from segsvc.devcluster.selectors import Selector

    Query = MultiMapping[str]

_PROPAGATIONS = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """CreateOptions, UpdateOptions and PatchOptions."""

    dry_run: bool = False
    field_validation: str = "Warn"


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """DeleteOptions, preconditions flattened."""

    dry_run: bool = False
    uid: str | None = None
    resource_version: str | None = None


@dataclass(frozen=True, slots=True)
class Continue:
    """A place in a paged list: the revision of its first page, and the key to go on from."""

    revision: int
    start: str

    def encoded(self) -> str:
        """Return the token; opaque to callers."""
        token = {"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start}
        return base64.urlsafe_b64encode(orjson.dumps(token)).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """ListOptions of a list. `version` is None when no resourceVersion was given."""

    selector: Selector
    limit: int = 0
    version: int | None = None
    match: Literal["", "Exact", "NotOlderThan"] = ""
    resume: Continue | None = None


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """ListOptions of a watch."""

    selector: Selector
    version: int | None
    bookmarks: bool
    initial_events: bool | None
    timeout: float | None


def read_write_options(query: Query, kind: str) -> WriteOptions:
    """Read the options of a write; `kind` names them in errors (`CreateOptions`)."""
    validation = query.get("fieldValidation", "")
    if validation not in {"", "Ignore", "Strict", "Warn"}:
        supported = '"", "Ignore", "Strict", "Warn"'
        raise status.invalid_options(kind, _unsupported("fieldValidation", quoted(validation), supported))
    return WriteOptions(_dry_run(query.getall("dryRun", []), kind), validation or "Warn")


def read_delete_options(query: Query, body: bytes) -> DeleteOptions:
    """Read the options of a deletion, from the body or, when there is none, from the query."""
    given: Mapping[str, Any] = {}
    if body.strip():
        try:
            given, _ = jsonbody.loads(body)
        except ValueError as error:
            raise status.bad_request(f"couldn't get version/kind; json parse error: {error}") from error
        if not isinstance(given, dict):
            found = jsonbody.kind_of(given)
            raise status.bad_request(f"json: cannot unmarshal {found} into Go value of type v1.DeleteOptions")
        dry_runs, propagation = given.get("dryRun") or [], given.get("propagationPolicy")
    else:
        dry_runs, propagation = query.getall("dryRun", []), query.get("propagationPolicy")
    if propagation is not None and propagation not in _PROPAGATIONS:
        supported = '"Foreground", "Background", "Orphan", "nil"'
        cause = _unsupported("propagationPolicy", quoted(str(propagation)), supported)
        raise status.invalid_options("DeleteOptions", cause)
    preconditions = given.get("preconditions") or {}
    return DeleteOptions(
        dry_run=_dry_run(dry_runs, "DeleteOptions"),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
    )


def wants_watch(query: Query) -> bool:
    """Tell whether a list request is a watch; like Go, takes every word but false and 0 for yes."""
    return _boolean(query.get("watch"))


def read_list_options(query: Query) -> ListOptions:
    """Read the options of a list."""
    version, match = _version_of_list(query), query.get("resourceVersionMatch", "")
    if match and match not in {"Exact", "NotOlderThan"}:
        supported = '"Exact", "NotOlderThan", ""'
        cause = _unsupported("resourceVersionMatch", quoted(match), supported)
        raise status.invalid_options("ListOptions", cause)
    if match and version is None:
        raise _match_forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match == "Exact" and version == 0:
        raise _match_forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    token = query.get("continue", "")
    if token and match:
        raise _match_forbidden("resourceVersionMatch is forbidden when continue is provided")
    if token and version:
        raise status.bad_request("specifying resource version is not allowed when using continue")
    return ListOptions(
        selector=read_selector(query),
        limit=max(0, _integer(query, "limit") or 0),
        version=version,
        match=match,  # type: ignore[arg-type]  # one of the literals, checked above
        resume=_continue(token) if token else None,
    )


def read_watch_options(query: Query) -> WatchOptions:
    """Read the options of a watch."""
    match, initial = query.get("resourceVersionMatch", ""), query.get("sendInitialEvents")
    if initial is not None and match != "NotOlderThan":
        raise _match_forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    if match and initial is None:
        raise _match_forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
    version = query.get("resourceVersion", "")
    if version and not _is_version(version):
        raise status.internal(_bad_version(version))
    timeout = _integer(query, "timeoutSeconds")
    return WatchOptions(
        selector=read_selector(query),
        version=int(version) if version else None,
        bookmarks=_boolean(query.get("allowWatchBookmarks")),
        initial_events=None if initial is None else _boolean(initial),
        timeout=timeout or None,
    )


def read_selector(query: Query) -> Selector:
    """Read labelSelector and fieldSelector."""
    try:
        return selectors.parse(query.get("labelSelector", ""), query.get("fieldSelector", ""))
    except ValueError as error:
        raise status.bad_request(str(error)) from error


def read_version_of_get(query: Query) -> int | None:
    """Read the resourceVersion of a get."""
    return _version_of_list(query)


def _version_of_list(query: Query) -> int | None:
    version = query.get("resourceVersion", "")
    if version and not _is_version(version):
        raise status.bad_request(f"invalid resource version: {_bad_version(version)}")
    return int(version) if version else None


def _continue(token: str) -> Continue:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        value = orjson.loads(raw)
        if value["v"] != "meta.k8s.io/v1" or value["rv"] <= 0 or not isinstance(value["start"], str):
            raise ValueError("not one of ours")  # noqa: TRY301 -- one answer for all that is no token
        return Continue(value["rv"], value["start"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise status.bad_request(f"invalid continue token: continue key is not valid: {error}") from error


def _integer(query: Query, name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise status.bad_request(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    return int(text)


def _dry_run(values: list[str], kind: str) -> bool:
    if values and values != ["All"]:
        shown = orjson.dumps(values).decode()
        raise status.invalid_options(kind, _unsupported("dryRun", shown, '"All"'))
    return bool(values)


def _boolean(text: str | None) -> bool:
    return text is not None and text.lower() not in {"false", "0"}


def _is_version(text: str) -> bool:
    return re.fullmatch("[0-9]{1,19}", text) is not None


def _bad_version(text: str) -> str:
    return f"resourceVersion: Invalid value: {quoted(text)}: strconv.ParseUint: parsing {quoted(text)}: invalid syntax"


def _match_forbidden(why: str) -> status.ApiError:
    cause = Cause("resourceVersionMatch", "FieldValueForbidden", f"Forbidden: {why}")
    return status.invalid_options("ListOptions", cause)


def _unsupported(field: str, value: str, supported: str) -> Cause:
    return Cause(field, "FieldValueNotSupported", f"Unsupported value: {value}: supported values: {supported}")

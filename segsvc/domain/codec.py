"""Custom resource to segment and back.

A segment's id is the resource's name, its `data` the resource's `spec`; all else stands in annotations, so that a
person can write one with kubectl. A resource that does not hold a segment says why. Writing keeps whatever of a
resource is not ours: foreign annotations and labels, finalizers, owner references, status.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import orjson

from segsvc.domain.schema import data_problems
from segsvc.domain.segment import DEFAULT_EDITOR, DEFAULT_VIEWER, Author, JsonObject, Roles, Segment

GROUP = "segment.grnry.io"
VERSION = "v1alpha1"
KIND = "Segment"
PLURAL = "segments"

_PREFIX = f"{GROUP}/"
DISPLAY_NAME = f"{_PREFIX}display-name"
DESCRIPTION = f"{_PREFIX}description"
ROLES = f"{_PREFIX}roles"
LABELS = f"{_PREFIX}labels"
CREATED_AT = f"{_PREFIX}created-at"
MODIFIED_AT = f"{_PREFIX}modified-at"
CREATED_BY = f"{_PREFIX}created-by"
MODIFIED_BY = f"{_PREFIX}modified-by"

_LONGEST_SHARED = 256
_SHARED_BYTES = 4 * 2**20  # of each annotation; ten thousand and more
_BYTES_BESIDE = 300  # what each takes beside its text

_Value = TypeVar("_Value")

# 24:00 is a time to Python from 3.13 on, and none to numpy, which makes numbers of them
_TIME = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T(?!24)[0-9][0-9]:[0-9][0-9]:[0-9][0-9][.][0-9][0-9][0-9]"
# lines of them; written with repetitions, it would take half as long again
_TIMES = re.compile(rf"(?:{_TIME}\n|\n)*")

# raised by a resource that no CustomResourceDefinition of ours would let in: it must not stop the others
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


class Incompatible(Exception):
    """The resource does not hold a segment; the text says why, for the log."""


def decode(resource: Mapping[str, Any]) -> Segment:
    """Read a segment from a custom resource as the API server shows it. Raises Incompatible."""
    try:
        segment = _decoded(resource)
    except _UNREADABLE as error:
        raise Incompatible(f"cannot be read: {type(error).__name__}: {error}") from error
    if not _are_times((segment.created_at, segment.modified_at)):
        raise _no_time(_which_is_none(resource, segment))
    return segment


def decode_first(resources: Iterable[Mapping[str, Any]]) -> list[Segment]:
    """Read segments from the first of these resources, in less time than one by one.

    That is all of them up to one that holds none; or none, if one of their times is none.
    """
    segments: list[Segment] = []
    with suppress(Incompatible, *_UNREADABLE):
        for resource in resources:
            segments.append(_decoded(resource))  # noqa: PERF401 - those before an error must stay
    times = [segment.created_at for segment in segments] + [segment.modified_at for segment in segments]
    return segments if _are_times(times) else []


def _decoded(resource: Mapping[str, Any]) -> Segment:
    """Read a segment of which the times are yet to be looked at. Raises Incompatible, and `_UNREADABLE`."""
    metadata = resource["metadata"]
    annotations: Mapping[str, Any] = metadata.get("annotations") or {}
    given = annotations.get
    display_name: str = given(DISPLAY_NAME, "")
    if not display_name.strip():
        raise Incompatible(f"annotation {DISPLAY_NAME} is missing or blank")
    description = given(DESCRIPTION, "")
    if not isinstance(description, str):
        raise Incompatible(f"annotation {DESCRIPTION} is no string")
    spec: Any = resource.get("spec")
    problems = data_problems(spec)
    if problems:
        raise Incompatible("; ".join(f"{problem.name} {problem.reason}" for problem in problems))
    created_at, modified_at = given(CREATED_AT), given(MODIFIED_AT)
    if created_at == "" or modified_at == "":
        raise _no_time(f"annotation {CREATED_AT if created_at == '' else MODIFIED_AT}")
    return Segment(
        metadata["name"],
        display_name,
        description,
        _roles[given(ROLES, "{}")],
        _labels[given(LABELS, "[]")],
        spec,
        _created_at(metadata) if created_at is None else created_at,
        "" if modified_at is None else modified_at,
        _created_by[given(CREATED_BY, "{}")],
        _modified_by[given(MODIFIED_BY, "{}")],
    )


def encode(segment: Segment, resource: Mapping[str, Any] | None = None) -> JsonObject:
    """Write a segment into a copy of the resource that holds it, or into a new one.

    ``resource`` is the whole resource as last read; its resourceVersion stays in, so that a replace is checked.
    """
    resource = resource or {}
    metadata = resource.get("metadata") or {}
    foreign = {key: text for key, text in (metadata.get("annotations") or {}).items() if key not in _OURS}
    return {
        **resource,
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {**metadata, "name": segment.id, "annotations": {**foreign, **_annotations(segment)}},
        "spec": segment.data,
    }


_OURS = frozenset({DISPLAY_NAME, DESCRIPTION, ROLES, LABELS, CREATED_AT, MODIFIED_AT, CREATED_BY, MODIFIED_BY})


def _annotations(segment: Segment) -> dict[str, str]:
    roles = {"editor": segment.roles.editor, "viewer": segment.roles.viewer}
    annotations = {
        DISPLAY_NAME: segment.display_name,
        DESCRIPTION: segment.description,
        ROLES: _text(roles),
        LABELS: _text(segment.labels) if segment.labels else "",
        CREATED_AT: segment.created_at,
        CREATED_BY: _text_of_author(segment.created_by),
        MODIFIED_AT: segment.modified_at,
        MODIFIED_BY: _text_of_author(segment.modified_by),
    }
    return {key: text for key, text in annotations.items() if text}


def _text(value: object) -> str:
    return orjson.dumps(value).decode()


def _text_of_author(author: Author) -> str:
    return _text({"name": author.name, "email": author.email}) if author != Author() else ""


class _Shared(dict[str, _Value]):
    """What the texts of an annotation say, read on demand: the same object for the same text.

    The same few texts stand in most resources: that saves both their reading and the memory. Texts beyond the usual
    length are read each time, so that what is kept stays small, whatever is stored.
    """

    def __init__(self, key: str, read: Callable[[str, str], _Value]) -> None:
        self._key = key
        self._read = read
        self._left = _SHARED_BYTES

    def __missing__(self, text: str) -> _Value:
        value = self._read(text, self._key)
        if len(text) <= _LONGEST_SHARED:
            size = len(text) + _BYTES_BESIDE
            if size > self._left:
                self.clear()
                self._left = _SHARED_BYTES
            self._left -= size
            self[text] = value
        return value


def _json(text: str, key: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Incompatible(f"annotation {key} is no JSON: {error}") from None


def _object(text: str, key: str) -> JsonObject:
    value = _json(text, key)
    if not isinstance(value, dict):
        raise Incompatible(f"annotation {key} is no JSON object")
    return value


def _texts(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(member, str) for member in value):
        raise Incompatible(f"annotation {key} holds something other than a list of strings")
    return tuple(value)


def _read_labels(text: str, key: str) -> tuple[str, ...]:
    return tuple([_label[label] for label in _texts(_json(text, key), key)])


def _read_roles(text: str, key: str) -> Roles:
    value = _object(text, key)
    return Roles(
        editor=_texts(value.get("editor", [DEFAULT_EDITOR]), key),
        viewer=_texts(value.get("viewer", [DEFAULT_VIEWER]), key),
    )


def _read_author(text: str, key: str) -> Author:
    value = _object(text, key)
    name, email = value.get("name", ""), value.get("email", "")
    if not isinstance(name, str) or not isinstance(email, str):
        raise Incompatible(f"annotation {key} has a name or an e-mail address that is no string")
    return Author(name=name, email=email)


_roles = _Shared(ROLES, _read_roles)
_label = _Shared(LABELS, lambda text, _: text)
_labels = _Shared(LABELS, _read_labels)
_created_by = _Shared(CREATED_BY, _read_author)
_modified_by = _Shared(MODIFIED_BY, _read_author)


def _no_time(what: str) -> Incompatible:
    return Incompatible(f"{what} is no time like 2020-03-18T18:08:31.850")


def _which_is_none(resource: Mapping[str, Any], segment: Segment) -> str:
    """Say where the time stands that is none."""
    if _are_times((segment.created_at,)):
        return f"annotation {MODIFIED_AT}"
    return f"annotation {CREATED_AT}" if CREATED_AT in resource["metadata"]["annotations"] else "creationTimestamp"


def _created_at(metadata: Mapping[str, Any]) -> str:
    created: str | None = metadata.get("creationTimestamp")  # RFC 3339 in UTC, whole seconds
    return created.removesuffix("Z") + ".000" if created else ""


def _are_times(texts: Sequence[str]) -> bool:
    """Tell whether each of these is a timestamp or empty."""
    try:
        # lines within a text would pass here, but not below
        if _TIMES.fullmatch("\n".join(texts) + "\n") is None:
            return False
        list(map(datetime.fromisoformat, filter(None, texts)))
    except (TypeError, ValueError):
        return False
    return True

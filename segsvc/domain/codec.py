"""Custom resource to segment and back.

A segment's id is the resource's name, its `data` the resource's `spec`; all else stands in annotations, so that a
person can write one with kubectl. A resource that does not hold a segment says why. Writing keeps whatever of a
resource is not ours: foreign annotations and labels, finalizers, owner references, status.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

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

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", re.ASCII)


class Incompatible(Exception):
    """The resource does not hold a segment; the text says why, for the log."""


def decode(resource: Mapping[str, Any]) -> Segment:
    """Read a segment from a custom resource as the API server shows it. Raises Incompatible."""
    metadata = resource["metadata"]
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    display_name = annotations.get(DISPLAY_NAME, "")
    if not display_name.strip():
        raise Incompatible(f"annotation {DISPLAY_NAME} is missing or blank")
    spec: Any = resource.get("spec")
    problems = data_problems(spec)
    if problems:
        raise Incompatible("; ".join(f"{problem.name} {problem.reason}" for problem in problems))
    return Segment(
        id=metadata["name"],
        display_name=display_name,
        description=annotations.get(DESCRIPTION, ""),
        roles=_roles(annotations),
        labels=_texts(_json(annotations, LABELS, []), LABELS),
        data=spec,
        created_at=_created_at(annotations, metadata),
        modified_at=_timestamp(annotations, MODIFIED_AT) if MODIFIED_AT in annotations else "",
        created_by=_author(annotations, CREATED_BY),
        modified_by=_author(annotations, MODIFIED_BY),
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


def _json(annotations: Mapping[str, str], key: str, default: object) -> Any:
    if key not in annotations:
        return default
    try:
        return orjson.loads(annotations[key])
    except orjson.JSONDecodeError as error:
        raise Incompatible(f"annotation {key} is no JSON: {error}") from None


def _texts(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(member, str) for member in value):
        raise Incompatible(f"annotation {key} holds something other than a list of strings")
    return tuple(value)


def _roles(annotations: Mapping[str, str]) -> Roles:
    value = _json(annotations, ROLES, {})
    if not isinstance(value, dict):
        raise Incompatible(f"annotation {ROLES} is no JSON object")
    return Roles(
        editor=_texts(value.get("editor", [DEFAULT_EDITOR]), ROLES),
        viewer=_texts(value.get("viewer", [DEFAULT_VIEWER]), ROLES),
    )


def _author(annotations: Mapping[str, str], key: str) -> Author:
    value = _json(annotations, key, {})
    if not isinstance(value, dict):
        raise Incompatible(f"annotation {key} is no JSON object")
    name, email = value.get("name", ""), value.get("email", "")
    if not isinstance(name, str) or not isinstance(email, str):
        raise Incompatible(f"annotation {key} has a name or an e-mail address that is no string")
    return Author(name=name, email=email)


def _created_at(annotations: Mapping[str, str], metadata: Mapping[str, Any]) -> str:
    if CREATED_AT in annotations:
        return _timestamp(annotations, CREATED_AT)
    created: str | None = metadata.get("creationTimestamp")  # RFC 3339 in UTC, whole seconds
    return created.removesuffix("Z") + ".000" if created else ""


def _timestamp(annotations: Mapping[str, str], key: str) -> str:
    text = annotations[key]
    try:
        if _TIMESTAMP.fullmatch(text):
            datetime.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise Incompatible(f"annotation {key} is no time like 2020-03-18T18:08:31.850")

"""ObjectMeta: what a caller may put into `metadata`, and what the server makes of it.

`read` does what decoding into Go's ObjectMeta does (types, unknown fields, null entries); `problems` what
`k8s.io/apimachinery/pkg/api/validation` checks. managedFields and selfLink are dropped: the emulator keeps none.
"""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING, Any, Final

from segsvc.devcluster.jsonbody import kind_of
from segsvc.devcluster.status import Cause, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELDS: Final = {
    "name": "string",
    "generateName": "string",
    "namespace": "string",
    "selfLink": "string",
    "uid": "string",
    "resourceVersion": "string",
    "generation": "integer",
    "creationTimestamp": "time",
    "deletionTimestamp": "time",
    "deletionGracePeriodSeconds": "integer",
    "labels": "map",
    "annotations": "map",
    "ownerReferences": "array",
    "finalizers": "strings",
    "managedFields": "array",
}
_GO_TYPES: Final = {
    "string": "string",
    "integer": "int64",
    "map": "map[string]string",
    "strings": "[]string",
    "array": "[]v1.OwnerReference",
}
ANNOTATIONS_LIMIT: Final = 256 * 1024

_SUBDOMAIN: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME_PART: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_BAD_SUBDOMAIN: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    f"start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_BAD_LABEL: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_BAD_NAME_PART: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_NAME_PART}')"
)
_BAD_LABEL_VALUE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
    f"validation is '{_LABEL_VALUE}')"
)


class DecodingError(Exception):
    """A field of the metadata has a type that Go's ObjectMeta does not take; the words are Go's."""


def read(metadata: object) -> tuple[dict[str, Any], list[str]]:
    """Return `metadata` as the server understands it, and the paths of fields it does not know.

    Raises DecodingError when a field has the wrong type.
    """
    if metadata is None:
        return {}, []
    if not isinstance(metadata, dict):
        raise DecodingError(_unmarshal(metadata, "Go value of type v1.ObjectMeta"))
    known: dict[str, Any] = {}
    for key, value in metadata.items():
        if key in _FIELDS and value is not None:
            known[key] = _field(key, value)
    for key in ("managedFields", "selfLink"):
        known.pop(key, None)
    for key in ("labels", "annotations", "finalizers", "ownerReferences"):
        if key in known and not known[key]:
            del known[key]
    return known, sorted(f"metadata.{key}" for key in metadata if key not in _FIELDS)


def problems(metadata: dict[str, Any]) -> list[Cause]:
    """Return everything in `metadata` that breaks the rules for all objects."""
    causes: list[Cause] = []
    name, stem = metadata.get("name", ""), metadata.get("generateName", "")
    if stem:
        # A trailing dash is fine: random characters follow it.
        causes += [_invalid("metadata.generateName", stem, why) for why in subdomain_problems(_without_dash(stem))]
    if not name:
        message = "Required value: name or generateName is required"
        causes.append(Cause("metadata.name", "FieldValueRequired", message))
    else:
        causes += [_invalid("metadata.name", name, why) for why in subdomain_problems(name)]
    if namespace := metadata.get("namespace", ""):
        causes += [_invalid("metadata.namespace", namespace, why) for why in label_problems(namespace)]
    for key, value in sorted(metadata.get("labels", {}).items()):
        causes += [_invalid("metadata.labels", key, why) for why in qualified_name_problems(key)]
        causes += [_invalid("metadata.labels", value, why) for why in label_value_problems(value)]
    causes += _annotation_problems(metadata.get("annotations", {}))
    for finalizer in metadata.get("finalizers", ()):
        causes += [_invalid("metadata.finalizers", finalizer, why) for why in qualified_name_problems(finalizer)]
    for owner in metadata.get("ownerReferences", ()):
        causes += [
            _invalid(f"metadata.ownerReferences.{field}", "", "must not be empty")
            for field in ("apiVersion", "kind", "name", "uid")
            if not owner.get(field)
        ]
    return causes


def finalizer_warnings(metadata: dict[str, Any]) -> Iterator[str]:
    """Yield a warning for each finalizer that names no domain."""
    for finalizer in metadata.get("finalizers", ()):
        if "/" not in finalizer:
            yield (
                f"metadata.finalizers: {quoted(finalizer)}: prefer a domain-qualified finalizer name to avoid "
                "accidental conflicts with other finalizer writers"
            )


def subdomain_problems(text: str) -> Iterator[str]:
    """Yield why `text` is no DNS-1123 subdomain (RFC 1123 as Kubernetes reads it)."""
    if len(text) > 253:
        yield "must be no more than 253 characters"
    if not re.fullmatch(_SUBDOMAIN, text):
        yield _BAD_SUBDOMAIN


def label_problems(text: str) -> Iterator[str]:
    """Yield why `text` is no DNS-1123 label."""
    if len(text) > 63:
        yield "must be no more than 63 characters"
    if not re.fullmatch(_LABEL, text):
        yield _BAD_LABEL


def qualified_name_problems(text: str) -> Iterator[str]:
    """Yield why `text` is no qualified name such as `example.com/key`."""
    *prefix, name = text.split("/") if text.count("/") < 2 else ["", "", text]
    if len(prefix) > 1:
        yield "a qualified name " + _BAD_NAME_PART.removeprefix("name part ")
        return
    # Keys of annotations and labels may have capitals in the prefix when lowered first; finalizers arrive as is.
    if prefix:
        if not prefix[0]:
            yield "prefix part must be non-empty"
        else:
            yield from (f"prefix part {why}" for why in subdomain_problems(prefix[0]))
    if not name:
        yield "name part must be non-empty"
    elif len(name) > 63:
        yield "name part must be no more than 63 bytes"
    if not re.fullmatch(_NAME_PART, name):
        yield _BAD_NAME_PART


def label_value_problems(text: str) -> Iterator[str]:
    """Yield why `text` is no label value."""
    if len(text) > 63:
        yield "must be no more than 63 bytes"
    if not re.fullmatch(_LABEL_VALUE, text):
        yield _BAD_LABEL_VALUE


def _annotation_problems(annotations: dict[str, str]) -> Iterator[Cause]:
    for key in sorted(annotations):
        # Keys are compared in lower case, for the sake of old objects.
        for why in qualified_name_problems(key.lower()):
            yield _invalid("metadata.annotations", key, why)
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > ANNOTATIONS_LIMIT:
        message = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        yield Cause("metadata.annotations", "FieldValueTooLong", message)


def _field(key: str, value: object) -> object:
    wanted = _FIELDS[key]
    if wanted == "time":
        return _time(key, value)
    found = {"object": "map"}.get(kind_of(value), kind_of(value))
    if found != wanted and not (wanted == "strings" and found == "array"):
        raise DecodingError(_unmarshal(value, f"Go struct field ObjectMeta.{key} of type {_GO_TYPES[wanted]}"))
    if isinstance(value, dict):
        return {name: _text(key, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_text(key, item) for item in value] if wanted == "strings" else [_reference(item) for item in value]
    return value


def _text(key: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DecodingError(_unmarshal(value, f"Go struct field ObjectMeta.{key} of type string"))
    return value


def _reference(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DecodingError(_unmarshal(value, "Go struct field ObjectMeta.ownerReferences of type v1.OwnerReference"))
    return {key: item for key, item in value.items() if item is not None}


def _time(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise DecodingError(_unmarshal(value, f"Go struct field ObjectMeta.{key} of type string"))
    try:
        moment = datetime.datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError(value)  # noqa: TRY301 -- one answer for all that is no RFC 3339 time
    except ValueError:
        layout = '"2006-01-02T15:04:05Z07:00"'
        why = f'parsing time {quoted(value)} as {layout}: cannot parse {quoted(value)} as "2006"'
        raise DecodingError(why) from None
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unmarshal(value: object, into: str) -> str:
    kind = {"boolean": "bool", "integer": "number"}.get(kind_of(value), kind_of(value))
    return f"json: cannot unmarshal {kind} into {into}"


def _without_dash(stem: str) -> str:
    return stem[:-1] + "a" if len(stem) > 1 and stem.endswith("-") else stem


def _invalid(field: str, value: str, why: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: {quoted(value)}: {why}")

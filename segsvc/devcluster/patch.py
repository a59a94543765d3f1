"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902), on values that the caller has copied."""

from __future__ import annotations

import copy
from typing import Any


class PatchError(Exception):
    """The patch does not apply: a path is missing, or a test fails."""


def merge(target: Any, patch: Any) -> Any:
    """Return `target` with the merge patch `patch` applied; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def apply(target: Any, operations: list[dict[str, Any]]) -> Any:
    """Return `target` with JSON patch `operations` applied to a copy. Raises PatchError."""
    document = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _apply_one(document, operation)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise PatchError(f"operation {operation!r} does not apply") from error
    return document


def _apply_one(document: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation["op"], _pointer(operation["path"])
    if kind == "test":
        if _at(document, path) != operation["value"]:
            raise PatchError("a test failed")
        return document
    if kind == "move":
        value = _at(document, source := _pointer(operation["from"]))
        return _add(_remove(document, source), path, value)
    if kind == "copy":
        return _add(document, path, copy.deepcopy(_at(document, _pointer(operation["from"]))))
    if kind == "remove":
        return _remove(document, path)
    if kind == "replace":
        _at(document, path)
        return _add(_remove(document, path), path, operation["value"]) if path else operation["value"]
    if kind == "add":
        return _add(document, path, operation["value"])
    raise PatchError(f"unknown operation {kind!r}")


def _pointer(text: str) -> list[str]:
    """Return the reference tokens of a JSON pointer (RFC 6901)."""
    if text and not text.startswith("/"):
        raise PatchError(f"{text!r} is no JSON pointer")
    return [token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]]


def _at(document: Any, path: list[str]) -> Any:
    for token in path:
        document = document[_index(token)] if isinstance(document, list) else document[token]
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _at(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else _index(last)
        if index > len(parent):
            raise PatchError(f"index {last} is out of bounds")
        parent.insert(index, value)
    else:
        parent[last] = value
    return document


def _remove(document: Any, path: list[str]) -> Any:
    parent, last = _at(document, path[:-1]), path[-1]
    del parent[_index(last) if isinstance(parent, list) else last]
    return document


def _index(token: str) -> int:
    if not token.isascii() or not token.isdigit():
        raise PatchError(f"{token!r} is no index")
    return int(token)

"""Tables: what `kubectl get` shows, computed from a resource's printer columns.

Follows k8s.io/apiextensions-apiserver's table convertor: a column that is no date shows its value, a date its
age, and what is missing is null. JSON paths are read as far as printer columns need them: fields, quoted fields,
indexes and `[*]`; a path beyond that shows nothing.
"""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING, Any, Final

from segsvc.devcluster.jsonbody import dumps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segsvc.devcluster.resources import Column, Resource

_STEP: Final = re.compile(r"\.((?:[^.\[\\]|\\.)+)|\['((?:[^'\\]|\\.)*)'\]|\[(\d+|\*)\]")
_NAME_COLUMN: Final = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace.",
    "priority": 0,
}


def render(
    resource: Resource, objects: Sequence[dict[str, Any]], *, include: str = "", metadata: dict[str, Any]
) -> dict[str, Any]:
    """Return the Table of `objects`; `include` is the query's includeObject: None, Metadata or Object."""
    now = datetime.datetime.now(datetime.UTC)
    definitions = [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description
            or f"Custom resource definition column (in JSONPath format): {column.json_path}",
            "priority": column.priority,
        }
        for column in resource.columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_NAME_COLUMN, *definitions],
        "rows": [_row(resource, value, include=include, now=now) for value in objects],
    }


def age(moment: str, now: datetime.datetime) -> str:
    """Return the time since `moment` (RFC 3339) as kubectl writes it, `<unknown>` when it is none."""
    try:
        seconds = int((now - datetime.datetime.fromisoformat(moment)).total_seconds())
    except (ValueError, TypeError):
        return "<invalid>"
    return _duration(seconds)


def _row(resource: Resource, value: dict[str, Any], *, include: str, now: datetime.datetime) -> dict[str, Any]:
    metadata = value["metadata"]
    cells = [metadata["name"], *(_cell(column, value, now) for column in resource.columns)]
    shown: dict[str, Any] | None
    if include == "None":
        shown = None
    elif include == "Object":
        shown = value
    else:
        shown = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return {"cells": cells, "object": shown}


def _cell(column: Column, value: dict[str, Any], now: datetime.datetime) -> Any:
    found = _select(value, column.json_path)
    if not found:
        return None
    if column.type == "date":
        return age(str(found[0]), now)
    if column.type == "string":
        return ",".join(_text(item) for item in found)
    return found[0] if isinstance(found[0], int | float) else None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return dumps(value).decode()


def _select(value: object, path: str) -> list[Any]:
    """Return what the JSON path selects, nothing when it leads nowhere or is beyond this reader."""
    selected: list[Any] = [value]
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if not match:
            return []
        position = match.end()
        plain, in_quotes, index = match.groups()
        if index is None:
            field = re.sub(r"\\(.)", r"\1", plain if plain is not None else in_quotes)
            selected = [item[field] for item in selected if isinstance(item, dict) and field in item]
        elif index == "*":
            selected = [inner for item in selected if isinstance(item, list) for inner in item]
        else:
            at = int(index)
            selected = [item[at] for item in selected if isinstance(item, list) and at < len(item)]
    return [item for item in selected if item is not None]


def _duration(seconds: int) -> str:
    """Return a duration as `k8s.io/apimachinery/pkg/util/duration.HumanDuration` writes it."""
    if seconds < -1:
        return "<invalid>"
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    shapes = (
        (seconds < 120, f"{seconds}s"),
        (minutes < 10, _pair(minutes, "m", seconds % 60, "s")),
        (minutes < 180, f"{minutes}m"),
        (hours < 8, _pair(hours, "h", minutes % 60, "m")),
        (hours < 48, f"{hours}h"),
        (days < 8, _pair(days, "d", hours % 24, "h")),
        (days < 730, f"{days}d"),
        (days < 2920, _pair(days // 365, "y", days % 365, "d")),
    )
    return next((text for fits, text in shapes if fits), f"{days // 365}y")


def _pair(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"

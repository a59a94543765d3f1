"""JSON as the API server reads and writes it.

Reading follows sigs.k8s.io/json: duplicate keys keep the last value and are reported by path, numbers without
a fraction become integers, invalid UTF-8 becomes U+FFFD. Writing sorts keys, as Go's maps are written. Raises
ValueError, and nothing else, for what is no JSON.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final, NoReturn

import orjson

_INT64: Final = range(-(2**63), 2**63)
_KINDS: Final = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
}
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class _Duplicates(dict[str, Any]):
    """An object of which some keys stood twice."""

    repeated: tuple[str, ...] = ()


def dumps(value: Any) -> bytes:
    """Return `value` as compact JSON with sorted keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def loads(body: bytes) -> tuple[Any, list[str]]:
    """Return the value, and the paths of keys that stood more than once (`spec.size`)."""
    try:
        value = json.loads(
            body.decode("utf-8", errors="replace"),
            parse_float=_number,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except RecursionError as error:
        raise ValueError("exceeded max depth") from error
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc.rstrip()):
            raise ValueError("unexpected end of JSON input") from error
        offending = error.doc[error.pos]
        raise ValueError(f"invalid character {offending!r} looking for beginning of value") from error
    repeated: list[str] = []
    return _plain(value, path="", repeated=repeated, surrogates=bool(_ESCAPED_SURROGATE.search(body))), repeated


def kind_of(value: object) -> str:
    """Return the JSON type of `value`, as error messages name it."""
    return _KINDS.get(type(value), "object")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    marked = _Duplicates(pairs)
    marked.repeated = tuple(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return marked


def _plain(value: Any, *, path: str, repeated: list[str], surrogates: bool) -> Any:
    """Return `value` without marks and lone surrogates, with the paths of repeated keys in `repeated`."""
    if isinstance(value, dict):
        if isinstance(value, _Duplicates):
            repeated.extend(f"{path}{key}" for key in value.repeated)
        return {
            _text(key) if surrogates else key: _plain(
                item, path=f"{path}{key}.", repeated=repeated, surrogates=surrogates
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        stem = path.removesuffix(".")
        return [
            _plain(item, path=f"{stem}[{index}].", repeated=repeated, surrogates=surrogates)
            for index, item in enumerate(value)
        ]
    return _text(value) if surrogates and isinstance(value, str) else value


def _text(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _number(text: str) -> int | float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise ValueError(f"json: cannot unmarshal number {text} into Go value of type float64")
    return int(value) if value.is_integer() and int(value) in _INT64 else value


def _integer(text: str) -> int | float:
    if len(text) > 20 or (value := int(text)) not in _INT64:
        return _number(text)
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"invalid character {text[0]!r} looking for beginning of value")

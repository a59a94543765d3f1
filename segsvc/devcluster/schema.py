"""Structural schemas: pruning, nulls, defaulting and validation of custom resources.

The order is the API server's: prune, drop nulls that no field wants, fill in defaults, validate. All but
`validate` change the object in place. Messages and reasons follow k8s.io/apiextensions-apiserver and
kube-openapi's validation. A schema with rules in CEL that `rules` cannot evaluate is refused (`unsupported`).
What CEL rules forbid is found by `validate_rules`, once nothing that `validate` found is in their way.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import copy
import datetime
import ipaddress
import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from segsvc.devcluster import rules
from segsvc.devcluster.jsonbody import kind_of
from segsvc.devcluster.status import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Schema: TypeAlias = "Mapping[str, Any]"

_RULES: Final = "x-kubernetes-validations"
_BLOCKING: Final = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
UNCHECKED: Final = Cause(
    "<nil>",
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the "
    "existing errors to complete validation",
)
"""Stands for the rules that are not evaluated because of another cause (see `blocks_rules`)."""
_JUNCTORS: Final = frozenset({"allOf", "anyOf", "oneOf", "not"})
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_EMBEDDED: Final = "x-kubernetes-embedded-resource"
_OBJECT_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})


def unsupported(schema: Schema, path: str = "openAPIV3Schema") -> Iterator[str]:
    """Yield the paths of rules that this module does not evaluate."""
    if rules.unknown(schema.get(_RULES, ())):
        yield f"{path}.{_RULES}"
    for key, value in schema.items():
        if key == "properties":
            for name, inner in value.items():
                yield from unsupported(inner, f"{path}.properties[{name}]")
        elif key in {"items", "additionalProperties", "not"} and isinstance(value, dict):
            yield from unsupported(value, f"{path}.{key}")
        elif key in {"allOf", "anyOf", "oneOf"}:
            for index, inner in enumerate(value):
                yield from unsupported(inner, f"{path}.{key}[{index}]")


def prune(schema: Schema, value: object, *, path: str = "", root: bool = True) -> list[str]:
    """Remove fields that `schema` does not specify, and return their paths."""
    pruned: list[str] = []
    if isinstance(value, dict):
        properties, additional = schema.get("properties", {}), schema.get("additionalProperties")
        kept = _OBJECT_FIELDS if root or schema.get(_EMBEDDED) else frozenset[str]()
        for key in list(value):
            if key in kept:
                continue
            inner = properties.get(key, additional)
            if isinstance(inner, dict):
                pruned += prune(inner, value[key], path=f"{path}{key}.", root=False)
            elif not inner and not schema.get(_PRESERVE):
                del value[key]
                pruned.append(f"{path}{key}")
    elif isinstance(value, list) and isinstance(inner := schema.get("items"), dict):
        stem = path.removesuffix(".")
        for index, item in enumerate(value):
            pruned += prune(inner, item, path=f"{stem}[{index}].", root=False)
    return pruned


def drop_nulls(schema: Schema, value: object) -> None:
    """Remove nulls from fields that are neither nullable nor have a default to take their place."""
    if isinstance(value, dict):
        for key in list(value):
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if not isinstance(inner, dict):
                continue
            if value[key] is None and not inner.get("nullable") and "default" not in inner:
                del value[key]
            else:
                drop_nulls(inner, value[key])
    elif isinstance(value, list) and isinstance(inner := schema.get("items"), dict):
        for item in value:
            drop_nulls(inner, item)


def fill_defaults(schema: Schema, value: object) -> None:
    """Set fields that are missing, or null without being nullable, to the defaults of `schema`."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for key, inner in properties.items():
            missing = key not in value or (value[key] is None and not inner.get("nullable"))
            if missing and "default" in inner:
                value[key] = copy.deepcopy(inner["default"])
        for key, item in value.items():
            inner = properties.get(key, schema.get("additionalProperties"))
            if isinstance(inner, dict):
                fill_defaults(inner, item)
    elif isinstance(value, list) and isinstance(inner := schema.get("items"), dict):
        for item in value:
            fill_defaults(inner, item)


def validate(schema: Schema, value: object, *, path: str = "") -> list[Cause]:
    """Return everything about `value` that `schema` forbids."""
    if value is None and schema.get("nullable"):
        return []
    causes = [*_type(schema, value, path), *_choices(schema, value, path), *_combined(schema, value, path)]
    match value:
        case bool() | None:
            pass
        case int() | float():
            causes += _number(schema, value, path)
        case str():
            causes += _string(schema, value, path)
        case list():
            causes += _array(schema, value, path)
        case dict():
            causes += _mapping(schema, value, path)
    return causes


def validate_rules(schema: Schema, value: object, *, path: str = "") -> Iterator[Cause]:
    """Yield what breaks the CEL rules of `schema`, in which nothing else `blocks_rules`."""
    if _RULES in schema:
        for why in rules.broken(schema[_RULES], value):
            yield Cause(path, "FieldValueInvalid", f"Invalid value: {why}")
    for step, inner, item in _inside(schema, value):
        yield from validate_rules(inner, item, path=f"{path}{step}" if path else step.removeprefix("."))


def has_rules(schema: Schema) -> bool:
    """Tell whether there are CEL rules anywhere in `schema`."""
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return _RULES in schema or any(isinstance(part, dict) and has_rules(part) for part in inner)


def blocks_rules(cause: Cause) -> bool:
    """Tell whether rules are left alone because of `cause`: they might not be able to read such an object."""
    return cause.reason in _BLOCKING


def _inside(schema: Schema, value: object) -> Iterator[tuple[str, Schema, object]]:
    """Yield the parts of `value` that have a schema of their own, with the step of the path to them."""
    if isinstance(value, dict):
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if isinstance(inner, dict):
                yield f".{key}", inner, item
    elif isinstance(value, list) and isinstance(inner := schema.get("items"), dict):
        for index, item in enumerate(value):
            yield f"[{index}]", inner, item


def wrong(path: str, value: object, why: str) -> Cause:
    """Return the cause for a value that is of the right type but not acceptable."""
    return Cause(path, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {why}")


def _type(schema: Schema, value: object, path: str) -> Iterator[Cause]:
    found = kind_of(value)
    if schema.get(_INT_OR_STRING):
        if found not in {"integer", "string"}:
            yield _mistyped(path, found, "integer,string")
        return
    wanted = schema.get("type")
    if wanted is None or found == wanted or (found, wanted) == ("integer", "number"):
        return
    yield _mistyped(path, found, wanted)
    if (found, wanted) == ("number", "integer"):
        # The real validator says this as well, and puts it under this field.
        yield wrong("<nil>", "", f"Checked value must be of type integer (default format) in {path}")


def _mistyped(path: str, found: str, wanted: str) -> Cause:
    message = f'Invalid value: "{found}": {_body(path)} must be of type {wanted}: "{found}"'
    return Cause(path or "<nil>", "FieldValueTypeInvalid", message)


def _choices(schema: Schema, value: object, path: str) -> Iterator[Cause]:
    choices = schema.get("enum")
    if choices is not None and not any(type(value) is type(choice) and value == choice for choice in choices):
        supported = ", ".join(_shown(choice) for choice in choices)
        message = f"Unsupported value: {_shown(value)}: supported values: {supported}"
        yield Cause(path, "FieldValueNotSupported", message)


def _combined(schema: Schema, value: object, path: str) -> Iterator[Cause]:
    """Check the junctors; what they say themselves stands under no field, as in kube-openapi."""
    if _JUNCTORS.isdisjoint(schema):
        return

    def found(key: str) -> list[list[Cause]]:
        return [validate(inner, value, path=path) for inner in schema.get(key, ())]

    if any(attempts := found("allOf")):
        yield from (cause for causes in attempts for cause in causes)
        tail = ". None validated" if all(attempts) else ""
        yield wrong("<nil>", "", f'"{path}" must validate all the schemas (allOf){tail}')
    if (attempts := found("anyOf")) and all(attempts):
        yield wrong("<nil>", "", f'"{path}" must validate at least one schema (anyOf)')
        yield from min(attempts, key=len)
    if (attempts := found("oneOf")) and (valid := sum(not causes for causes in attempts)) != 1:
        tail = f"Found {valid} valid alternatives" if valid else "Found none valid"
        yield wrong("<nil>", "", f'"{path}" must validate one and only one schema (oneOf). {tail}')
        if not valid:
            yield from min(attempts, key=len)
    if (inner := schema.get("not")) and not validate(inner, value, path=path):
        yield wrong("<nil>", "", f'"{path}" must not validate the schema (not)')


def _number(schema: Schema, value: float, path: str) -> Iterator[Cause]:
    factor = schema.get("multipleOf")
    if factor and not math.isclose(quotient := value / factor, round(quotient), rel_tol=1e-12, abs_tol=1e-12):
        yield wrong(path, value, f"{_body(path)} should be a multiple of {factor}")
    if (limit := schema.get("maximum")) is not None:
        if schema.get("exclusiveMaximum") and value >= limit:
            yield wrong(path, value, f"{_body(path)} should be less than {limit}")
        elif value > limit:
            yield wrong(path, value, f"{_body(path)} should be less than or equal to {limit}")
    if (limit := schema.get("minimum")) is not None:
        if schema.get("exclusiveMinimum") and value <= limit:
            yield wrong(path, value, f"{_body(path)} should be greater than {limit}")
        elif value < limit:
            yield wrong(path, value, f"{_body(path)} should be greater than or equal to {limit}")
    width = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
    if width and isinstance(value, int) and not -(2**width) <= value < 2**width:
        kind = f"type integer with format {schema['format']}"
        yield wrong("<nil>", "", f"Checked value must be of {kind} in {path}")


def _string(schema: Schema, value: str, path: str) -> Iterator[Cause]:
    # The first rule broken is the only one reported, as in kube-openapi.
    if (limit := schema.get("maxLength")) is not None and len(value) > limit:
        yield Cause(path, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")
    elif (limit := schema.get("minLength")) is not None and len(value) < limit:
        yield wrong(path, value, f"{_body(path)} should be at least {limit} chars long")
    elif (pattern := schema.get("pattern")) is not None and not re.search(_go_pattern(pattern), value):
        yield wrong(path, value, f"{_body(path)} should match '{pattern}'")
    check = _FORMATS.get(schema.get("format", ""))
    if check and not check(value):
        message = f"Invalid value: {_shown(value)}: {_body(path)} must be of type {schema['format']}: {_shown(value)}"
        yield Cause(path, "FieldValueTypeInvalid", message)


def _array(schema: Schema, value: Sequence[object], path: str) -> Iterator[Cause]:
    if isinstance(inner := schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from validate(inner, item, path=f"{path}[{index}]")
    if (limit := schema.get("minItems")) is not None and len(value) < limit:
        yield wrong(path, len(value), f"{_body(path)} should have at least {limit} items")
    if (limit := schema.get("maxItems")) is not None and len(value) > limit:
        yield Cause(path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {_counted(limit)}")
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if schema.get("x-kubernetes-list-type") in {"set", "map"}:
        seen: set[bytes] = set()
        for index, item in enumerate(value):
            identity = {key: item[key] for key in keys if key in item} if isinstance(item, dict) and keys else item
            mark = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
            if mark in seen:
                message = f"Duplicate value: {mark.decode() if not keys else _shown(identity)}"
                yield Cause(f"{path}[{index}]", "FieldValueDuplicate", message)
            seen.add(mark)


def _mapping(schema: Schema, value: Mapping[str, object], path: str) -> Iterator[Cause]:
    properties, additional = schema.get("properties", {}), schema.get("additionalProperties")
    stem = f"{path}." if path else ""
    for key in schema.get("required", ()):
        if key not in value:
            yield Cause(f"{stem}{key}", "FieldValueRequired", "Required value")
    for key, item in value.items():
        inner = properties.get(key, additional)
        if isinstance(inner, dict):
            yield from validate(inner, item, path=f"{stem}{key}")
    if (limit := schema.get("minProperties")) is not None and len(value) < limit:
        yield wrong(path, len(value), f"{_body(path)} should have at least {limit} properties")
    if (limit := schema.get("maxProperties")) is not None and len(value) > limit:
        yield Cause(path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {_counted(limit)}")


def _body(path: str) -> str:
    return f"{path} in body" if path else "in body"


def _counted(limit: int) -> str:
    return f"{limit} item" if limit == 1 else f"{limit} items"


def _shown(value: object) -> str:
    return orjson.dumps(value).decode()


def _go_pattern(pattern: str) -> str:
    r"""Return a Go (RE2) pattern for Python: Go's `$` and `\z` match at the very end only."""
    return re.sub(r"(?<!\\)((?:\\\\)*)\$$", r"\1\\Z", pattern).replace(r"\z", r"\Z")


def _is_date_time(text: str) -> bool:
    try:
        return datetime.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def _is_address(kind: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            kind(text)
        except ValueError:
            return False
        return True

    return check


_FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "date-time": _is_date_time,
    "date": _is_date,
    "ipv4": _is_address(ipaddress.IPv4Address),
    "ipv6": _is_address(ipaddress.IPv6Address),
    "cidr": _is_address(ipaddress.ip_interface),
}

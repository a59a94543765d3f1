"""Rules in CEL (x-kubernetes-validations), evaluated by a CEL library.

Rules that look at the earlier state (``oldSelf``) or make their message (``messageExpression``) are not known here:
`unknown` finds them, so that a schema with one is refused instead of half obeyed.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cel

from segsvc.devcluster.jsonbody import dumps, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_KNOWN = frozenset({"rule", "message", "reason", "fieldPath"})


def unknown(rules: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether some of these rules cannot be evaluated here."""
    return any(not _KNOWN.issuperset(rule) or "oldSelf" in rule["rule"] or not _compiles(rule) for rule in rules)


def broken(rules: Sequence[Mapping[str, Any]], value: object) -> Iterator[str]:
    """Yield, for each rule that `value` breaks, what follows `Invalid value: ` in the API server's words.

    A scalar value is shown, an object or a list is not.
    """
    shown = "" if isinstance(value, dict | list) else f"{dumps(value).decode()}: "
    for rule in rules:
        said = rule.get("message") or f"failed rule: {rule['rule'].strip()}"
        try:
            kept = _program(rule["rule"]).execute({"self": value})
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            yield f'"{kind_of(value)}": {error} evaluating rule: {said}'
        else:
            if not kept:
                yield f"{shown}{said}"


def _compiles(rule: Mapping[str, Any]) -> bool:
    try:
        _program(rule["rule"])
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def _program(rule: str) -> cel.Program:
    return cel.compile(rule)

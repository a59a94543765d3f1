"""Label and field selectors.

Grammar and messages follow k8s.io/apimachinery `labels` and `fields`. Field selectors know what every custom
resource offers: metadata.name and metadata.namespace.
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TOKEN: Final = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; `operator` is one of in, notin, exists, !, gt, lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether `labels` meet the condition."""
        found = labels.get(self.key)
        if self.operator == "!":
            return found is None
        if found is None:
            return self.operator == "notin"
        if self.operator in {"in", "notin"}:
            return (found in self.values) == (self.operator == "in")
        if self.operator == "exists":
            return True
        (bound,) = self.values
        if not re.fullmatch(r"-?\d+", found, re.ASCII):
            return False
        return int(found) > int(bound) if self.operator == "gt" else int(found) < int(bound)


@dataclass(frozen=True, slots=True)
class Selector:
    """A label and a field selector together; without conditions it selects everything."""

    labels: Sequence[Requirement] = ()
    fields: Sequence[tuple[str, str, bool]] = ()

    @property
    def selects_all(self) -> bool:
        """Whether there is no condition."""
        return not self.labels and not self.fields

    def matches(self, key: str, body: bytes) -> bool:
        """Tell whether the object `body`, stored under `key`, is selected."""
        namespace, _, name = key.partition("/")
        for field, value, equal in self.fields:
            if ((name if field == "metadata.name" else namespace) == value) != equal:
                return False
        if not self.labels:
            return True
        labels = orjson.loads(body)["metadata"].get("labels", {})
        return all(requirement.matches(labels) for requirement in self.labels)


def parse(labels: str, fields: str) -> Selector:
    """Return the selector for the query parameters. Raises ValueError with the API server's words."""
    return Selector(tuple(_LabelParser(labels).requirements()), tuple(_field_terms(fields)))


def _field_terms(text: str) -> list[tuple[str, str, bool]]:
    terms = []
    for term in filter(None, text.split(",")):
        match = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", term)
        if not match:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        field, operator, value = match.groups()
        if field not in {"metadata.name", "metadata.namespace"}:
            raise ValueError(f"field label not supported: {field}")
        terms.append((field, value, operator != "!="))
    return terms


class _LabelParser:
    """A parser of `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._next = 0

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self._peek():
            found.append(self._requirement())
            if not self._peek():
                break
            if (token := self._take()) != ",":
                raise ValueError(f"found '{token}', expected: ',' or 'end of string'")
            if not self._peek():
                raise ValueError("found '', expected: identifier after ','")
        return found

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(self._identifier("identifier"), "!")
        key = self._identifier("!, identifier, or 'end of string'")
        operator = self._peek()
        if operator in {"", ","}:
            return Requirement(key, "exists")
        self._take()
        if operator in {"=", "=="}:
            return Requirement(key, "in", frozenset({self._value()}))
        if operator == "!=":
            return Requirement(key, "notin", frozenset({self._value()}))
        if operator in {"in", "notin"}:
            return Requirement(key, operator, self._values())
        if operator in {"<", ">"}:
            bound = self._value()
            if not re.fullmatch(r"-?\d+", bound, re.ASCII):
                why = "for 'Gt', 'Lt' operators, the value must be an integer"
                raise ValueError(f'values[0][{key}]: Invalid value: "{bound}": {why}')
            return Requirement(key, "gt" if operator == ">" else "lt", frozenset({bound}))
        raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _values(self) -> frozenset[str]:
        if (token := self._take()) != "(":
            raise ValueError(f"found '{token}' expected: '('")
        values = {self._value()}
        while (separator := self._take()) == ",":
            values.add(self._value())
        if separator != ")":
            raise ValueError(f"found '{separator}', expected: ',', ')' or identifier")
        return frozenset(values)

    def _identifier(self, expected: str) -> str:
        token = self._take()
        if not re.fullmatch(r"[^=!(),<>]+", token):
            raise ValueError(f"found '{token}', expected: {expected}")
        return token

    def _value(self) -> str:
        """Return a value; an empty one stands before `,`, `)` or the end."""
        if self._peek() in {"", ",", ")"}:
            return ""
        return self._identifier("identifier")

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

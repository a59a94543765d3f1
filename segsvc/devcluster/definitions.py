"""CustomResourceDefinitions as objects: their own schema, and what makes one complete.

Definitions are validated by the same structural rules as custom resources; `admit_definition` adds what a schema
cannot say. A definition that is admitted is established at once: its status says so from the first write on.
https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Final

from segsvc.devcluster.schema import unsupported
from segsvc.devcluster.status import Cause, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segsvc.devcluster.schema import Schema

_STRING: Final = {"type": "string"}
_STRINGS: Final = {"type": "array", "items": _STRING}
_BOOLEAN: Final = {"type": "boolean"}
_ANYTHING: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_COLUMN: Final = {
    "type": "object",
    "required": ["name", "type", "jsonPath"],
    "properties": {
        "name": _STRING,
        "type": {"type": "string", "enum": ["boolean", "date", "integer", "number", "string"]},
        "format": _STRING,
        "description": _STRING,
        "priority": {"type": "integer"},
        "jsonPath": _STRING,
    },
}
_VERSION: Final = {
    "type": "object",
    "required": ["name", "served", "storage"],
    "properties": {
        "name": _STRING,
        "served": _BOOLEAN,
        "storage": _BOOLEAN,
        "deprecated": _BOOLEAN,
        "deprecationWarning": _STRING,
        "schema": {"type": "object", "properties": {"openAPIV3Schema": _ANYTHING}},
        "subresources": {"type": "object", "properties": {"status": _ANYTHING, "scale": _ANYTHING}},
        "additionalPrinterColumns": {"type": "array", "items": _COLUMN},
        "selectableFields": {"type": "array", "items": _ANYTHING},
    },
}
CRD_SCHEMA: Final[Schema] = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["group", "names", "scope", "versions"],
            "properties": {
                "group": _STRING,
                "scope": {"type": "string", "enum": ["Cluster", "Namespaced"]},
                "preserveUnknownFields": _BOOLEAN,
                "conversion": _ANYTHING,
                "names": {
                    "type": "object",
                    "required": ["plural", "kind"],
                    "properties": {
                        "plural": _STRING,
                        "singular": _STRING,
                        "kind": _STRING,
                        "listKind": _STRING,
                        "shortNames": _STRINGS,
                        "categories": _STRINGS,
                    },
                },
                "versions": {"type": "array", "minItems": 1, "items": _VERSION},
            },
        },
        "status": _ANYTHING,
    },
}


def admit_definition(crd: dict[str, Any]) -> list[Cause]:
    """Complete `crd`, already valid under CRD_SCHEMA, in place, and return what is still wrong with it."""
    spec, names = crd["spec"], crd["spec"]["names"]
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    causes = list(_problems(crd))
    if not causes:
        crd["status"] = _status(crd)
    return causes


def _problems(crd: dict[str, Any]) -> Iterator[Cause]:
    spec = crd["spec"]
    expected = f"{spec['names']['plural']}.{spec['group']}"
    if (name := crd["metadata"].get("name", "")) != expected:
        message = f'Invalid value: {quoted(name)}: must be spec.names.plural+"."+spec.group'
        yield Cause("metadata.name", "FieldValueInvalid", message)
    if sum(version["storage"] for version in spec["versions"]) != 1:
        message = "Invalid value: must have exactly one version marked as storage version"
        yield Cause("spec.versions", "FieldValueInvalid", message)
    if (strategy := spec["conversion"].get("strategy")) != "None":
        message = f'Unsupported value: {quoted(str(strategy))}: the embedded cluster supports only "None"'
        yield Cause("spec.conversion.strategy", "FieldValueNotSupported", message)
    for index, version in enumerate(spec["versions"]):
        path = f"spec.versions[{index}]"
        found = version.get("schema", {}).get("openAPIV3Schema")
        if found is None:
            yield Cause(f"{path}.schema.openAPIV3Schema", "FieldValueRequired", "Required value")
            continue
        if found.get("type") != "object":
            message = f"Invalid value: {quoted(str(found.get('type', '')))}: must be object at the root"
            yield Cause(f"{path}.schema.openAPIV3Schema.type", "FieldValueInvalid", message)
        for rule in unsupported(found, f"{path}.schema.openAPIV3Schema"):
            yield Cause(rule, "FieldValueForbidden", "Forbidden: the embedded cluster does not evaluate such rules")
        if "scale" in (version.get("subresources") or {}):
            message = "Forbidden: the embedded cluster has no scale subresource"
            yield Cause(f"{path}.subresources.scale", "FieldValueForbidden", message)


def _status(crd: dict[str, Any]) -> dict[str, Any]:
    """Return the status of an established definition; times of an earlier one stay."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    before = crd.get("status") or {}
    storage = next(version["name"] for version in crd["spec"]["versions"] if version["storage"])
    stored = before.get("storedVersions") or []
    conditions = before.get("conditions") or [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": now,
        }
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    return {
        "acceptedNames": crd["spec"]["names"],
        "conditions": conditions,
        "storedVersions": stored if storage in stored else [*stored, storage],
    }

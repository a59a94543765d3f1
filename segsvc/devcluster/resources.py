"""Resource types: the custom ones that CustomResourceDefinitions declare, and that of definitions themselves.

A `Resource` is one served version of a type, with all that the generic operations need to know of it. The
catalog is derived from the stored definitions and nothing else, so it can be rebuilt at any time.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from segsvc.devcluster.definitions import CRD_SCHEMA, admit_definition
from segsvc.devcluster.schema import has_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from segsvc.devcluster.schema import Schema
    from segsvc.devcluster.status import Cause
    from segsvc.devcluster.store import Store

CRD_GROUP = "apiextensions.k8s.io"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`: an additionalPrinterColumn."""

    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One served version of a resource type."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    namespaced: bool
    schema: Schema
    definition_uid: str = ""
    storage_version: str = ""
    short_names: Sequence[str] = ()
    categories: Sequence[str] = ()
    has_status: bool = False
    has_rules: bool = False
    columns: Sequence[Column] = ()
    admit: Callable[[dict[str, Any]], list[Cause]] | None = field(default=None, repr=False)
    """Last word before validation: completes the object in place, returns what the schema cannot say."""

    @property
    def api_version(self) -> str:
        """`GROUP/VERSION`, as in an object's apiVersion."""
        return f"{self.group}/{self.version}"

    @property
    def collection(self) -> str:
        """The name of the collection in the store, which all versions share."""
        return f"{self.plural}.{self.group}"

    def served(self, body: bytes) -> bytes:
        """Return a stored object as this version serves it: with its apiVersion, fields untouched."""
        if self.version == self.storage_version:
            return body
        # Sorted keys put apiVersion first in every stored object.
        _, _, rest = body.partition(b",")
        return b'{"apiVersion":' + orjson.dumps(self.api_version) + b"," + rest

    def stored(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return `value` as the storage version has it."""
        return {**value, "apiVersion": f"{self.group}/{self.storage_version}"}


def key_of(namespace: str, name: str) -> str:
    """Return the key in the store; a cluster-scoped object has an empty namespace."""
    return f"{namespace}/{name}"


CRDS = Resource(
    group=CRD_GROUP,
    version="v1",
    storage_version="v1",
    plural="customresourcedefinitions",
    singular="customresourcedefinition",
    kind="CustomResourceDefinition",
    list_kind="CustomResourceDefinitionList",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    has_status=True,
    schema=CRD_SCHEMA,
    columns=(Column("Created At", "string", ".metadata.creationTimestamp"),),
    admit=admit_definition,
)


class Catalog:
    """The resource types that the definitions in the store declare."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._served: dict[tuple[str, str, str], Resource] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the definitions anew: to be called when one of them has changed."""
        definitions = (orjson.loads(body) for _, body in self._store.scan(CRDS.collection))
        resources = [CRDS, *(resource for crd in definitions for resource in _resources(crd))]
        self._served = {(r.group, r.version, r.plural): r for r in resources}

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource that is served there, or None."""
        return self._served.get((group, version, plural))

    def of_object(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource that objects with this apiVersion and kind belong to, or None."""
        return next((r for r in self if r.api_version == api_version and r.kind == kind), None)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._served.values())


def collection_of(definition: Mapping[str, Any]) -> str:
    """Return the store's collection for the objects of a definition."""
    return f"{definition['spec']['names']['plural']}.{definition['spec']['group']}"


def _resources(crd: Mapping[str, Any]) -> Iterator[Resource]:
    spec = crd["spec"]
    names = spec["names"]
    storage = next(version["name"] for version in spec["versions"] if version["storage"])
    for version in spec["versions"]:
        if not version["served"]:
            continue
        columns = version.get("additionalPrinterColumns") or [
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
        ]
        yield Resource(
            group=spec["group"],
            version=version["name"],
            storage_version=storage,
            plural=names["plural"],
            singular=names["singular"],
            kind=names["kind"],
            list_kind=names["listKind"],
            short_names=tuple(names.get("shortNames", ())),
            categories=tuple(names.get("categories", ())),
            namespaced=spec["scope"] == "Namespaced",
            schema=version["schema"]["openAPIV3Schema"],
            definition_uid=crd["metadata"]["uid"],
            has_rules=has_rules(version["schema"]["openAPIV3Schema"]),
            has_status="status" in (version.get("subresources") or {}),
            columns=tuple(
                Column(
                    name=column["name"],
                    type=column["type"],
                    json_path=column["jsonPath"],
                    format=column.get("format", ""),
                    description=column.get("description", ""),
                    priority=column.get("priority", 0),
                )
                for column in columns
            ),
        )

"""Discovery and OpenAPI documents: how kubectl learns what there is and how it looks.

Everything is derived from the catalog at the time of the request.
https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

import hashlib
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from segsvc.devcluster.resources import Catalog, Resource

_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_STATUS_VERBS: Final = ("get", "patch", "update")
_META_PREFIX: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
_OBJECT_META: Final = {
    "type": "object",
    "description": "ObjectMeta is metadata that all persisted resources must have.",
    "properties": {
        "name": {"type": "string"},
        "generateName": {"type": "string"},
        "namespace": {"type": "string"},
        "uid": {"type": "string"},
        "resourceVersion": {"type": "string"},
        "generation": {"type": "integer", "format": "int64"},
        "creationTimestamp": {"type": "string", "format": "date-time"},
        "deletionTimestamp": {"type": "string", "format": "date-time"},
        "deletionGracePeriodSeconds": {"type": "integer", "format": "int64"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "finalizers": {"type": "array", "items": {"type": "string"}},
        "ownerReferences": {"type": "array", "items": {"type": "object"}},
    },
}
VERSION: Final = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+segsvc-devcluster",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "python",
}


def groups(catalog: Catalog) -> dict[str, Any]:
    """`/apis`."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*g) for g in _by_group(catalog).items()]}


def group(catalog: Catalog, name: str) -> dict[str, Any] | None:
    """`/apis/GROUP`, None when there is no such group."""
    versions = _by_group(catalog).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions else None


def resources(catalog: Catalog, group_name: str, version: str) -> dict[str, Any] | None:
    """`/apis/GROUP/VERSION`, None when that is not served."""
    found = _by_group(catalog).get(group_name, {}).get(version)
    if not found:
        return None
    entries = [entry for resource in found for entry in _resource_entries(resource)]
    group_version = f"{group_name}/{version}"
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def openapi_index(catalog: Catalog) -> dict[str, Any]:
    """`/openapi/v3`: the documents, with a hash each that changes when they do."""
    paths = {}
    for group_name, versions in _by_group(catalog).items():
        for version, found in versions.items():
            path = f"apis/{group_name}/{version}"
            mark = hashlib.sha256(repr(found).encode()).hexdigest()[:32]
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={mark}"}
    return {"paths": paths}


def openapi_v3(catalog: Catalog, group_name: str, version: str) -> dict[str, Any] | None:
    """`/openapi/v3/apis/GROUP/VERSION`, None when that is not served."""
    found = _by_group(catalog).get(group_name, {}).get(version)
    if not found:
        return None
    paths: dict[str, Any] = {}
    for resource in found:
        paths |= _paths(resource, reference="#/components/schemas/", v3=True)
    schemas = {f"{_META_PREFIX}.ObjectMeta": _OBJECT_META}
    schemas |= {_schema_name(r): _schema(r, "#/components/schemas/") for r in found}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _by_group(catalog: Iterable[Resource]) -> dict[str, dict[str, list[Resource]]]:
    ordered = sorted(catalog, key=lambda r: (r.group, r.version, r.plural))
    return {
        name: {version: list(same) for version, same in groupby(members, key=lambda r: r.version)}
        for name, members in groupby(ordered, key=lambda r: r.group)
    }


def _group(name: str, versions: Mapping[str, list[Resource]]) -> dict[str, Any]:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    storage = next(r.storage_version for found in versions.values() for r in found)
    preferred = next((entry for entry in entries if entry["version"] == storage), entries[0])
    return {"name": name, "versions": entries, "preferredVersion": preferred}


def _resource_entries(resource: Resource) -> Iterable[dict[str, Any]]:
    yield {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _VERBS,
        **({"shortNames": resource.short_names} if resource.short_names else {}),
        **({"categories": resource.categories} if resource.categories else {}),
    }
    if resource.has_status:
        yield {
            "name": f"{resource.plural}/status",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": _STATUS_VERBS,
        }


def _schema_name(resource: Resource) -> str:
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


def _schema(resource: Resource, reference: str) -> dict[str, Any]:
    schema = {key: value for key, value in resource.schema.items() if key != "properties"}
    properties = {
        **resource.schema.get("properties", {}),
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": f"{reference}{_META_PREFIX}.ObjectMeta"},
    }
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    return {**schema, "type": "object", "properties": properties, "x-kubernetes-group-version-kind": [kind]}


def _paths(resource: Resource, *, reference: str, v3: bool) -> dict[str, Any]:
    """Return the operations that kubectl looks up: which kind they take, and which parameters."""
    base = f"/apis/{resource.api_version}"
    collection = (
        f"{base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{base}/{resource.plural}"
    )
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    string = {"schema": {"type": "string"}} if v3 else {"type": "string"}
    # kubectl looks for these two before it sends a dry run or a strict validation.
    parameters = [{"name": name, "in": "query", **string} for name in ("dryRun", "fieldValidation")]
    schema = {"schema": {"$ref": reference + _schema_name(resource)}}
    answer = {"description": "OK", "content": {"application/json": schema}} if v3 else {"description": "OK", **schema}

    def operation(action: str, *, query: bool) -> dict[str, Any]:
        return {
            "responses": {"200": answer},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
            **({"parameters": parameters} if query else {}),
        }

    return {
        collection: {"get": operation("list", query=False), "post": operation("post", query=True)},
        f"{collection}/{{name}}": {
            "get": operation("get", query=False),
            "put": operation("put", query=True),
            "patch": operation("patch", query=True),
            "delete": operation("delete", query=True),
        },
    }

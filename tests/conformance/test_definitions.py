"""CustomResourceDefinitions, paths, discovery and tables."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.client import API_VERSION, CRDS, GROUP, PATIENCE, Api, widget
from tests.conformance.conftest import definition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll: a kube-apiserver installs and removes resource types in the background."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 -- nothing to wait on but the server
            await asyncio.sleep(0.02)


async def _install(cluster: Api, **changes: Any) -> tuple[str, str]:
    """Create a definition of a fresh kind; return its path and that of its collection, once it is served."""
    manifest = definition(f"T{secrets.token_hex(4)}")
    manifest["spec"] |= changes
    plural = manifest["spec"]["names"]["plural"]
    answer = await cluster.request("POST", CRDS, manifest)
    assert answer.status == 201, answer.body
    path, collection = f"{CRDS}/{plural}.{GROUP}", f"/apis/{API_VERSION}/namespaces/{cluster.namespace}/{plural}"
    if changes.get("scope") == "Cluster":
        collection = f"/apis/{API_VERSION}/{plural}"

    async def served() -> bool:
        return (await cluster.get(collection)).status == 200

    await _until(served)
    return path, collection


async def test_a_definition_is_established_and_serves_its_objects(cluster: Api) -> None:
    path, collection = await _install(cluster)

    async def established() -> bool:  # its names are enough for it to be served
        conditions = (await cluster.get(path)).body["status"]["conditions"]
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    await _until(established)
    crd = (await cluster.get(path)).body
    conditions = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert crd["status"]["storedVersions"] == ["v1"]
    assert crd["spec"]["names"]["listKind"] == f"{crd['spec']['names']['kind']}List"
    body = {**widget("x"), "kind": crd["spec"]["names"]["kind"]}
    assert (await cluster.request("POST", collection, body)).status == 201
    assert (await cluster.get(f"{collection}/x")).body["kind"] == crd["spec"]["names"]["kind"]


async def test_a_deleted_definition_takes_its_objects_and_paths_along(cluster: Api) -> None:
    path, collection = await _install(cluster)
    kind = (await cluster.get(path)).body["spec"]["names"]["kind"]
    await cluster.request("POST", collection, {**widget("x"), "kind": kind})
    assert (await cluster.request("DELETE", path)).status == 200

    async def gone() -> bool:
        return (await cluster.get(path)).status == 404 and (await cluster.get(collection)).status == 404

    await _until(gone)
    answer = await cluster.get(collection)
    assert (answer.status, answer.body) == (404, "404 page not found\n")
    assert answer.headers["Content-Type"].startswith("text/plain")


async def test_a_definition_can_be_read_listed_and_patched(cluster: Api) -> None:
    path, collection = await _install(cluster)
    name = path.rpartition("/")[2]
    assert name in (await cluster.get(CRDS)).names
    patch = [
        {
            "op": "add",
            "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/extra",
            "value": {"type": "string"},
        }
    ]
    changed = await cluster.request("PATCH", path, patch, content_type="application/json-patch+json")
    assert (changed.status, changed.body["metadata"]["generation"]) == (200, 2)
    kind = changed.body["spec"]["names"]["kind"]

    async def known() -> bool:
        body = {**widget("x", {"size": 1, "extra": "y"}), "kind": kind}
        return (
            await cluster.request("POST", collection, body, params={"fieldValidation": "Strict", "dryRun": "All"})
        ).status == 201

    await _until(known)


async def test_a_taken_definition_is_a_conflict(cluster: Api) -> None:
    answer = await cluster.request("POST", CRDS, definition())
    assert (answer.status, answer.body["reason"]) == (409, "AlreadyExists")
    assert answer.body["message"] == f'customresourcedefinitions.apiextensions.k8s.io "widgets.{GROUP}" already exists'


async def test_a_definition_must_be_named_after_what_it_defines(cluster: Api) -> None:
    manifest = definition("Misnamed")
    manifest["metadata"]["name"] = "x.y"
    answer = await cluster.request("POST", CRDS, manifest)
    assert answer.status == 422
    message = 'Invalid value: "x.y": must be spec.names.plural+"."+spec.group'
    assert ("metadata.name", "FieldValueInvalid", message) in answer.causes


async def test_a_definition_needs_a_schema(cluster: Api) -> None:
    manifest = definition("Shapeless")
    del manifest["spec"]["versions"][0]["schema"]
    answer = await cluster.request("POST", CRDS, manifest)
    assert answer.status == 422
    assert ("spec.versions[0].schema.openAPIV3Schema", "FieldValueRequired", "Required value") in answer.causes


async def test_cluster_scoped_objects_have_no_namespace(cluster: Api) -> None:
    path, collection = await _install(cluster, scope="Cluster")
    kind = (await cluster.get(path)).body["spec"]["names"]["kind"]
    created = await cluster.request("POST", collection, {**widget("x"), "kind": kind})
    assert created.status == 201
    assert "namespace" not in created.body["metadata"]
    assert (await cluster.get(f"{collection}/x")).body == created.body
    assert (await cluster.get(collection)).names == ["x"]
    assert (await cluster.request("DELETE", f"{collection}/x")).status == 200


async def test_another_served_version_shows_the_same_objects(cluster: Api) -> None:
    versions = definition()["spec"]["versions"]
    second = {**versions[0], "name": "v2", "storage": False}
    path, collection = await _install(cluster, versions=[versions[0], second])
    kind = (await cluster.get(path)).body["spec"]["names"]["kind"]
    later = collection.replace("/v1/", "/v2/")
    body = {**widget("x"), "kind": kind, "apiVersion": f"{GROUP}/v2"}
    created = await cluster.request("POST", later, body)
    assert (created.status, created.body["apiVersion"]) == (201, f"{GROUP}/v2")
    old = await cluster.get(f"{collection}/x")
    assert old.body == {**created.body, "apiVersion": API_VERSION}
    assert (await cluster.get(later)).body["items"] == [created.body]


@pytest.mark.parametrize(
    "path",
    [
        f"/apis/{API_VERSION}/gadgets",
        f"/apis/{GROUP}/v9/widgets",
        "/apis/nowhere.example.com/v1/namespaces/x/widgets",
    ],
)
async def test_what_is_not_defined_is_a_page_not_found(cluster: Api, path: str) -> None:
    answer = await cluster.get(path)
    assert (answer.status, answer.body) == (404, "404 page not found\n")


async def test_other_subresources_are_not_found(cluster: Api) -> None:
    await cluster.create("w")
    answer = await cluster.get(f"{cluster.widgets}/w/scale")
    assert (answer.status, answer.body["reason"]) == (404, "NotFound")


async def test_other_methods_are_not_allowed(cluster: Api) -> None:
    answer = await cluster.request("OPTIONS", cluster.widgets)
    assert (answer.status, answer.body["reason"]) == (405, "MethodNotAllowed")
    named = await cluster.request("PUT", cluster.widgets, widget("w"))
    assert (named.status, named.body["message"]) == (400, "name must be provided")


async def test_a_head_request_has_no_body(cluster: Api) -> None:
    await cluster.create("w")
    answer = await cluster.request("HEAD", f"{cluster.widgets}/w")
    assert (answer.status, answer.body) == (200, "")


async def test_discovery_names_the_resource_and_its_verbs(cluster: Api) -> None:
    group = await cluster.get(f"/apis/{GROUP}")
    assert group.body["kind"] == "APIGroup"
    assert {"groupVersion": API_VERSION, "version": "v1"} in group.body["versions"]
    resources = {r["name"]: r for r in (await cluster.get(f"/apis/{API_VERSION}")).body["resources"]}
    found = resources["widgets"]
    assert (found["kind"], found["singularName"], found["namespaced"]) == ("Widget", "widget", True)
    assert set(found["verbs"]) == {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    assert set(resources["widgets/status"]["verbs"]) == {"get", "patch", "update"}


async def test_a_table_has_the_printer_columns(cluster: Api) -> None:
    await cluster.create("w", {"size": 3, "tags": ["first", "second"]})
    answer = await cluster.request("GET", cluster.widgets, headers=TABLE)
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    columns = [(c["name"], c["type"], c["priority"]) for c in answer.body["columnDefinitions"]]
    assert columns == [
        ("Name", "string", 0),
        ("Size", "integer", 0),
        ("Mode", "string", 1),
        ("Tag", "string", 0),
        ("Age", "date", 0),
    ]
    (row,) = answer.body["rows"]
    assert row["cells"][:4] == ["w", 3, None, "first"]
    assert row["cells"][4].endswith("s")
    assert (row["object"]["kind"], row["object"]["metadata"]["name"]) == ("PartialObjectMetadata", "w")
    assert "spec" not in row["object"]


async def test_a_table_shows_as_much_of_its_objects_as_is_asked_for(cluster: Api) -> None:
    created = await cluster.create("w")
    path = f"{cluster.widgets}/w"
    whole = await cluster.request("GET", path, headers=TABLE, params={"includeObject": "Object"})
    assert whole.body["rows"][0]["object"]["spec"] == created["spec"]
    none = await cluster.request("GET", path, headers=TABLE, params={"includeObject": "None"})
    assert none.body["rows"][0]["object"] is None
    missing = await cluster.request("GET", f"{cluster.widgets}/nope", headers=TABLE)
    assert (missing.status, missing.body["kind"]) == (404, "Status")


async def test_an_answer_in_no_known_form_is_not_acceptable(cluster: Api) -> None:
    answer = await cluster.request("GET", cluster.widgets, headers={"Accept": "text/html"})
    assert (answer.status, answer.body["reason"]) == (406, "NotAcceptable")

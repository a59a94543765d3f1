"""Create, read, replace and patch single objects."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.conformance.client import GROUP, JSON_PATCH, MERGE_PATCH, Api, widget

CONFLICT = (
    f'Operation cannot be fulfilled on widgets.{GROUP} "w": the object has been modified; please apply your changes '
    "to the latest version and try again"
)


async def test_a_created_object_gets_its_system_metadata_and_defaults(cluster: Api) -> None:
    answer = await cluster.request("POST", cluster.widgets, widget("w", labels={"a": "b"}))
    assert answer.status == 201
    metadata = answer.body["metadata"]
    assert metadata["namespace"] == cluster.namespace
    assert metadata["generation"] == 1
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert metadata["resourceVersion"].isdigit()
    assert answer.body["spec"] == {"size": 1, "colour": "red"}
    read = await cluster.get(f"{cluster.widgets}/w")
    assert (read.status, read.body) == (200, answer.body)


async def test_keys_of_objects_come_in_order(cluster: Api) -> None:
    await cluster.create("w", {"size": 1, "nested": {"b": 1, "a": "x"}, "env": {"Z": "", "A": ""}})
    body = (await cluster.get(f"{cluster.widgets}/w")).body

    def in_order(value: object) -> bool:
        return not isinstance(value, dict) or (
            list(value) == sorted(value) and all(in_order(inner) for inner in value.values())
        )

    assert in_order(body)


async def test_what_only_the_server_may_set_is_ignored_on_create(cluster: Api) -> None:
    body = widget(
        "w",
        uid="12",
        creationTimestamp="2020-01-01T00:00:00Z",
        deletionTimestamp="2020-01-01T00:00:00Z",
        generation=7,
        selfLink="/x",
    )
    created = (await cluster.request("POST", cluster.widgets, {**body, "status": {"phase": "done"}})).body
    metadata = created["metadata"]
    assert metadata["uid"] != "12"
    assert metadata["creationTimestamp"] > "2021"
    assert metadata["generation"] == 1
    assert not {"deletionTimestamp", "selfLink"} & set(metadata)
    assert "status" not in created


async def test_generate_name_makes_a_fresh_name(cluster: Api) -> None:
    body = widget("", generateName="gen-")
    first = (await cluster.request("POST", cluster.widgets, body)).body["metadata"]
    second = (await cluster.request("POST", cluster.widgets, body)).body["metadata"]
    assert re.fullmatch("gen-[a-z0-9]{5}", first["name"])
    assert first["generateName"] == "gen-"
    assert first["name"] != second["name"]


async def test_a_taken_name_is_a_conflict(cluster: Api) -> None:
    await cluster.create("w")
    answer = await cluster.request("POST", cluster.widgets, widget("w"))
    assert answer.status == 409
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'widgets.{GROUP} "w" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "w", "group": GROUP, "kind": "widgets"},
        "code": 409,
    }


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_a_missing_object_is_not_found(cluster: Api, method: str) -> None:
    body = {"PUT": widget("nope", resourceVersion="5"), "PATCH": {"spec": {"size": 2}}}.get(method)
    content_type = MERGE_PATCH if method == "PATCH" else "application/json"
    answer = await cluster.request(method, f"{cluster.widgets}/nope", body, content_type=content_type)
    assert answer.status == 404
    assert answer.body["reason"] == "NotFound"
    assert answer.body["message"] == f'widgets.{GROUP} "nope" not found'
    assert answer.body["details"] == {"name": "nope", "group": GROUP, "kind": "widgets"}


async def test_versions_are_integers_that_rise_with_every_write(cluster: Api) -> None:
    first = await cluster.create("a")
    second = await cluster.create("b")
    third = (await cluster.patch("a", {"spec": {"size": 2}})).body
    versions = [int(item["metadata"]["resourceVersion"]) for item in (first, second, third)]
    assert versions == sorted(set(versions))


async def test_a_replace_raises_version_and_generation(cluster: Api) -> None:
    created = await cluster.create("w")
    created["spec"]["size"] = 2
    answer = await cluster.request("PUT", f"{cluster.widgets}/w", created)
    assert answer.status == 200
    assert answer.body["spec"]["size"] == 2
    assert answer.body["metadata"]["generation"] == 2
    assert int(answer.version) > int(created["metadata"]["resourceVersion"])


async def test_a_change_of_metadata_leaves_the_generation(cluster: Api) -> None:
    created = await cluster.create("w")
    created["metadata"] |= {"annotations": {"a": "b"}, "generation": 77, "creationTimestamp": "2020-01-01T00:00:00Z"}
    answer = await cluster.request("PUT", f"{cluster.widgets}/w", created)
    assert answer.body["metadata"]["annotations"] == {"a": "b"}
    assert answer.body["metadata"]["generation"] == 1
    assert answer.body["metadata"]["creationTimestamp"] > "2021"


async def test_a_replace_that_changes_nothing_keeps_the_version(cluster: Api) -> None:
    created = await cluster.create("w")
    answer = await cluster.request("PUT", f"{cluster.widgets}/w", created)
    assert (answer.status, answer.body) == (200, created)
    patched = await cluster.patch("w", {"spec": {"size": 1}})
    assert (patched.status, patched.body) == (200, created)


async def test_a_replace_of_an_old_version_is_a_conflict(cluster: Api) -> None:
    created = await cluster.create("w")
    await cluster.patch("w", {"spec": {"size": 2}})
    created["spec"]["size"] = 3
    answer = await cluster.request("PUT", f"{cluster.widgets}/w", created)
    assert answer.status == 409
    assert answer.body["reason"] == "Conflict"
    assert answer.body["message"] == CONFLICT
    assert answer.body["details"] == {"name": "w", "group": GROUP, "kind": "widgets"}
    assert (await cluster.get(f"{cluster.widgets}/w")).body["spec"]["size"] == 2


async def test_a_replace_without_a_version_is_invalid(cluster: Api) -> None:
    await cluster.create("w")
    answer = await cluster.request("PUT", f"{cluster.widgets}/w", widget("w"))
    assert answer.status == 422
    message = "Invalid value: 0: must be specified for an update"
    assert answer.causes == {("metadata.resourceVersion", "FieldValueInvalid", message)}
    assert answer.body["details"]["kind"] == "widgets"


@pytest.mark.parametrize(
    ("metadata", "status", "message"),
    [
        ({"name": "other"}, 400, "the name of the object (other) does not match the name on the URL (w)"),
        ({"name": ""}, 400, "the name of the object (w based on URL) was undeterminable: name must be provided"),
        (
            {"namespace": "other"},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ({"resourceVersion": "abc"}, 500, 'strconv.ParseUint: parsing "abc": invalid syntax'),
        ({"resourceVersion": "99999999"}, 409, CONFLICT),
    ],
)
async def test_a_replace_must_mean_the_object_it_is_sent_to(
    cluster: Api, metadata: dict[str, Any], status: int, message: str
) -> None:
    created = await cluster.create("w")
    created["metadata"] |= metadata
    answer = await cluster.request("PUT", f"{cluster.widgets}/w", created)
    assert (answer.status, answer.body["message"]) == (status, message)


async def test_a_replace_of_another_incarnation_is_a_conflict(cluster: Api) -> None:
    created = await cluster.create("w")
    created["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    answer = await cluster.request("PUT", f"{cluster.widgets}/w", created)
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition: 00000000" in answer.body["message"]


async def test_a_create_may_carry_no_version(cluster: Api) -> None:
    answer = await cluster.request("POST", cluster.widgets, widget("w", resourceVersion="12"))
    assert answer.status == 500
    assert answer.body["message"] == "resourceVersion should not be set on objects to be created"


async def test_a_merge_patch_removes_what_is_null_and_keeps_the_rest(cluster: Api) -> None:
    await cluster.create("w", {"size": 1, "mode": "fast", "env": {"A": "1", "B": "2"}}, labels={"k": "v"})
    patch = {"metadata": {"labels": {"k": None}, "annotations": {"a": "b"}}, "spec": {"mode": None, "env": {"A": None}}}
    answer = await cluster.patch("w", patch)
    assert answer.status == 200
    assert answer.body["spec"] == {"size": 1, "colour": "red", "env": {"B": "2"}}
    assert answer.body["metadata"]["annotations"] == {"a": "b"}
    assert not answer.body["metadata"].get("labels")
    assert answer.body["metadata"]["generation"] == 2


async def test_a_patch_with_an_old_version_is_a_conflict(cluster: Api) -> None:
    await cluster.create("w")
    answer = await cluster.patch("w", {"metadata": {"resourceVersion": "1"}, "spec": {"size": 8}})
    assert (answer.status, answer.body["message"]) == (409, CONFLICT)


async def test_a_patch_is_validated(cluster: Api) -> None:
    await cluster.create("w")
    answer = await cluster.patch("w", {"spec": {"size": "x"}})
    assert answer.status == 422
    message = 'Invalid value: "string": spec.size in body must be of type integer: "string"'
    assert ("spec.size", "FieldValueTypeInvalid", message) in answer.causes


async def test_a_strict_patch_refuses_unknown_fields(cluster: Api) -> None:
    await cluster.create("w")
    answer = await cluster.patch("w", {"spec": {"foo": 8}}, fieldValidation="Strict")
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    ((field, reason, message),) = answer.causes
    assert (field, reason) == ("patch", "FieldValueInvalid")
    assert message.endswith('strict decoding error: unknown field "spec.foo"')


async def test_a_json_patch_applies_or_fails_as_a_whole(cluster: Api) -> None:
    await cluster.create("w", {"size": 1, "tags": ["a", "c"]})
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/spec/size", "value": 1},
        {"op": "replace", "path": "/spec/size", "value": 6},
        {"op": "add", "path": "/spec/tags/1", "value": "b"},
        {"op": "add", "path": "/metadata/annotations", "value": {"x/y": "z"}},
    ]
    answer = await cluster.patch("w", operations, content_type=JSON_PATCH)
    assert answer.body["spec"] == {"size": 6, "colour": "red", "tags": ["a", "b", "c"]}
    assert answer.body["metadata"]["annotations"] == {"x/y": "z"}
    failing = [{"op": "replace", "path": "/spec/size", "value": 7}, {"op": "test", "path": "/spec/size", "value": 1}]
    failed = await cluster.patch("w", failing, content_type=JSON_PATCH)
    assert (failed.status, failed.body["reason"]) == (422, "Invalid")
    assert failed.body["message"] == "the server rejected our request due to an error in our request"
    assert (await cluster.get(f"{cluster.widgets}/w")).body == answer.body


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"{", MERGE_PATCH, "error decoding patch: unexpected end of JSON input"),
        (
            b"[]",
            MERGE_PATCH,
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            b"{}",
            JSON_PATCH,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
    ],
)
async def test_a_patch_that_is_none_is_a_bad_request(
    cluster: Api, body: bytes, content_type: str, message: str
) -> None:
    await cluster.create("w")
    answer = await cluster.patch("w", body, content_type=content_type)
    assert (answer.status, answer.body["reason"], answer.body["message"]) == (400, "BadRequest", message)


@pytest.mark.parametrize("content_type", ["application/json", "application/strategic-merge-patch+json"])
async def test_other_kinds_of_patch_are_unsupported(cluster: Api, content_type: str) -> None:
    await cluster.create("w")
    answer = await cluster.patch("w", {"spec": {}}, content_type=content_type)
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


async def test_the_status_is_written_through_its_subresource_only(cluster: Api) -> None:
    created = await cluster.create("w")
    body = {**created, "spec": {"size": 9}, "status": {"phase": "up"}}
    body["metadata"] = {**created["metadata"], "labels": {"a": "b"}}
    answer = await cluster.request("PUT", f"{cluster.widgets}/w/status", body)
    assert answer.status == 200
    assert answer.body["status"] == {"phase": "up"}
    assert answer.body["spec"]["size"] == 1
    assert "labels" not in answer.body["metadata"]
    assert answer.body["metadata"]["generation"] == 1
    stale = await cluster.request("PUT", f"{cluster.widgets}/w/status", body)
    assert (stale.status, stale.body["message"]) == (409, CONFLICT)
    ignored = await cluster.patch("w", {"status": {"phase": "down"}})
    assert ignored.body == answer.body
    patched = await cluster.patch("w/status", {"status": {"phase": "down"}, "spec": {"size": 2}})
    assert (patched.body["status"], patched.body["spec"]["size"]) == ({"phase": "down"}, 1)
    assert (await cluster.get(f"{cluster.widgets}/w/status")).body == patched.body


async def test_a_dry_run_checks_everything_and_stores_nothing(cluster: Api) -> None:
    dry = await cluster.request("POST", cluster.widgets, widget("w"), params={"dryRun": "All"})
    assert dry.status == 201
    assert "resourceVersion" not in dry.body["metadata"]
    assert (await cluster.get(f"{cluster.widgets}/w")).status == 404
    invalid = await cluster.request("POST", cluster.widgets, widget("w", {"size": -1}), params={"dryRun": "All"})
    assert invalid.status == 422
    created = await cluster.create("w")
    taken = await cluster.request("POST", cluster.widgets, widget("w"), params={"dryRun": "All"})
    assert taken.status == 409
    changed = await cluster.patch("w", {"spec": {"size": 5}}, dryRun="All")
    assert changed.body["spec"]["size"] == 5
    gone = await cluster.request("DELETE", f"{cluster.widgets}/w", params={"dryRun": "All"})
    assert (gone.status, gone.body["status"]) == (200, "Success")
    assert (await cluster.get(f"{cluster.widgets}/w")).body == created


async def test_there_is_no_other_dry_run(cluster: Api) -> None:
    answer = await cluster.request("POST", cluster.widgets, widget("w"), params={"dryRun": "Some"})
    message = 'Unsupported value: ["Some"]: supported values: "All"'
    assert answer.causes == {("dryRun", "FieldValueNotSupported", message)}
    assert answer.body["details"]["kind"] == "CreateOptions"

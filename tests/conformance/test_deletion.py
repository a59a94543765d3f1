"""Deletion: at once, on conditions, waiting for finalizers, and of whole collections."""

from __future__ import annotations

from tests.conformance.client import GROUP, Api, widget


async def test_a_deletion_answers_with_what_was_deleted(cluster: Api) -> None:
    created = await cluster.create("w")
    answer = await cluster.request("DELETE", f"{cluster.widgets}/w")
    assert answer.status == 200
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "w", "group": GROUP, "kind": "widgets", "uid": created["metadata"]["uid"]},
    }
    assert (await cluster.get(f"{cluster.widgets}/w")).status == 404


async def test_a_deletion_moves_the_version_of_lists(cluster: Api) -> None:
    await cluster.create("w")
    before = (await cluster.get(cluster.widgets)).version
    await cluster.request("DELETE", f"{cluster.widgets}/w")
    assert int((await cluster.get(cluster.widgets)).version) > int(before)


async def test_a_deletion_of_another_incarnation_is_a_conflict(cluster: Api) -> None:
    created = await cluster.create("w")
    other = "00000000-0000-0000-0000-000000000000"
    options = {"preconditions": {"uid": other, "resourceVersion": "1"}}
    answer = await cluster.request("DELETE", f"{cluster.widgets}/w", options)
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert answer.body["message"] == (
        f'Operation cannot be fulfilled on Widget.{GROUP} "w": the UID in the precondition ({other}) does not match '
        f"the UID in record ({created['metadata']['uid']}). The object might have been deleted and then recreated"
    )
    assert answer.body["details"] == {"name": "w", "group": GROUP, "kind": "Widget"}


async def test_a_deletion_of_an_old_version_is_a_conflict(cluster: Api) -> None:
    created = await cluster.create("w")
    changed = (await cluster.patch("w", {"spec": {"size": 2}})).body
    old, new = created["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"]
    path = f"{cluster.widgets}/w"
    answer = await cluster.request("DELETE", path, {"preconditions": {"resourceVersion": old}})
    assert answer.status == 409
    assert answer.body["message"] == (
        f'Operation cannot be fulfilled on Widget.{GROUP} "w": the ResourceVersion in the precondition ({old}) does '
        f"not match the ResourceVersion in record ({new}). The object might have been modified"
    )
    options = {"preconditions": {"resourceVersion": new, "uid": changed["metadata"]["uid"]}}
    assert (await cluster.request("DELETE", path, options)).status == 200


async def test_options_that_are_none_delete_nothing(cluster: Api) -> None:
    await cluster.create("w")
    path = f"{cluster.widgets}/w"
    broken = await cluster.request("DELETE", path, b"{")
    assert (broken.status, broken.body["reason"]) == (400, "BadRequest")
    policy = await cluster.request("DELETE", path, {"propagationPolicy": "Bogus"})
    message = 'Unsupported value: "Bogus": supported values: "Foreground", "Background", "Orphan", "nil"'
    assert policy.causes == {("propagationPolicy", "FieldValueNotSupported", message)}
    dry = await cluster.request("DELETE", path, {"dryRun": ["All"]})
    assert (dry.status, dry.body["status"]) == (200, "Success")
    assert (await cluster.get(path)).status == 200


async def test_finalizers_hold_a_deletion_up(cluster: Api) -> None:
    created = await cluster.create("f", finalizers=["example.com/x", "example.com/y"])
    path = f"{cluster.widgets}/f"
    marked = await cluster.request("DELETE", path)
    assert (marked.status, marked.body["kind"]) == (200, "Widget")
    metadata = marked.body["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 0
    assert metadata["deletionTimestamp"] >= created["metadata"]["creationTimestamp"]
    assert metadata["generation"] == 2
    again = await cluster.request("DELETE", path)
    assert (again.status, again.body) == (200, marked.body)
    taken = await cluster.request("POST", cluster.widgets, widget("f"))
    assert (taken.status, taken.body["reason"]) == (409, "AlreadyExists")
    assert taken.body["message"] == f'object is being deleted: widgets.{GROUP} "f" already exists'
    assert (await cluster.patch("f", {"spec": {"size": 3}})).body["spec"]["size"] == 3
    one = await cluster.patch("f", {"metadata": {"finalizers": ["example.com/y"]}})
    assert (one.status, one.body["metadata"]["finalizers"]) == (200, ["example.com/y"])
    last = await cluster.patch("f", {"metadata": {"finalizers": []}})
    assert last.status == 200
    assert last.version == one.version
    assert (await cluster.get(path)).status == 404


async def test_no_finalizer_can_be_added_to_what_is_being_deleted(cluster: Api) -> None:
    await cluster.create("f", finalizers=["example.com/x"])
    await cluster.request("DELETE", f"{cluster.widgets}/f")
    answer = await cluster.patch("f", {"metadata": {"finalizers": ["example.com/x", "example.com/y"]}})
    assert answer.status == 422
    message = (
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
        '[]string{"example.com/y"}'
    )
    assert answer.causes == {("metadata.finalizers", "FieldValueForbidden", message)}


async def test_a_collection_is_deleted_by_selector(cluster: Api) -> None:
    for index in range(4):
        await cluster.create(f"w{index}", labels={"half": "even" if index % 2 == 0 else "odd"})
    dry = await cluster.request("DELETE", cluster.widgets, params={"dryRun": "All"})
    assert dry.names == ["w0", "w1", "w2", "w3"]
    answer = await cluster.request("DELETE", cluster.widgets, params={"labelSelector": "half=odd"})
    assert (answer.status, answer.body["kind"], answer.names) == (200, "WidgetList", ["w1", "w3"])
    assert (await cluster.get(cluster.widgets)).names == ["w0", "w2"]
    await cluster.request("DELETE", cluster.widgets)
    assert (await cluster.get(cluster.widgets)).names == []


async def test_a_propagation_policy_is_accepted(cluster: Api) -> None:
    await cluster.create("w")
    answer = await cluster.request("DELETE", f"{cluster.widgets}/w", params={"propagationPolicy": "Background"})
    assert (answer.status, answer.body["status"]) == (200, "Success")

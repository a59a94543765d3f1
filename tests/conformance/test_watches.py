"""Watches: which events come, in which order, and how a stream ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.client import API_VERSION, Api


def _shape(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def _version(cluster: Api) -> str:
    return (await cluster.get(cluster.widgets)).version


async def _reached(cluster: Api, newest: dict[str, Any]) -> None:
    """Wait until what answers for "any version" (0) has got to this one: a server may keep what is a little older."""
    version = newest["metadata"]["resourceVersion"]
    answer = await cluster.get(cluster.widgets, resourceVersion=version, resourceVersionMatch="NotOlderThan")
    assert answer.status == 200


async def test_a_watch_shows_every_write_after_its_version_once_and_in_order(cluster: Api) -> None:
    await cluster.create("old")
    version = await _version(cluster)
    created = await cluster.create("a")
    async with cluster.watch(resourceVersion=version) as events:
        assert await events.next() == {"type": "ADDED", "object": created}
        changed = (await cluster.patch("a", {"spec": {"size": 2}})).body
        assert await events.next() == {"type": "MODIFIED", "object": changed}
        await cluster.patch("a", {"spec": {"size": 2}})  # changes nothing
        await cluster.request("DELETE", f"{cluster.widgets}/a")
        gone = await events.next()
        await cluster.create("end")
        assert _shape(await events.take(1)) == [("ADDED", "end")]
    assert gone["type"] == "DELETED"
    last = gone["object"]
    assert int(last["metadata"]["resourceVersion"]) > int(changed["metadata"]["resourceVersion"])
    last["metadata"]["resourceVersion"] = changed["metadata"]["resourceVersion"]
    assert last == changed


async def test_a_deletion_that_waits_is_seen_as_a_change_first(cluster: Api) -> None:
    version = await _version(cluster)
    await cluster.create("f", finalizers=["example.com/x"])
    await cluster.request("DELETE", f"{cluster.widgets}/f")
    await cluster.patch("f", {"metadata": {"finalizers": None}})
    async with cluster.watch(resourceVersion=version) as events:
        added, marked, gone = await events.take(3)
    assert _shape([added, marked, gone]) == [("ADDED", "f"), ("MODIFIED", "f"), ("DELETED", "f")]
    assert "deletionTimestamp" in marked["object"]["metadata"]
    assert gone["object"]["metadata"]["finalizers"] == ["example.com/x"]


async def test_an_object_enters_and_leaves_a_selection(cluster: Api) -> None:
    await cluster.create("w", labels={"half": "odd"})
    version = await _version(cluster)
    for patch in (
        {"spec": {"size": 2}},
        {"metadata": {"labels": {"half": "even"}}},
        {"spec": {"size": 3}},
        {"metadata": {"labels": {"half": "odd"}}},
    ):
        last = (await cluster.patch("w", patch)).body
    async with cluster.watch(resourceVersion=version, labelSelector="half=even") as events:
        entered, changed, left = await events.take(3)
    assert _shape([entered, changed, left]) == [("ADDED", "w"), ("MODIFIED", "w"), ("DELETED", "w")]
    # The last state that was selected, under the version at which it was left.
    assert left["object"]["metadata"]["labels"] == {"half": "even"}
    assert left["object"]["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"]


async def test_a_watch_can_be_for_one_name(cluster: Api) -> None:
    version = await _version(cluster)
    for name in ("a", "b", "c"):
        await cluster.create(name)
    await cluster.request("DELETE", f"{cluster.widgets}/b")
    async with cluster.watch(resourceVersion=version, fieldSelector="metadata.name=b") as events:
        assert _shape(await events.take(2)) == [("ADDED", "b"), ("DELETED", "b")]


async def test_a_watch_of_one_namespace_shows_no_other(cluster: Api) -> None:
    version = await _version(cluster)
    elsewhere = cluster.widgets.replace(cluster.namespace, f"{cluster.namespace}-2")
    body = {"apiVersion": API_VERSION, "kind": "Widget", "metadata": {"name": "other"}, "spec": {"size": 1}}
    assert (await cluster.request("POST", elsewhere, body)).status == 201
    await cluster.create("own")
    async with cluster.watch(resourceVersion=version) as events:
        assert _shape(await events.take(1)) == [("ADDED", "own")]
    async with cluster.watch(cluster.everywhere, resourceVersion=version) as events:
        assert _shape(await events.take(2)) == [("ADDED", "other"), ("ADDED", "own")]


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
async def test_a_watch_without_a_version_begins_with_what_is_there(cluster: Api, query: dict[str, str]) -> None:
    first, second = await cluster.create("a"), await cluster.create("b")
    await _reached(cluster, second)
    async with cluster.watch(timeoutSeconds=5, **query) as events:
        assert await events.take(2) == [{"type": "ADDED", "object": first}, {"type": "ADDED", "object": second}]
        await cluster.create("c")
        assert _shape(await events.take(1)) == [("ADDED", "c")]


@pytest.mark.parametrize(
    "query", [{}, {"resourceVersion": "0"}, {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}]
)
async def test_a_bookmark_marks_the_end_of_what_is_there(cluster: Api, query: dict[str, str]) -> None:
    created = await cluster.create("a")
    await _reached(cluster, created)
    async with cluster.watch(timeoutSeconds=5, allowWatchBookmarks="true", **query) as events:
        assert await events.next() == {"type": "ADDED", "object": created}
        bookmark = await events.next()
    version = bookmark["object"]["metadata"]["resourceVersion"]
    assert int(version) >= int(created["metadata"]["resourceVersion"])
    assert bookmark == {
        "type": "BOOKMARK",
        "object": {
            "apiVersion": API_VERSION,
            "kind": "Widget",
            "metadata": {"annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": version},
        },
    }


async def test_initial_events_can_be_left_out(cluster: Api) -> None:
    await cluster.create("a")
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}
    async with cluster.watch(timeoutSeconds=5, resourceVersion=await _version(cluster), **query) as events:
        await cluster.create("b")
        assert _shape(await events.take(1)) == [("ADDED", "b")]


async def test_a_watch_ends_at_its_timeout(cluster: Api) -> None:
    await cluster.create("a")
    async with cluster.watch(timeoutSeconds=1) as events:
        assert _shape(await events.rest()) == [("ADDED", "a")]


async def test_a_watch_from_the_future_stays_silent(cluster: Api) -> None:
    async with cluster.watch(timeoutSeconds=1, resourceVersion="99999999") as events:
        await cluster.create("a")
        assert await events.rest() == []


async def test_a_watch_from_a_forgotten_version_is_expired(cluster: Api) -> None:
    for index in range(120):
        await cluster.create(f"w{index}")
    async with cluster.watch(timeoutSeconds=5, resourceVersion="1") as events:
        (event,) = await events.rest()
    assert event["type"] == "ERROR"
    status = event["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        (
            {"resourceVersion": "abc"},
            500,
            'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
        ),
        (
            {"sendInitialEvents": "true"},
            422,
            (
                'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires '
                "setting resourceVersionMatch to NotOlderThan"
            ),
        ),
        (
            {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"},
            422,
            (
                'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is '
                "forbidden for watch unless sendInitialEvents is provided"
            ),
        ),
    ],
)
async def test_a_watch_with_bad_options_is_refused(
    cluster: Api, query: dict[str, str], status: int, message: str
) -> None:
    answer = await cluster.get(cluster.widgets, watch="1", timeoutSeconds=1, **query)
    assert (answer.status, answer.body["message"]) == (status, message)


async def test_the_old_path_of_watches_works_too(cluster: Api) -> None:
    await cluster.create("a")
    path = cluster.widgets.replace("/namespaces/", "/watch/namespaces/")
    async with cluster.watch(path, timeoutSeconds=1) as events:
        assert _shape(await events.rest()) == [("ADDED", "a")]

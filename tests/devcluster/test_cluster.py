"""The embedded cluster beyond Kubernetes semantics: who may reach it, seeding, and its kubeconfig."""

from __future__ import annotations

import asyncio
import json
import stat
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from segsvc.devcluster import ApiError, EmbeddedCluster
from tests.conformance.client import API_VERSION, Api, widget
from tests.conformance.conftest import definition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def emulator() -> AsyncIterator[EmbeddedCluster]:
    async with EmbeddedCluster(history=100, bookmark_interval=0.05) as cluster:
        cluster.create_crd(definition())
        yield cluster


@pytest.fixture
async def api(emulator: EmbeddedCluster) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, emulator.url, namespace="default")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "", "example.com", "127.0.0.1.example.com"])
def test_it_refuses_to_listen_beyond_loopback(host: str) -> None:
    with pytest.raises(ValueError, match="listens on loopback only"):
        EmbeddedCluster(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_it_listens_on_loopback(host: str) -> None:
    try:
        async with (
            EmbeddedCluster(host=host) as cluster,
            aiohttp.ClientSession() as session,
            session.get(f"{cluster.url}/version") as response,
        ):
            assert response.status == 200
    except OSError:
        if host != "::1":  # a machine may have no IPv6
            raise


@pytest.mark.parametrize("host", ["attacker.example.com", "localhost.example.com:80", "10.0.0.1", "[fe80::1]:80", ""])
async def test_a_request_must_name_a_loopback_host(api: Api, host: str) -> None:
    answer = await api.request("GET", api.widgets, headers={"Host": host})
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:443", "[::1]"])
async def test_every_loopback_host_will_do(api: Api, host: str) -> None:
    assert (await api.request("GET", api.widgets, headers={"Host": host})).status == 200


async def test_no_page_of_another_origin_is_let_in(api: Api) -> None:
    answer = await api.request("GET", api.widgets, headers={"Origin": "https://example.com"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_a_token_is_asked_of_every_caller_when_there_is_one() -> None:
    async with EmbeddedCluster(token="s3cret") as cluster, aiohttp.ClientSession() as session:
        cluster.create_crd(definition())
        api = Api(session, cluster.url, namespace="default")
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            answer = await api.request("GET", api.widgets, headers=headers)
            assert (answer.status, answer.body["reason"], answer.body["message"]) == (
                401,
                "Unauthorized",
                "Unauthorized",
            )
        allowed = await api.request("GET", api.widgets, headers={"Authorization": "Bearer s3cret"})
        assert allowed.status == 200


async def test_a_kubeconfig_holds_what_a_client_needs_and_is_private(tmp_path: Path) -> None:
    async with EmbeddedCluster(token="s3cret") as cluster:
        path = cluster.write_kubeconfig(tmp_path / "config", namespace="segments")
        config = json.loads(path.read_text())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert config["clusters"][0]["cluster"]["server"] == cluster.url
        assert config["users"][0]["user"] == {"token": "s3cret"}
        assert config["contexts"][0]["context"]["namespace"] == "segments"


async def test_seeded_objects_are_like_created_ones(emulator: EmbeddedCluster, api: Api) -> None:
    async with api.watch(resourceVersion=str(emulator.revision)) as events:
        assert emulator.seed([widget("a"), widget("b", namespace="elsewhere")], namespace="default") == 2
        event = await events.next()
    assert (event["type"], event["object"]) == ("ADDED", (await api.get(f"{api.widgets}/a")).body)
    assert event["object"]["spec"] == {"size": 1, "colour": "red"}
    assert (await api.get(api.everywhere)).names == ["a", "b"]


@pytest.mark.parametrize(
    "bad", [widget("b", {"size": -1}), widget("a"), widget("taken"), widget("b", {"size": 1, "foo": 1})]
)
async def test_seeding_is_all_or_nothing(emulator: EmbeddedCluster, api: Api, bad: dict[str, Any]) -> None:
    await api.create("taken")
    with pytest.raises(ApiError):
        emulator.seed([widget("a"), bad])
    assert (await api.get(api.widgets)).names == ["taken"]


async def test_ten_thousand_objects_are_seeded_and_listed_in_pages(emulator: EmbeddedCluster, api: Api) -> None:
    assert emulator.seed(widget(f"w{index:05}") for index in range(10_000)) == 10_000
    names: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = await api.get(api.widgets, limit=4_000, **token)
        names += page.names
        if not page.body["metadata"]["continue"]:
            break
        token = {"continue": page.body["metadata"]["continue"]}
    assert names == [f"w{index:05}" for index in range(10_000)]


async def test_a_definition_can_be_brought_up_to_date(emulator: EmbeddedCluster, api: Api) -> None:
    await api.create("w")
    emulator.create_crd(definition())
    changed = definition(columns=[{"name": "Colour", "type": "string", "jsonPath": ".spec.colour"}])
    emulator.create_crd(changed)
    table = await api.request("GET", api.widgets, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    assert [column["name"] for column in table.body["columnDefinitions"]] == ["Name", "Colour"]
    assert table.body["rows"][0]["cells"] == ["w", "red"]


async def test_rules_that_it_cannot_evaluate_are_refused(emulator: EmbeddedCluster) -> None:
    manifest = definition("Ruled")
    schema = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema = {**schema, "x-kubernetes-validations": [{"rule": "self.spec.size >= oldSelf.spec.size"}]}
    manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    with pytest.raises(ApiError, match="does not evaluate such rules"):
        emulator.create_crd(manifest)


async def test_a_watch_gets_bookmarks_while_nothing_happens_to_it(emulator: EmbeddedCluster, api: Api) -> None:
    start = emulator.revision
    async with api.watch(resourceVersion=str(start), allowWatchBookmarks="true") as events:
        await api.request("POST", api.widgets.replace("default", "elsewhere"), widget("other"))
        async with asyncio.timeout(5):
            while (event := await events.next())["object"]["metadata"]["resourceVersion"] == str(start):
                pass
    assert event == {
        "type": "BOOKMARK",
        "object": {"apiVersion": API_VERSION, "kind": "Widget", "metadata": {"resourceVersion": str(start + 1)}},
    }


async def test_a_page_of_a_forgotten_state_is_expired(api: Api) -> None:
    for name in ("a", "b", "c"):
        await api.create(name)
    first = await api.get(api.widgets, limit=2)
    for size in range(2, 105):
        await api.patch("a", {"spec": {"size": size}})
    expired = await api.get(api.widgets, limit=2, **{"continue": first.body["metadata"]["continue"]})
    assert (expired.status, expired.body["reason"]) == (410, "Expired")
    exact = await api.get(api.widgets, resourceVersion=first.version, resourceVersionMatch="Exact")
    assert (exact.status, exact.body["reason"]) == (410, "Expired")
    assert exact.body["message"].startswith(f"too old resource version: {first.version} (")


async def test_stopping_ends_open_watches(api: Api, emulator: EmbeddedCluster) -> None:
    async with api.watch() as events:
        await api.create("a")
        assert (await events.next())["type"] == "ADDED"
        await emulator.stop()
        assert await events.rest() == []


async def test_a_watch_ends_with_its_definition(api: Api) -> None:
    await api.create("a")
    async with api.watch() as events:
        assert (await events.next())["type"] == "ADDED"
        await api.request(
            "DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets." + API_VERSION[:-3]
        )
        assert [event["type"] for event in await events.rest()] == ["DELETED"]

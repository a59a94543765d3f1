"""kubectl against the embedded cluster: what a person on call would type."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from segsvc.devcluster import EmbeddedCluster
from tests.conformance.client import GROUP, widget
from tests.conformance.conftest import definition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl")


class Kubectl:
    """kubectl with a kubeconfig and a cache of its own."""

    def __init__(self, directory: Path, kubeconfig: Path) -> None:
        self.environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(directory)}
        self._directory = directory

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        assert KUBECTL
        return await asyncio.create_subprocess_exec(
            KUBECTL,
            *arguments,
            env=self.environment,
            cwd=self._directory,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def fail(self, *arguments: str, given: object = None) -> str:
        """Run a command that must fail; return what it complains about."""
        code, _, complaint = await self.run(arguments, given)
        assert code, "kubectl succeeded"
        return complaint

    async def __call__(self, *arguments: str, given: object = None) -> str:
        """Run a command that must succeed, with `given` as JSON on its standard input; return what it prints."""
        code, output, complaint = await self.run(arguments, given)
        assert not code, complaint
        return output

    async def run(self, arguments: tuple[str, ...], given: object) -> tuple[int | None, str, str]:
        process = await self.start(*arguments)
        output, complaint = await process.communicate(None if given is None else json.dumps(given).encode())
        return process.returncode, output.decode(), complaint.decode()


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    async with EmbeddedCluster() as cluster:
        cluster.create_crd(definition())
        yield Kubectl(tmp_path, cluster.write_kubeconfig(tmp_path / "kubeconfig"))


async def test_apply_creates_configures_and_leaves_alone(kubectl: Kubectl) -> None:
    assert "widget.conformance.example.com/w created" in await kubectl("apply", "-f", "-", given=widget("w"))
    assert "w unchanged" in await kubectl("apply", "-f", "-", given=widget("w"))
    assert "w configured" in await kubectl("apply", "-f", "-", given=widget("w", {"size": 2}))
    assert "created (server dry run)" in await kubectl("apply", "--dry-run=server", "-f", "-", given=widget("other"))
    read = json.loads(await kubectl("get", "widgets", "w", "-o", "json"))
    assert read["spec"] == {"size": 2, "colour": "red"}


async def test_get_prints_the_columns_of_the_definition(kubectl: Kubectl) -> None:
    assert "No resources found" in (await kubectl.run(("get", "widgets"), None))[2]
    await kubectl("create", "-f", "-", given=widget("w", {"size": 7, "mode": "fast", "tags": ["x"]}))
    header, row = (await kubectl("get", "widgets")).splitlines()
    assert header.split() == ["NAME", "SIZE", "TAG", "AGE"]
    assert row.split()[:3] == ["w", "7", "x"]
    wide = (await kubectl("get", "widgets", "-o", "wide")).splitlines()
    assert wide[0].split() == ["NAME", "SIZE", "MODE", "TAG", "AGE"]
    assert wide[1].split()[:4] == ["w", "7", "fast", "x"]


async def test_get_can_watch(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", given=widget("w"))
    watching = await kubectl.start("get", "widgets", "--watch")
    assert watching.stdout
    async with asyncio.timeout(20):
        lines = [(await watching.stdout.readline()).decode().split() for _ in range(2)]
        await kubectl("patch", "widget", "w", "--type", "merge", "-p", '{"spec": {"size": 5}}')
        lines.append((await watching.stdout.readline()).decode().split())
    watching.kill()
    await watching.communicate()
    assert [line[:2] for line in lines] == [["NAME", "SIZE"], ["w", "1"], ["w", "5"]]


async def test_edit_replace_label_and_patch_change_objects(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", given=widget("w"))
    os_editor = "sed -i 's/size: 1/size: 8/'"
    kubectl.environment["KUBE_EDITOR"] = os_editor
    assert "edited" in await kubectl("edit", "widget", "w")
    assert "labeled" in await kubectl("label", "widget", "w", "a=b")
    assert "patched" in await kubectl(
        "patch", "widget", "w", "--subresource", "status", "--type", "merge", "-p", '{"status": {"phase": "up"}}'
    )
    read = json.loads(await kubectl("get", "widgets", "-l", "a=b", "-o", "json"))["items"][0]
    assert (read["spec"]["size"], read["status"], read["metadata"]["labels"]) == (8, {"phase": "up"}, {"a": "b"})
    assert "replaced" in await kubectl("replace", "-f", "-", given=widget("w", {"size": 9}))


async def test_mistakes_are_named(kubectl: Kubectl) -> None:
    unknown = await kubectl.fail("create", "-f", "-", given=widget("w", {"size": 1, "foo": 1}))
    assert 'unknown field "spec.foo"' in unknown
    wrong = await kubectl.fail("create", "-f", "-", given=widget("w", {"size": -1}))
    assert "spec.size in body should be greater than or equal to 0" in wrong
    missing = await kubectl.fail("get", "widget", "nope")
    assert 'Error from server (NotFound): widgets.conformance.example.com "nope" not found' in missing
    server_side = await kubectl.fail("apply", "--server-side", "-f", "-", given=widget("w"))
    assert "Server-side apply not available" in server_side


async def test_delete_waits_for_finalizers(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", given=widget("w", finalizers=["example.com/x"]))
    deleting = await kubectl.start("delete", "widget", "w")
    async with asyncio.timeout(20):
        while "deletionTimestamp" not in await kubectl("get", "widget", "w", "-o", "json"):
            pass
        assert deleting.returncode is None
        await kubectl("patch", "widget", "w", "--type", "merge", "-p", '{"metadata": {"finalizers": null}}')
        output, _ = await deleting.communicate()
    assert b'"w" deleted' in output


async def test_definitions_can_be_applied_explained_and_deleted(kubectl: Kubectl) -> None:
    assert "created" in await kubectl("apply", "-f", "-", given=definition("Gadget"))
    await kubectl("wait", "--for=condition=Established", f"crd/gadgets.{GROUP}", "--timeout=10s")
    assert "gadgets" in await kubectl("api-resources")
    assert "<integer> -required-" in await kubectl("explain", "gadget.spec")
    assert "deleted" in await kubectl("delete", "crd", f"gadgets.{GROUP}")
    assert "gadgets" not in await kubectl("get", "crd")

"""What runs in the background must not end: if it does, the process says why, and ends."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, NoReturn

import pytest
from structlog.testing import capture_logs

from segsvc.app import TaskEnded, run
from segsvc.cluster.reflector import Reflector
from segsvc.settings import Settings
from tests.api.process import environment
from tests.api.test_process import settings
from tests.api.waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import aiohttp

    from segsvc.devcluster.issuer import TokenIssuer
    from tests.api.clusters import Cluster
    from tests.api.conftest import Deploy, Deployment
    from tests.support.faults import Relay

__all__ = ["settings"]

TASKS = {
    "reflector": "segsvc.cluster.reflector.Reflector.run",
    "key_refresh": "segsvc.auth.jwks.KeySource.run",
    "collector": "segsvc.app.tend_collector",
}
"""What runs in the background, and as what."""


async def raises(*_: object) -> NoReturn:
    raise ValueError("a defect")


async def returns(*_: object) -> None:
    return


async def is_cancelled(*_: object) -> NoReturn:
    raise asyncio.CancelledError


@pytest.fixture
def own(cluster: Cluster, issuer: TokenIssuer, tmp_path: Path) -> Settings:
    kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig", namespace="nothing")
    return Settings(host="127.0.0.1", port=0, ops_port=0, oidc_issuer=issuer.issuer, kubeconfig=str(kubeconfig))


@pytest.mark.parametrize("end", [raises, returns, is_cancelled])
@pytest.mark.parametrize("name", TASKS)
async def test_a_task_that_ends_is_told_by_livez_and_by_the_log(
    own: Settings,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    end: Callable[..., Awaitable[None]],
) -> None:
    monkeypatch.setattr(TASKS[name], end)
    async with run(own, grace=0.1) as application:
        with capture_logs() as lines, pytest.raises(TaskEnded, match=name):
            await application.ended()
        async with http.get(f"{application.ops_url}/livez") as response:
            assert response.status == 503
            assert f"task {name} has ended" in await response.text()
        async with http.get(f"{application.ops_url}/readyz") as response:
            assert response.status == 503
    (line,) = [line for line in lines if line["event"] == "task_ended"]
    assert line["log_level"] == "critical"
    assert line["task"] == name
    assert isinstance(line["exc_info"], ValueError) == (end is raises)


async def test_all_that_runs_in_the_background_is_supervised(deploy: Deploy) -> None:
    before = asyncio.all_tasks()
    async with deploy():
        ours = [task for task in asyncio.all_tasks() - before if "/segsvc/" in _file(task)]
        # a fetch is begun, waited for and ended by who needs the keys
        assert {task.get_name() for task in ours} - {"fetch issuer keys"} == set(TASKS)


def _file(task: asyncio.Task[object]) -> str:
    """Where what a task runs is written."""
    frames = task.get_stack(limit=1)
    return frames[0].f_code.co_filename.partition("/devcluster/")[0] if frames else ""


# a process takes its time to start
@pytest.mark.parametrize("cluster", ["emulator"], indirect=True, scope="session")
async def test_the_process_ends_with_1_and_says_why(settings: dict[str, str]) -> None:
    program = """
from segsvc.cli import main
from segsvc.cluster.reflector import Reflector

async def run(_):
    raise ValueError("a defect")

Reflector.run = run
raise SystemExit(main(["serve"]))
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stderr=asyncio.subprocess.PIPE, env=environment(**settings)
    )
    try:
        async with asyncio.timeout(PATIENCE):
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 1
    told = [event for event in map(json.loads, err.splitlines()) if event["event"] == "task_ended"]
    assert [(event["level"], event["task"]) for event in told] == [("critical", "reflector")]
    assert told[0]["exception"][0]["exc_value"] == "a defect"


async def test_a_cluster_that_is_away_is_no_reason_to_end(relayed: Deployment, relay: Relay) -> None:
    await relay.cut()

    async def missed() -> bool:
        return await relayed.metric("segsvc_watch_failures_total") >= 2

    await until(missed)
    async with relayed.http.get(f"{relayed.ops_url}/livez") as response:
        assert response.status == 200
    assert (await relayed.viewer.list()).status == 200


async def test_a_defect_in_taking_in_the_news_is_told_and_mended(
    alone: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_in = Reflector._apply
    broken = True

    def apply(self: Reflector, event: object) -> None:
        nonlocal broken
        if broken:
            broken = False
            raise ValueError("a defect")
        taken_in(self, event)  # type: ignore[arg-type]

    monkeypatch.setattr(Reflector, "_apply", apply)
    await alone.resources.create("some-segment")

    async def shown() -> bool:
        return (await alone.viewer.read("some-segment")).status == 200

    await until(shown)
    assert ('{reason="unforeseen_error"}', 1.0) in await alone.samples("segsvc_relists_total")

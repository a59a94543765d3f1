"""The cluster layer over HTTP: in front of the embedded cluster and of a real kube-apiserver, and of scripted ones."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import structlog
import yaml

from segsvc.cluster.api import ListEnd, SegmentApi, connect
from segsvc.cluster.backoff import Backoff
from segsvc.cluster.reflector import Reflector
from segsvc.cluster.writer import SegmentWriter
from segsvc.devcluster import EmbeddedCluster
from segsvc.index.store import SegmentStore
from segsvc.telemetry import Metrics
from tests.api.clusters import Cluster, Resources
from tests.support.envtest import RealCluster, unique_namespace
from tests.support.faults import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import Protocol

    from tests.support.scripted import ScriptedCluster

    class Connect(Protocol):
        """Connects to a cluster or to what stands in front of it."""

        def __call__(
            self, to: Cluster | Relay | ScriptedCluster, **options: Any
        ) -> AbstractAsyncContextManager[SegmentApi]: ...


@dataclass
class Follower:
    """A store and what keeps it, in front of some cluster."""

    api: SegmentApi
    store: SegmentStore
    reflector: Reflector
    writer: SegmentWriter
    metrics: Metrics
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_it_shows(self, **names: str | None) -> None:
        """Return once the store is filled and shows these display names by id, None for no such segment."""

        def shows() -> bool:
            found = {id_: self.store.get(id_) for id_ in names}
            return self.store.synced and {id_: f.display_name if f else None for id_, f in found.items()} == names

        async with asyncio.timeout(10):
            while not shows():
                self.news.clear()
                await self.news.wait()

    async def until_revision(self, revision: int) -> None:
        async with asyncio.timeout(10):
            while self.store.revision < revision:
                self.news.clear()
                await self.news.wait()


@pytest.fixture(params=["emulator", pytest.param("kube-apiserver", marks=pytest.mark.real_cluster)])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """A cluster that serves Segment resources."""
    if request.param == "emulator":
        async with EmbeddedCluster() as embedded:
            embedded.create_crd(yaml.safe_load((files("segsvc.devcluster") / "crd.yaml").read_text(encoding="utf-8")))
            yield Cluster("emulator", embedded.url)
    else:
        real: RealCluster = request.getfixturevalue("real_cluster")
        real.install_crd()
        yield Cluster("kube-apiserver", real.url, real.token, real.ca_file, real.ssl_context)


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return unique_namespace("cluster")


@pytest.fixture
async def resources(cluster: Cluster, namespace: str) -> AsyncIterator[Resources]:
    """The way in for everyone else."""
    async with aiohttp.ClientSession(connector=cluster.connector()) as session:
        yield Resources(session, cluster, namespace)


@pytest.fixture
async def relay(cluster: Cluster) -> AsyncIterator[Relay]:
    async with Relay(cluster) as relay:
        yield relay


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What is logged during the test."""
    with structlog.testing.capture_logs() as entries:
        yield entries


async def listed(api: SegmentApi, **asked: Any) -> tuple[list[dict[str, Any]], ListEnd]:
    """A list, or a page of one, and what it tells at its end."""
    found: list[dict[str, Any]] = []
    async with aclosing(api.list(**asked)) as parts:
        async for items, end in parts:
            found += items
            if end is not None:
                return found, end
    raise AssertionError("a list without an end")


@pytest.fixture
def connected(tmp_path: Path, namespace: str, metrics: Metrics, request: pytest.FixtureRequest) -> Connect:
    @asynccontextmanager
    async def connected(to: Cluster | Relay | ScriptedCluster, **options: Any) -> AsyncIterator[SegmentApi]:
        path = tmp_path / "kubeconfig"
        if isinstance(to, Cluster):
            to.write_kubeconfig(path, namespace=namespace)
        elif isinstance(to, Relay):
            cluster: Cluster = request.getfixturevalue("cluster")
            cluster.write_kubeconfig(path, namespace=namespace, url=to.url)
        else:
            to.write_kubeconfig(path)
        async with connect(str(path), namespace=namespace, metrics=metrics, **options) as api:
            yield api

    return connected


@pytest.fixture
async def api(connected: Connect, cluster: Cluster) -> AsyncIterator[SegmentApi]:
    async with connected(cluster) as api:
        yield api


@asynccontextmanager
async def following(
    api: SegmentApi,
    metrics: Metrics,
    *,
    write_seconds: float = 9.0,
    write_clock: Callable[[], float] = time.monotonic,
    backoff: Backoff | None = None,
    **options: Any,
) -> AsyncIterator[Follower]:
    """A reflector at work, which pauses for hundredths of a second where it would for seconds."""
    store = SegmentStore()
    reflector = Reflector(api, store, metrics=metrics, backoff=backoff or Backoff(base=0.02, cap=0.1), **options)
    writer = SegmentWriter(api, store, seconds=write_seconds, clock=write_clock)
    follower = Follower(api, store, reflector, writer, metrics)
    store.listen(lambda _: follower.news.set())
    task = asyncio.create_task(reflector.run())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


@pytest.fixture
async def follower(api: SegmentApi, metrics: Metrics) -> AsyncIterator[Follower]:
    async with following(api, metrics) as follower:
        await follower.until_it_shows()
        yield follower


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of a metric's sample; 0 where there is none."""
    return metrics.registry.get_sample_value(name, labels) or 0.0

"""Services in front of clusters that come to harm."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio

from tests.api.conftest import (
    Deployment,
    Surroundings,
    callers_session,
    deployed,
    embedded,
    issuing,
    no_public_authorities,  # noqa: F401 (a fixture)
    serving_segments,
)
from tests.support.envtest import RealCluster, assets_directory
from tests.support.faults import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from segsvc.devcluster.issuer import TokenIssuer


@pytest.fixture
def own_cluster() -> Iterator[RealCluster]:
    """Yield a real cluster that no other test has: it may be frozen, killed, and put back in time."""
    assets = assets_directory()
    if assets is None:
        pytest.skip("KUBEBUILDER_ASSETS names no directory with kube-apiserver and etcd")
    with RealCluster(assets) as cluster:
        yield cluster


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[TokenIssuer]:
    async with issuing() as issuer:
        yield issuer


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with callers_session() as session:
        yield session


takes_its_time = pytest.mark.skipif("CHAOS_SEQUENCES" not in os.environ, reason="takes its time: set CHAOS_SEQUENCES")


@pytest_asyncio.fixture(
    params=["emulator", pytest.param("kube-apiserver", marks=[pytest.mark.real_cluster, takes_its_time])]
)
async def around(
    request: pytest.FixtureRequest, issuer: TokenIssuer, http: aiohttp.ClientSession, tmp_path: Path
) -> AsyncIterator[Surroundings]:
    """Clusters that stay in good health."""
    if request.param == "emulator":
        async with embedded() as cluster, aiohttp.ClientSession() as admin:
            yield Surroundings(cluster, issuer, http, admin, tmp_path)
        return
    cluster = serving_segments(request.getfixturevalue("real_cluster"))
    async with aiohttp.ClientSession(connector=cluster.connector()) as admin:
        yield Surroundings(cluster, issuer, http, admin, tmp_path)


@pytest_asyncio.fixture
async def around_own(
    own_cluster: RealCluster, issuer: TokenIssuer, http: aiohttp.ClientSession, tmp_path: Path
) -> AsyncIterator[Surroundings]:
    cluster = serving_segments(own_cluster)
    async with aiohttp.ClientSession(connector=cluster.connector()) as admin:
        yield Surroundings(cluster, issuer, http, admin, tmp_path)


@pytest_asyncio.fixture
async def relay(around: Surroundings) -> AsyncIterator[Relay]:
    async with Relay(around.cluster) as relay:
        yield relay


@pytest_asyncio.fixture
async def relayed(around: Surroundings, relay: Relay) -> AsyncIterator[Deployment]:
    async with deployed(around, relay=relay) as deployment:
        yield deployment

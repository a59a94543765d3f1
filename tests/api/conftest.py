"""The whole service over HTTP, in front of a cluster over HTTP: the embedded one, and a real kube-apiserver.

Every test runs against both. `service` is shared by all tests of one cluster, which use names of their own;
a test that counts what there is, or needs other settings, has a service in a namespace of its own from `deploy`.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import pytest
import pytest_asyncio
import yaml

from segsvc.app import GRACE, KEY_TIMING, run
from segsvc.devcluster import EmbeddedCluster
from segsvc.devcluster.issuer import TokenIssuer
from segsvc.settings import Settings
from tests.api.bodies import EDITOR, VIEWER
from tests.api.client import Client
from tests.api.clusters import Cluster, Resources
from tests.api.waiting import until
from tests.support.envtest import unique_namespace
from tests.support.faults import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from segsvc.auth.jwks import Timing
    from tests.support.envtest import RealCluster


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running service and what stands around it."""

    url: str
    ops_url: str
    namespace: str
    cluster: Cluster
    resources: Resources
    issuer: TokenIssuer
    http: aiohttp.ClientSession

    def caller(self, *roles: str, name: str = "Ada", email: str = "ada@example.com", **claims: Any) -> Client:
        """Someone with these roles."""
        if claims:
            return Client(self.http, self.url, self.issuer.issue(name=name, email=email, roles=roles, **claims))
        return Client(self.http, self.url, _token(self.issuer, roles, name=name, email=email))

    @property
    def editor(self) -> Client:
        return self.caller(EDITOR, VIEWER, name="Edda", email="edda@example.com")

    @property
    def viewer(self) -> Client:
        return self.caller(VIEWER, name="Vera", email="vera@example.com")

    async def samples(self, name: str) -> list[tuple[str, float]]:
        """A metric's samples: the labels as they are written, and the value."""
        async with self.http.get(f"{self.ops_url}/metrics") as response:
            lines = (await response.text()).splitlines()
        found = [line.removeprefix(name) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return [(labels, float(value)) for labels, _, value in (line.rpartition(" ") for line in found)]

    async def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        return sum(value for _, value in await self.samples(name))

    async def is_ready(self) -> bool:
        async with self.http.get(f"{self.ops_url}/readyz") as response:
            return response.status == 200

    async def cluster_calls(self) -> float:
        """How many calls the service has made to its cluster about single segments."""
        samples = await self.samples("segsvc_cluster_request_duration_seconds_count")
        return sum(value for labels, value in samples if 'verb="list"' not in labels and 'verb="watch"' not in labels)


@cache
def _token(issuer: TokenIssuer, roles: tuple[str, ...], *, name: str, email: str) -> str:
    """Let the issuer sign only once for callers who are the same."""
    return issuer.issue(name=name, email=email, roles=roles)


class Deploy(Protocol):
    """Runs a service: in a namespace of its own unless told, through a relay if there is one, with these settings."""

    def __call__(
        self,
        *,
        namespace: str | None = None,
        relay: Relay | None = None,
        grace: float = GRACE,
        key_timing: Timing = KEY_TIMING,
        **settings: Any,
    ) -> AbstractAsyncContextManager[Deployment]: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What services run in: ``http`` is what callers send with, ``admin`` goes straight to the cluster."""

    cluster: Cluster
    issuer: TokenIssuer
    http: aiohttp.ClientSession
    admin: aiohttp.ClientSession
    directory: Path


@asynccontextmanager
async def deployed(
    around: Surroundings,
    *,
    namespace: str | None = None,
    relay: Relay | None = None,
    grace: float = GRACE,
    key_timing: Timing = KEY_TIMING,
    **settings: Any,
) -> AsyncIterator[Deployment]:
    """Run a service; see `Deploy`."""
    namespace = namespace or unique_namespace("api")
    kubeconfig = around.directory / f"{namespace}-{'relayed' if relay else 'direct'}"
    around.cluster.write_kubeconfig(kubeconfig, namespace=namespace, url=relay.url if relay else None)
    chosen = {"host": "127.0.0.1", "port": 0, "ops_port": 0, "oidc_issuer": around.issuer.issuer, **settings}
    own = Settings(kubeconfig=str(kubeconfig), namespace=namespace, **chosen)
    async with run(own, grace=grace, key_timing=key_timing) as application:
        deployment = Deployment(
            application.url,
            application.ops_url,
            namespace,
            around.cluster,
            Resources(around.admin, around.cluster, namespace),
            around.issuer,
            around.http,
        )
        await until(deployment.is_ready)
        yield deployment


@asynccontextmanager
async def embedded() -> AsyncIterator[Cluster]:
    """Run the emulator, which serves segments."""
    async with EmbeddedCluster() as cluster:
        crd = (files("segsvc.devcluster") / "crd.yaml").read_text(encoding="utf-8")
        cluster.create_crd(yaml.safe_load(crd))
        yield Cluster("emulator", cluster.url)


def serving_segments(real: RealCluster) -> Cluster:
    """Have a real API server serve segments."""
    real.install_crd()
    return Cluster("kube-apiserver", real.url, real.token, real.ca_file, real.ssl_context)


def callers_session() -> aiohttp.ClientSession:
    """Make what callers send with: nothing is added, nothing decompressed, and none waits for another."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
        skip_auto_headers=["Accept-Encoding"],
        cookie_jar=aiohttp.DummyCookieJar(),
    )


@asynccontextmanager
async def issuing() -> AsyncIterator[TokenIssuer]:
    issuer = TokenIssuer()
    await issuer.start()
    yield issuer
    await issuer.stop()


@pytest.fixture(scope="session", autouse=True)
def no_public_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Load none of the machine's certificate authorities: no test needs one, and they take up most of a start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", os.devnull)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("authorities")))
        yield


@pytest_asyncio.fixture(scope="session")
async def issuer() -> AsyncIterator[TokenIssuer]:
    async with issuing() as issuer:
        yield issuer


@pytest_asyncio.fixture(
    scope="session",
    params=["emulator", pytest.param("kube-apiserver", marks=pytest.mark.real_cluster)],
)
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    if request.param == "emulator":
        async with embedded() as emulator:
            yield emulator
    else:
        yield serving_segments(request.getfixturevalue("real_cluster"))


@pytest_asyncio.fixture(scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with callers_session() as session:
        yield session


@pytest_asyncio.fixture(scope="session")
async def admin(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    """What goes straight to the cluster."""
    async with aiohttp.ClientSession(connector=cluster.connector()) as session:
        yield session


@pytest.fixture(scope="session")
def deploy(
    cluster: Cluster,
    issuer: TokenIssuer,
    http: aiohttp.ClientSession,
    admin: aiohttp.ClientSession,
    tmp_path_factory: pytest.TempPathFactory,
) -> Deploy:
    around = Surroundings(cluster, issuer, http, admin, tmp_path_factory.mktemp("kubeconfigs"))
    return partial(deployed, around)


@pytest_asyncio.fixture(scope="session")
async def service(deploy: Deploy) -> AsyncIterator[Deployment]:
    """A service that many tests use: what they make has unique ids."""
    async with deploy() as deployment:
        yield deployment


@pytest_asyncio.fixture
async def alone(deploy: Deploy) -> AsyncIterator[Deployment]:
    """A service with a namespace that no one else uses."""
    async with deploy() as deployment:
        yield deployment


@pytest.fixture
def editor(service: Deployment) -> Client:
    return service.editor


@pytest.fixture
def viewer(service: Deployment) -> Client:
    return service.viewer


@pytest_asyncio.fixture
async def relay(cluster: Cluster) -> AsyncIterator[Relay]:
    async with Relay(cluster) as relay:
        yield relay


@pytest_asyncio.fixture
async def relayed(deploy: Deploy, relay: Relay) -> AsyncIterator[Deployment]:
    """A service with a namespace of its own that reaches its cluster through `relay`."""
    async with deploy(relay=relay) as deployment:
        yield deployment

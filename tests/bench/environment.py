"""What the measurements share: clusters, the service in front of one, and bare handlers, each a process of its own."""

import http.client
import json
import os
import ssl
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.corpus import DASHBOARD
from tests.bench.processes import BenchError, Cores, Process, python
from tests.support.envtest import _free_ports

EMULATOR, REAL = "emulator", "API server"
START_PATIENCE = 300.0
"""Seconds that the service has to fill its index in."""


@dataclass(frozen=True)
class Sizes:
    """How many segments: ``medium`` where nothing else is said."""

    small: int
    medium: int
    large: int


@dataclass(frozen=True)
class Surroundings:
    """A cluster full of segments, and an issuer of tokens, in one process with children."""

    process: Process
    segments: int
    url: str
    collection: str
    token: str | None
    ca_file: str | None
    kubeconfig: str
    issuer: str
    seconds: float
    """How long it took to make."""

    def caller(self, roles: Sequence[str], *, name: str = "Dashboard") -> str:
        """Return a token for these roles, good for an hour."""
        asked = {"name": name, "email": "dashboard@example.com", "roles": list(roles)}
        request = urllib.request.Request(
            f"{self.issuer}/token", json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return str(json.load(response)["access_token"])

    @property
    def credentials(self) -> dict[str, str]:
        """The headers of a client of the cluster."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def arguments(self) -> list[str]:
        """What a program is told of the cluster's collection; see `tests.bench.programs.client`."""
        arguments = ["--cluster", self.url + self.collection]
        arguments += [f"--token={self.token}"] if self.token else []  # it may begin with a hyphen
        arguments += ["--ca-file", self.ca_file] if self.ca_file else []
        return arguments

    def get(self, query: str = "") -> bytes:
        """Fetch the list of all segments, or of what a query says, from the cluster itself."""
        context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None
        request = urllib.request.Request(f"{self.url}{self.collection}{query}", headers=self.credentials)
        with urllib.request.urlopen(request, context=context, timeout=300) as response:
            return bytes(response.read())

    @contextmanager
    def listed(self) -> Iterator[Path]:
        """Keep the list of all segments, as the cluster sends it, in a file meanwhile."""
        with tempfile.NamedTemporaryFile(prefix="segsvc-bench-", suffix=".json") as file:
            path = Path(file.name)
            path.write_bytes(self.get())
            yield path


@dataclass
class Bench:
    """How to measure: in rounds of some seconds, on cores, with clusters of one kind, which last until the end."""

    cores: Cores
    rounds: int
    seconds: float
    sizes: Sizes
    log_level: str
    kind: str
    keep: Path | None
    stack: ExitStack
    _clusters: dict[int, Surroundings] = field(default_factory=dict)

    @property
    def measured(self) -> frozenset[int]:
        """The core of what is measured."""
        return frozenset({self.cores.measured})

    @property
    def load(self) -> frozenset[int]:
        """The core of everything else."""
        return frozenset({self.cores.load})

    def cluster(self, segments: int) -> Surroundings:
        """Return a cluster with this many segments. Raises BenchError."""
        if segments not in self._clusters:
            self._clusters[segments] = self._started(segments)
        return self._clusters[segments]

    def _started(self, segments: int) -> Surroundings:
        arguments = ["-m", "tests.bench.programs.cluster", "--segments", str(segments)]
        if self.kind == REAL:
            arguments.append("--real")
        if self.kind == REAL and self.keep:
            arguments += ["--keep", str(self.keep / f"etcd-{segments}")]
        process = self.stack.enter_context(python(arguments, cores=self.cores.both))
        around: dict[str, Any] = json.loads(process.first_line())
        process.pin(self.cores.load)
        print(f"  ({self.kind} with {segments:,} segments made in {around['seconds']:.0f} s)", file=sys.stderr)
        return Surroundings(process=process, segments=segments, **around)


@dataclass(frozen=True)
class Service:
    """The service under test, as `segsvc serve` composes it, in front of a cluster full of segments."""

    process: Process
    url: str
    ops_url: str
    token: str

    @property
    def authorization(self) -> dict[str, str]:
        """The headers of a caller."""
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def service(
    bench: Bench,
    around: Surroundings,
    *,
    namespace: str = "default",
    arguments: Sequence[str] = ("-m", "segsvc", "serve"),
) -> Iterator[Service]:
    """Run the service, its index filled, until the context ends. Raises BenchError."""
    port, ops_port = _free_ports(2)
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "KUBECONFIG": around.kubeconfig,
        "SEGSVC_OIDC_ISSUER": around.issuer,
        "SEGSVC_HOST": "127.0.0.1",
        "SEGSVC_PORT": str(port),
        "SEGSVC_OPS_PORT": str(ops_port),
        "SEGSVC_LOG_LEVEL": bench.log_level,
        "SEGSVC_NAMESPACE": namespace,
    }
    with python(arguments, cores=bench.measured, environment=environment) as process:
        token = around.caller(DASHBOARD)
        running = Service(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ops_port}", token)
        _wait_until_ready(running)
        yield running


@contextmanager
def bare(bench: Bench, *, path: str, status: int, body: bytes) -> Iterator[tuple[Process, str]]:
    """Run a bare handler that returns a body at a path until the context ends; its process and its URL."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(body)
        arguments = ["-m", "tests.bench.programs.bare", "--path", path, "--status", str(status), "--body", file.name]
        with python(arguments, cores=bench.measured) as process:
            yield process, process.first_line()


def _wait_until_ready(running: Service) -> None:
    give_up = time.monotonic() + START_PATIENCE
    while not _is_ready(running.ops_url):
        running.process.check()
        if time.monotonic() > give_up:
            raise BenchError(f"the service was not ready after {START_PATIENCE:g} s")
        time.sleep(0.1)


def _is_ready(ops_url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(ops_url).netloc, timeout=30)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()

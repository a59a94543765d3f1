"""What the measurements share: the service with its surroundings, each in a process of its own, and bare handlers."""

import http.client
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.processes import BenchError, Cores, Process, python

START_PATIENCE = 120.0
"""Seconds that the service has to fill its index in."""


@dataclass(frozen=True)
class Bench:
    """How to measure: in rounds of some seconds, on cores."""

    cores: Cores
    rounds: int
    seconds: float
    log_level: str


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
def service(bench: Bench, *, segments: int) -> Iterator[Service]:
    """Run the service, its index filled, until the context ends. Raises BenchError."""
    arguments = ["-m", "tests.bench.cluster", "--segments", str(segments)]
    with python(arguments, core=bench.cores.load) as cluster:
        around = json.loads(cluster.first_line())
        port, ops_port = _free_ports(2)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "KUBECONFIG": around["kubeconfig"],
            "SEGSVC_OIDC_ISSUER": around["issuer"],
            "SEGSVC_HOST": "127.0.0.1",
            "SEGSVC_PORT": str(port),
            "SEGSVC_OPS_PORT": str(ops_port),
            "SEGSVC_LOG_LEVEL": bench.log_level,
        }
        with python(["-m", "segsvc", "serve"], core=bench.cores.measured, environment=environment) as process:
            running = Service(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ops_port}", around["token"])
            _wait_until_ready(running)
            yield running


@contextmanager
def bare(bench: Bench, *, path: str, status: int, body: bytes) -> Iterator[tuple[Process, str]]:
    """Run a bare handler that returns a body at a path until the context ends; its process and its URL."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(body)
        arguments = ["-m", "tests.bench.bare", "--path", path, "--status", str(status), "--body", file.name]
        with python(arguments, core=bench.cores.measured) as process:
            yield process, process.first_line()


def _wait_until_ready(running: Service) -> None:
    give_up = time.monotonic() + START_PATIENCE
    while not _is_ready(running.ops_url):
        running.process.check()
        if time.monotonic() > give_up:
            raise BenchError(f"the service was not ready after {START_PATIENCE:g} s")
        time.sleep(0.1)


def _is_ready(ops_url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(ops_url).netloc, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports

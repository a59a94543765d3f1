"""Load on a server with wrk (https://github.com/wg/wrk), and single requests to know what it should answer."""

import http.client
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.processes import BenchError, Process, on_core

CONNECTIONS = 32
_SCRIPT = Path(__file__).with_name("wrk.lua")
_FAILURES = ("wrong", "connect", "read", "write", "status", "timeout")


@dataclass(frozen=True)
class Target:
    """A request, sent again and again to a process, and the status that every answer must have."""

    process: Process
    url: str
    headers: Mapping[str, str]
    status: int


@dataclass(frozen=True)
class Answer:
    """One answer."""

    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Round:
    """What one round of load showed."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_request: float
    busy: float
    """The part of the time that the server's process was on its core: under 0.9, something else held it up."""


def require_wrk() -> str:
    """Return where wrk is. Raises BenchError."""
    path = shutil.which("wrk")
    if path is None:
        raise BenchError("wrk is missing; on Debian and Ubuntu: apt-get install -y wrk")
    return path


def probe(target: Target) -> Answer:
    """Send the request once. Raises BenchError for another status than the target's."""
    target.process.check()
    parts = urlsplit(target.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", target.url.removeprefix(f"http://{parts.netloc}"), headers=dict(target.headers))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != target.status:
        raise BenchError(f"{target.url} answered {response.status}, not {target.status}: {body[:500]!r}")
    return Answer(response.headers, body)


def load(target: Target, seconds: float, *, core: int) -> Round:
    """Put load on the target for a while, from a core.

    Raises BenchError if a single answer has another status or body than the one to a request sent before.
    """
    expected = probe(target)
    wrk = [require_wrk(), "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds:g}s"]
    wrk += ["--script", str(_SCRIPT)]
    for name, value in target.headers.items():
        wrk += ["--header", f"{name}: {value}"]
    with tempfile.NamedTemporaryFile() as body:
        Path(body.name).write_bytes(expected.body)
        before = target.process.cpu_seconds
        with on_core(core):
            command = [*wrk, target.url, "--", str(target.status), body.name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
    target.process.check()
    cpu = target.process.cpu_seconds - before
    if done.returncode != 0:
        raise BenchError(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
    told = json.loads(done.stdout.splitlines()[-1])
    if not told["requests"]:
        raise BenchError(f"{target.url} answered nothing under load")
    failures = {name: told[name] for name in _FAILURES if told[name]}
    if failures:
        raise BenchError(f"{target.url} under load, of {told['requests']} answers: {failures}")
    return Round(
        requests_per_second=told["requests"] / told["seconds"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        cpu_us_per_request=cpu / told["requests"] * 1e6,
        busy=cpu / told["seconds"],
    )

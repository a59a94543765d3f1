"""Load on a server with wrk (https://github.com/wg/wrk), and single requests to know what it should answer.

wrk sends the next request on a connection when the answer to the last one is there: at full load its latencies are as
long as the queue of so many connections. With a pause between an answer and the next request the server has time to
spare, and whatever holds it up shows in the requests of all others, which do not wait for the one held up.
"""

import http.client
import json
import math
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from tests.bench.processes import BenchError, Process, going_first, on_cores

CONNECTIONS = 32
MAX_RATE = 40_000
"""More requests in a second than any server here answers."""
TIMEOUT = 60
"""Seconds after which wrk counts a request as failed."""
_SCRIPT = Path(__file__).with_name("wrk.lua")
_FAILURES = ("wrong", "connect", "read", "write", "status", "timeout")


class Requests(Protocol):
    """Where requests come from that are to be sent once each; `tests.bench.asks.Asks` is one."""

    def files(self, count: int) -> AbstractContextManager[tuple[Path, Path]]:
        """Write so many to a file meanwhile, and the headers of their callers to another."""
        ...

    def use(self, count: int) -> None:
        """Take note that so many of them were sent."""
        ...


@dataclass(frozen=True)
class Target:
    """A request to a process, sent again and again, or requests of which each is sent once.

    Every answer must have the status and be the "same" as one before, or may be "any". Where they are to be "alike",
    none may be an error, and on average they must be about as long.
    """

    process: Process
    url: str
    headers: Mapping[str, str]
    status: int
    answers: Literal["same", "alike", "any"] = "same"
    requests: Requests | None = None
    ca_file: str | None = None


@dataclass(frozen=True)
class Answer:
    """One answer."""

    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Round:
    """What one round of load showed."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    cpu_us_per_request: float
    busy: float
    """The part of the time that the server's process was on its core: under 0.9, something else held it up."""
    waited: bool
    """Whether the load was to go first on its cores and was not allowed to: its latencies may be others' doing."""


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
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=target.ca_file)
        connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    try:
        asked = target.url.removeprefix(f"{parts.scheme}://{parts.netloc}")
        connection.request("GET", asked, headers=dict(target.headers))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != target.status:
        raise BenchError(f"{target.url} answered {response.status}, not {target.status}: {body[:500]!r}")
    return Answer(response.headers, body)


def load(
    target: Target,
    seconds: float,
    *,
    cores: frozenset[int],
    connections: int = CONNECTIONS,
    pause: tuple[int, int] | None = None,
    first: bool = False,
) -> Round:
    """Put load on the target for a while, from some cores; ``pause``: milliseconds before each request, at random.

    ``first``: where others have work to do on the cores, and the latencies are to be the target's, the load goes first.
    Raises BenchError if a single answer is not as the target says.
    """
    expected = probe(target)
    wrk = [require_wrk(), "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:g}s"]
    wrk += ["--timeout", str(TIMEOUT), "--script", str(_SCRIPT)]
    for name, value in target.headers.items():
        if target.requests is None or name != "Authorization":
            wrk += ["--header", f"{name}: {value}"]
    with tempfile.NamedTemporaryFile() as body, _files(target, math.ceil(seconds * MAX_RATE)) as lists:
        Path(body.name).write_bytes(expected.body)
        wrk += [target.url, "--", str(target.status), body.name, target.answers, *lists]
        wrk.append(f"{pause[0]}-{pause[1]}" if pause else "-")
        before = target.process.cpu_seconds
        with on_cores(cores), going_first() if first else nullcontext(True) as is_first:
            done = subprocess.run(wrk, capture_output=True, text=True, check=False)
        cpu = target.process.cpu_seconds - before
    target.process.check()
    if done.returncode != 0:
        raise BenchError(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
    told = json.loads(done.stdout.splitlines()[-1])
    if target.requests is not None:
        target.requests.use(told["used"])
    return _round(told, cpu, url=target.url, waited=not is_first)


def _round(told: Mapping[str, Any], cpu: float, *, url: str, waited: bool) -> Round:
    if not told["requests"]:
        raise BenchError(f"{url} answered nothing under load")
    failures = {name: told[name] for name in _FAILURES if told[name]}
    if failures:
        raise BenchError(f"{url} under load, of {told['requests']} answers: {failures}")
    return Round(
        requests=told["requests"],
        requests_per_second=told["requests"] / told["seconds"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        p999_ms=told["p999_ms"],
        max_ms=told["max_ms"],
        cpu_us_per_request=cpu / told["requests"] * 1e6,
        busy=cpu / told["seconds"],
        waited=waited,
    )


@contextmanager
def _files(target: Target, count: int) -> Iterator[tuple[str, str]]:
    if target.requests is None:
        yield "-", "-"
        return
    with target.requests.files(count) as (requests, headers):
        yield str(requests), str(headers)

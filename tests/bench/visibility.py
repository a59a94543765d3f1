"""How soon the service shows what another client has changed in the cluster, with many segments and many changes."""

import json
from collections.abc import Iterator, Sequence

from tests.bench.environment import Bench, service
from tests.bench.processes import BenchError, python
from tests.bench.report import Goal, Result

RATE = 100
LEAST_SECONDS = 10
"""A 99th percentile takes a thousand changes."""
_GOAL = Goal(bound=50, aim=10, more=False)
_ENOUGH = 0.9


def measure(bench: Bench) -> Iterator[Result]:
    """Measure from the cluster's answer to the change, and from the request for it, until the service shows it."""
    around = bench.cluster(bench.sizes.large)
    seconds = max(LEAST_SECONDS, bench.rounds * bench.seconds)
    with service(bench, around) as running:
        arguments = ["-m", "tests.bench.programs.visible", "--api", running.url, "--api-token", running.token]
        arguments += around.arguments
        arguments += ["--rate", str(RATE), "--seconds", str(seconds)]
        with python(arguments, cores=bench.load) as client:
            found = json.loads(client.first_line())
    rate = len(found["read"]) / found["seconds"]
    if rate < _ENOUGH * RATE:
        raise BenchError(f"there were {rate:.0f} changes a second, not {RATE}: the cluster does not keep up")
    read = percentile(found["read"], 99)
    # the second has the time in it that the cluster takes to store the change
    for name, begins, goal in (("from_answer", "the cluster's answer", _GOAL), ("from_request", "the request", None)):
        yield Result(
            name=f"visible_{name}",
            what=f"p99 from {begins} until a change shows, {RATE}/s, {around.segments:,}",
            reference="the same read without a change",
            measured=f"p50 {percentile(found[name], 50):.1f} ms, max {max(found[name]):.1f} ms",
            against=f"p99 {read:.1f} ms",
            figure=percentile(found[name], 99),
            unit="ms",
            goal=goal,
            details={"changes": len(found[name]), "rate": rate, "read_p99_ms": read},
        )


def percentile(figures: Sequence[float], part: float) -> float:
    """Return what that part in a hundred of the figures are at most."""
    return sorted(figures)[min(int(len(figures) * part / 100), len(figures) - 1)]

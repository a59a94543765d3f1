"""Reads while others write: the 99th percentile of the first page's latency, against the same without writes.

Both sides have the same load: as many connections as elsewhere at full load, where a latency is the time in the queue;
and connections with pauses, which leave the server idle most of the time, so that every stall shows in full. The writes
come at their rate whether or not earlier ones are done, and from the core of the load, which goes first there.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.corpus import EDITOR
from tests.bench.environment import Bench, Service, Surroundings, service
from tests.bench.load import CONNECTIONS, Round, Target, load
from tests.bench.processes import BenchError, Process, python
from tests.bench.report import Goal, Result
from tests.bench.turns import doubts, in_turns, rounds, span

RATE = 50
PAUSE = (10, 30)
"""Milliseconds between an answer and the next request, where there is a pause: some 1,500 requests a second."""
_GOAL = Goal(bound=2, aim=1.3, more=False)
_ENOUGH = 0.9


@dataclass(frozen=True)
class _Writer:
    name: str
    what: str
    arguments: list[str]


def measure(bench: Bench) -> Iterator[Result]:
    """Measure the first page with writes through the API and with writes made directly in the cluster."""
    around = bench.cluster(bench.sizes.large)
    around.process.pin(bench.cores.load)
    with service(bench, around) as running:
        for writer in _writers(running, around):
            with _changing(bench, writer) as changes:
                yield _compare(bench, running, around, writer=writer, changes=changes, pause=None)
                yield _compare(bench, running, around, writer=writer, changes=changes, pause=PAUSE)


def _writers(running: Service, around: Surroundings) -> list[_Writer]:
    return [
        _Writer("api", f"{RATE} PUTs/s", ["--api", running.url, f"--token={around.caller(EDITOR)}"]),
        _Writer("cluster", f"{RATE} changes/s made in the cluster", around.arguments),
    ]


@contextmanager
def _changing(bench: Bench, writer: _Writer) -> Iterator[Process]:
    arguments = ["-m", "tests.bench.programs.changes", "--rate", str(RATE), *writer.arguments]
    with python(arguments, cores=bench.load) as changes:
        changes.first_line()
        yield changes


def _compare(
    bench: Bench,
    running: Service,
    around: Surroundings,
    *,
    writer: _Writer,
    changes: Process,
    pause: tuple[int, int] | None,
) -> Result:
    page = Target(running.process, f"{running.url}/segments", running.authorization, 200, "alike")
    written: list[Mapping[str, Any]] = []

    def without() -> Round:
        return load(page, bench.seconds, cores=bench.load, pause=pause, first=True)

    def during() -> Round:
        changes.ask()
        measured = without()
        written.append(json.loads(changes.ask()))
        if written[-1]["failures"] or written[-1]["rate"] < _ENOUGH * RATE:
            raise BenchError(f"the writes were not as they should be: {written[-1]}")
        return measured

    without()
    ours, theirs = in_turns(bench.rounds, during, without)
    latencies, reference = [one.p99_ms for one in ours], [one.p99_ms for one in theirs]
    return Result(
        name=f"writes_{writer.name}{'_paced' if pause else ''}",
        what=f"p99 of a page of {around.segments:,} during {writer.what}{', paced' if pause else ''}",
        reference="without writes",
        measured=_shown(ours),
        against=_shown(theirs),
        figure=median(latencies) / median(reference),
        span=span(latencies, reference),
        goal=None if pause else _GOAL,
        details={
            "segments": around.segments,
            "connections": CONNECTIONS,
            "pause_ms": pause,
            "writes": written,
            **rounds(ours, theirs),
        },
        doubts=doubts([*ours, *theirs], full=pause is None),
    )


def _shown(measured: list[Round]) -> str:
    p99, rate = median(one.p99_ms for one in measured), median(one.requests_per_second for one in measured)
    return f"{p99:.2f} ms at {rate:,.0f}/s"

"""Searches that nobody has asked before: their CPU, their latency, and for how long they keep all others waiting."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from statistics import mean
from typing import Any

from tests.bench import asks, corpus
from tests.bench.environment import Bench, Surroundings, service
from tests.bench.load import Target, load
from tests.bench.processes import python
from tests.bench.report import Goal, Result
from tests.bench.visibility import percentile

SEARCHES = 3000
SAMPLED = 60
CALLERS = 8
MAX_RATE = 5_000
"""More searches in a second than there will be answers."""
_RATIO = Goal(bound=80, aim=150, more=True)
_LATENCY = Goal(bound=10, aim=4, more=False)
_STALL = Goal(bound=10, aim=4, more=False)
_REFERENCE = "rapidfuzz process.extract, WRatio ≥ 80"


def measure(bench: Bench) -> Iterator[Result]:
    """Measure over many names."""
    around = bench.cluster(bench.sizes.large)
    yield from _cost(bench, around)
    known = corpus.names(around.segments)
    yield _latency(bench, around, known)
    yield _stall(bench, around, known)


def _cost(bench: Bench, around: Surroundings) -> Iterator[Result]:
    with around.listed() as listed:
        arguments = ["-m", "tests.bench.programs.search", str(listed)]
        arguments += ["--searches", str(SEARCHES), "--sampled", str(SAMPLED)]
        with python(arguments, cores=bench.measured) as program:
            told = json.loads(program.first_line())
    cpu, reference = told["cpu"], told["reference"]
    slowest = sorted(zip(cpu, told["texts"], strict=True), reverse=True)[:10]
    details: dict[str, Any] = {
        "searches": len(cpu),
        "finding_something": told["found"],
        "names": told["names"],
        "cpu_ms": _spread(cpu),
        "wall_ms": _spread(told["wall"]),
        "reference_cpu_ms": _spread(reference),
        "slowest": [{"text": text, "cpu_ms": seconds * 1e3} for seconds, text in slowest],
    }
    yield Result(
        name="search_cpu",
        what=f"CPU of a search not asked before, {around.segments:,}",
        reference=_REFERENCE,
        measured=f"{mean(cpu) * 1e3:.2f} ms",
        against=f"{mean(reference) * 1e3:.1f} ms",
        figure=mean(reference) / mean(told["sampled"]),
        goal=_RATIO,
        details=details,
    )
    yield Result(
        name="search_p99",
        what="its 99th percentile, in the process",
        reference=_REFERENCE,
        measured=f"p50 {percentile(cpu, 50) * 1e3:.2f} ms, max {max(cpu) * 1e3:.1f} ms",
        against=f"p99 {percentile(reference, 99) * 1e3:.0f} ms",
        figure=percentile(cpu, 99) * 1e3,
        unit="ms",
        goal=_LATENCY,
    )


def _spread(seconds: list[float]) -> dict[str, float]:
    parts = {f"p{part}": percentile(seconds, part) * 1e3 for part in (50, 90, 99, 99.9)}
    return {"mean": mean(seconds) * 1e3, **parts, "max": max(seconds) * 1e3}


def _latency(bench: Bench, around: Surroundings, known: list[str]) -> Result:
    with service(bench, around) as running:
        texts = corpus.searches(known, _many(bench), seed=7)
        requests = asks.searches(running.token, texts)
        target = Target(running.process, f"{running.url}/segments", running.authorization, 200, "any", requests)
        alone = Target(running.process, f"{running.url}/segments", running.authorization, 200)
        found = load(target, bench.seconds * 2, cores=bench.load, connections=1)
        reference = load(alone, bench.seconds, cores=bench.load, connections=1)
    return Result(
        name="search_latency",
        what="p99 of one caller's searches over HTTP, none asked before",
        reference="the first page, one caller",
        measured=f"p50 {found.p50_ms:.2f} ms, max {found.max_ms:.1f} ms",
        against=f"p99 {reference.p99_ms:.2f} ms",
        figure=found.p99_ms,
        unit="ms",
        goal=_LATENCY,
        details={"round": asdict(found), "reference_round": asdict(reference)},
    )


def _stall(bench: Bench, around: Surroundings, known: list[str]) -> Result:
    with service(bench, around, arguments=("-m", "tests.bench.programs.stall")) as running:
        texts = corpus.searches(known, _many(bench), seed=8)
        requests = asks.searches(running.token, texts)
        target = Target(running.process, f"{running.url}/segments", running.authorization, 200, "any", requests)
        page = Target(running.process, f"{running.url}/segments", running.authorization, 200)
        running.process.ask()
        load(page, bench.seconds * 2, cores=bench.load, connections=CALLERS)
        pages = json.loads(running.process.ask())
        found = load(target, bench.seconds * 2, cores=bench.load, connections=CALLERS)
        searching = json.loads(running.process.ask())
    waited = searching["max_ms"] > 2 * searching["max_cpu_ms"] + 1
    return Result(
        name="stall",
        what=f"longest stall of the event loop while {CALLERS} callers search",
        reference="while they read the first page",
        measured=f"p99.9 {searching['p999_ms']:.1f} ms, CPU of the longest {searching['max_cpu_ms']:.1f} ms",
        against=f"max {pages['max_ms']:.1f} ms, p99.9 {pages['p999_ms']:.1f} ms",
        figure=searching["max_ms"],
        unit="ms",
        goal=_STALL,
        details={"searching": searching, "reading": pages, "round": asdict(found)},
        doubts="the longest was a wait for the core, which something else had" if waited else "",
    )


def _many(bench: Bench) -> int:
    """Return more searches than callers can ask in a measurement."""
    return round(bench.seconds * 2 * MAX_RATE)

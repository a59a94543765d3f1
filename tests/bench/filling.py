"""Filling the index: CPU from a list's bytes on, wall time from the request on."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.environment import Bench, Surroundings, service
from tests.bench.processes import BenchError, python
from tests.bench.report import Goal, Result
from tests.bench.turns import in_turns, span

_CPU = Goal(bound=3.5, aim=2.5, more=False)
_WALL = Goal(bound=1.5, aim=1.2, more=False)


def measure(bench: Bench) -> Iterator[Result]:
    """Measure both with many segments."""
    around = bench.cluster(bench.sizes.large)
    with around.listed() as listed:
        yield _filling(bench, around, listed)
    yield _syncing(bench, around)


def _filling(bench: Bench, around: Surroundings, listed: Path) -> Result:
    def once(what: str) -> dict[str, Any]:
        with python(["-m", "tests.bench.programs.fill", what, str(listed)], cores=bench.measured) as program:
            return dict(json.loads(program.first_line()))

    once("fill")
    with_collector: list[float] = []

    def parse() -> dict[str, Any]:
        with_collector.append(once("parse")["cpu"])
        return once("parse-without-collector")

    fills, parses = in_turns(bench.rounds, lambda: once("fill"), parse)
    ours, theirs = [one["cpu"] for one in fills], [one["cpu"] for one in parses]
    return Result(
        name="fill",
        what=f"CPU to fill the index with {around.segments:,}",
        reference="orjson.loads of the list, collector off",
        measured=f"{median(ours):.2f} s",
        against=f"{median(theirs):.2f} s ({median(with_collector):.2f} s with the collector)",
        figure=median(ours) / median(theirs),
        span=span(ours, theirs),
        goal=_CPU,
        details={
            "list_bytes": fills[0]["bytes"],
            "shown": fills[0]["segments"],
            "ratio_to_parsing_with_collector": median(ours) / median(with_collector),
            "cpu_seconds": ours,
            "reference_cpu_seconds": theirs,
            "reference_cpu_seconds_with_collector": with_collector,
        },
    )


def _syncing(bench: Bench, around: Surroundings) -> Result:
    arguments = ["-m", "tests.bench.programs.fetch", *around.arguments]

    def fetch() -> float:
        with python(arguments, cores=bench.measured) as program:
            return float(json.loads(program.first_line())["wall"])

    fetch()
    ours, theirs = in_turns(bench.rounds, lambda: _synced(bench, around), fetch)
    return Result(
        name="sync",
        what=f"wall time of a cold sync of {around.segments:,}",
        reference="the list fetched and parsed",
        measured=f"{median(ours):.2f} s",
        against=f"{median(theirs):.2f} s",
        figure=median(ours) / median(theirs),
        span=span(ours, theirs),
        goal=_WALL,
        details={"seconds": ours, "reference_seconds": theirs},
    )


def _synced(bench: Bench, around: Surroundings) -> float:
    """Start the service; return how long its log says that the list took until the index was filled."""
    with service(bench, around) as running:
        for line in running.process.log.read_text(encoding="utf-8").splitlines():
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "segments_listed":
                if event["segments"] + event["hidden"] != around.segments:
                    raise BenchError(f"the service took in {event['segments']} of {around.segments} segments")
                return float(event["seconds"])
    raise BenchError("the service's log does not say how long the list took: is its level above info?")

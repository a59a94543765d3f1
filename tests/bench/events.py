"""What one event of the watch costs with many segments, against parsing it and building its segment."""

import json
from collections.abc import Iterator
from statistics import mean, median
from typing import Any

from tests.bench.environment import Bench
from tests.bench.processes import python
from tests.bench.report import Goal, Result
from tests.bench.turns import span

_GOAL = Goal(bound=5, aim=3, more=False)
_WHAT = {
    "mixed": "7 of 10 describe anew, the others rename, create or delete",
    "described": "a description changed",
    "renamed": "a name changed",
    "created": "a segment came",
    "deleted": "a segment went",
}
_Figures = list[dict[str, float]]


def measure(bench: Bench) -> Iterator[Result]:
    """Measure events as they may come, and those of each kind."""
    around = bench.cluster(bench.sizes.large)
    with around.listed() as listed:
        arguments = ["-m", "tests.bench.programs.event", str(listed), "--rounds", str(bench.rounds)]
        with python(arguments, cores=bench.measured) as program:
            told: dict[str, Any] = json.loads(program.first_line())
    for kind, figures in told["kinds"].items():
        yield _result(kind, figures, around.segments)


def _result(kind: str, figures: _Figures, segments: int) -> Result:
    ours, theirs = _of("taken_in_us", figures), _of("built_us", figures)
    with_page = median(_of("with_a_page_after_each_us", figures))
    return Result(
        name=f"event_{kind}",
        what=f"CPU for an event of {segments:,}: {_WHAT[kind]}",
        reference="parsed and the segment built",
        measured=f"{median(ours):.0f} us ({with_page:.0f} us with a page after it)",
        against=f"{median(theirs):.0f} us",
        figure=median(ours) / median(theirs),
        span=span(ours, theirs),
        goal=_GOAL,
        details={"rounds": figures, "mean_us": mean(ours)},
    )


def _of(name: str, figures: _Figures) -> list[float]:
    return [one[name] for one in figures]

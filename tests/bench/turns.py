"""Two sides in turns: what slows the machine down for a while slows both, and each round has a ratio of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, TypeVar

from tests.bench.environment import Bench
from tests.bench.load import CONNECTIONS, Round, Target, load
from tests.bench.report import Goal, Result

WARM_UP = 1.0
"""Seconds of load on each side before the first round."""

_Figure = TypeVar("_Figure")


def in_turns(
    rounds: int, ours: Callable[[], _Figure], theirs: Callable[[], _Figure]
) -> tuple[list[_Figure], list[_Figure]]:
    """Measure both sides so many times, one after the other."""
    measured = [(ours(), theirs()) for _ in range(rounds)]
    return [our for our, _ in measured], [their for _, their in measured]


def loads(
    bench: Bench, ours: Target, theirs: Target, *, connections: int = CONNECTIONS
) -> tuple[list[Round], list[Round]]:
    """Put load on two targets in turns."""
    for target in (ours, theirs):
        load(target, min(WARM_UP, bench.seconds), cores=bench.load, connections=connections)
    return in_turns(
        bench.rounds,
        lambda: load(ours, bench.seconds, cores=bench.load, connections=connections),
        lambda: load(theirs, bench.seconds, cores=bench.load, connections=connections),
    )


def by_rate(
    ours: Sequence[Round],
    theirs: Sequence[Round],
    *,
    name: str,
    what: str,
    reference: str,
    goal: Goal | None,
    details: Mapping[str, Any],
    saturated: bool = True,
) -> Result:
    """Compare by requests per second: the more, the better. saturated: whether the reference can fill its core."""
    rates, reference_rates = _rates(ours), _rates(theirs)
    return Result(
        name=name,
        what=what,
        reference=reference,
        measured=_shown(ours),
        against=_shown(theirs),
        figure=median(rates) / median(reference_rates),
        span=span(rates, reference_rates),
        goal=goal,
        cpu_ratio=_cpu(theirs) / _cpu(ours),
        details={**details, **rounds(ours, theirs)},
        doubts=doubts([*ours, *theirs] if saturated else ours),
    )


def span(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest ratio of a round."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    return min(ratios), max(ratios)


def rounds(ours: Sequence[Round], theirs: Sequence[Round]) -> dict[str, Any]:
    """Return all that the rounds showed, for the report's details."""
    return {"rounds": [asdict(one) for one in ours], "reference_rounds": [asdict(one) for one in theirs]}


def doubts(measured: Sequence[Round], *, full: bool = True) -> str:
    """Say if a server that should have been at full load had too little of its core, or a load that of its own."""
    busy = min(one.busy for one in measured)
    if full and busy < 0.9:
        return f"a server had its core for only {busy:.0%} of a round"
    return "the load may not go first on its core: run as root" if any(one.waited for one in measured) else ""


def _rates(measured: Sequence[Round]) -> list[float]:
    return [one.requests_per_second for one in measured]


def _cpu(measured: Sequence[Round]) -> float:
    return median(one.cpu_us_per_request for one in measured)


def _shown(measured: Sequence[Round]) -> str:
    return f"{median(_rates(measured)):,.0f}/s, {_cpu(measured):,.0f} us CPU"

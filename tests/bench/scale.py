"""The same reads with a hundred times as many segments, against the service with few of them."""

from collections.abc import Iterator

from tests.bench import asks
from tests.bench.environment import Bench, Service, Surroundings, service
from tests.bench.load import Target
from tests.bench.report import Goal, Result
from tests.bench.turns import by_rate, loads

_GOAL = Goal(bound=0.9, aim=1.0, more=True)
_SIZES = range(asks.PAGE - 2, asks.PAGE + 3)
"""Pages of few segments would soon have been asked for all if they had one size."""


def measure(bench: Bench) -> Iterator[Result]:
    """Measure the first page, and pages never asked for before, with many segments and with few."""
    many, few = bench.cluster(bench.sizes.large), bench.cluster(bench.sizes.small)
    with service(bench, many) as large, service(bench, few) as small:
        what = f"GET /segments, of {many.segments:,}"
        reference = f"the same of {few.segments:,}"
        yield by_rate(
            *loads(bench, _page(large), _page(small)),
            name="scale",
            what=what,
            reference=reference,
            goal=_GOAL,
            details={},
        )
        yield by_rate(
            *loads(bench, _fresh(large, many), _fresh(small, few)),
            name="scale_fresh",
            what=f"a page never asked for before, of {many.segments:,}",
            reference=reference,
            goal=_GOAL,
            details={"callers": asks.CALLERS},
        )


def _page(running: Service) -> Target:
    return Target(running.process, f"{running.url}/segments", running.authorization, 200)


def _fresh(running: Service, around: Surroundings) -> Target:
    requests = asks.pages(running, around, sizes=_SIZES)
    return Target(running.process, f"{running.url}/segments", running.authorization, 200, "alike", requests)

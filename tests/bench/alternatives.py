"""What a user would pick instead: the cluster's own ``?limit=20`` list, and a handler that lists the cluster each time.

The cluster has the measured core for itself where its own list is measured. Behind the handler it has the other core,
which the load hardly needs: two cores against the service's one, in favour of the handler.
"""

from collections.abc import Callable, Iterator

from tests.bench.environment import Bench, Service, Surroundings, service
from tests.bench.load import CONNECTIONS, Round, Target, load
from tests.bench.processes import python
from tests.bench.report import Result
from tests.bench.turns import by_rate, in_turns

AT_ONCE = 4
"""Connections to the handler: enough to keep both cores busy, and each waits its turn for seconds with more."""
LEAST_SECONDS = 5
"""A handler that lists the cluster answers a few requests in a second."""


def measure(bench: Bench) -> Iterator[Result]:
    """Measure the first page against both, with few segments and with some."""
    for segments in (bench.sizes.small, bench.sizes.medium):
        around = bench.cluster(segments)
        with service(bench, around) as running:
            yield _own_list(bench, around, running)
            yield _handler(bench, around, running)


def _own_list(bench: Bench, around: Surroundings, running: Service) -> Result:
    url = f"{around.url}{around.collection}?limit=20"
    listing = Target(around.process, url, around.credentials, 200, "any", ca_file=around.ca_file)
    around.process.pin(bench.cores.measured)
    try:
        ours, theirs = in_turns(
            bench.rounds, _page(bench, running), lambda: load(listing, bench.seconds, cores=bench.load)
        )
    finally:
        around.process.pin(bench.cores.load)
    return _result(
        ours, theirs, name=f"own_list_{around.segments}", around=around, reference="the cluster's own ?limit=20 list"
    )


def _handler(bench: Bench, around: Surroundings, running: Service) -> Result:
    arguments = ["-m", "tests.bench.programs.lister", *around.arguments]
    with python(arguments, cores=bench.measured) as process:
        lister = Target(process, f"{process.first_line()}/segments", running.authorization, 200, "any")
        seconds = max(bench.seconds, LEAST_SECONDS)
        ours, theirs = in_turns(
            bench.rounds,
            _page(bench, running),
            lambda: load(lister, seconds, cores=bench.load, connections=AT_ONCE),
        )
    reference = "a handler that lists the cluster each time"
    return _result(ours, theirs, name=f"handler_{around.segments}", around=around, reference=reference)


def _page(bench: Bench, running: Service) -> Callable[[], Round]:
    page = Target(running.process, f"{running.url}/segments", running.authorization, 200)
    return lambda: load(page, bench.seconds, cores=bench.load, connections=CONNECTIONS)


def _result(ours: list[Round], theirs: list[Round], *, name: str, around: Surroundings, reference: str) -> Result:
    what = f"GET /segments, 20 of {around.segments:,}"
    return by_rate(ours, theirs, name=name, what=what, reference=reference, goal=None, details={}, saturated=False)

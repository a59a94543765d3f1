"""Pages that nobody has asked for before, by callers no two of whom see the same."""

from collections.abc import Iterator
from dataclasses import replace

from tests.bench import asks
from tests.bench.environment import Bench, bare, service
from tests.bench.load import Target, probe
from tests.bench.report import Goal, Result
from tests.bench.turns import by_rate, loads


def measure(bench: Bench) -> Iterator[Result]:
    """Measure pages from anywhere in what many different callers see, against a bare handler with a page's bytes."""
    around = bench.cluster(bench.sizes.medium)
    with service(bench, around) as running:
        requests = asks.pages(running, around)
        page = f"/segments?offset={around.segments // 2}&pagesize={asks.PAGE}"
        ours = Target(running.process, running.url + page, running.authorization, 200, "alike", requests)
        body = probe(ours).body
        with bare(bench, path="/segments", status=200, body=body) as (process, url):
            # the requests are the same ones, each sent to one side: their cost to a parser is the same
            theirs = replace(ours, process=process, url=url + page)
            measured, reference = loads(bench, ours, theirs)
        yield by_rate(
            measured,
            reference,
            name="fresh",
            what=f"a page never asked for before: any of {around.segments:,}, {asks.CALLERS} callers",
            reference="bare aiohttp handler, a page's bytes",
            goal=Goal(bound=0.6, aim=0.75, more=True),
            details={"callers": asks.CALLERS, "body_bytes": len(body)},
        )

"""What the service needs in memory for each segment, above what it needs with none, against the bytes of the list."""

import random
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from tests.bench import asks, corpus
from tests.bench.environment import Bench, Service, Surroundings, service
from tests.bench.load import Target, probe
from tests.bench.report import Goal, Result

SEARCHES = 1000
VIEWS = 5
_GOAL = Goal(bound=1.2, aim=0.5, more=False)
_SORTS = ("", "&sort=displayName", "&sort=-modifiedAt")


def measure(bench: Bench) -> Iterator[Result]:
    """Measure just filled, after pages of a few callers in a few orders, and after a thousand different searches."""
    around = bench.cluster(bench.sizes.large)
    listed = len(around.get())
    with service(bench, around, namespace="empty") as running:
        empty = running.process.memory
    with service(bench, around) as running:
        filled = running.process.memory
        for what, name, do in (
            ("filled", "memory", None),
            ("after reads", "memory_read", _read),
            (f"after {SEARCHES:,} searches", "memory_searched", _search),
        ):
            if do is not None:
                do(running, around)
            yield _result(name, what, running.process.memory, empty=empty, listed=listed, around=around)
        _search(running, around, seed=4)
        grown = running.process.memory["rss"] - filled["rss"]
        yield Result(
            name="memory_bounded",
            what=f"memory grown by {2 * SEARCHES:,} different searches and the reads",
            reference="the index",
            measured=f"{grown / 2**20:.1f} MiB",
            against=f"{(filled['rss'] - empty['rss']) / 2**20:.1f} MiB",
            figure=grown / 2**20,
            unit="MiB",
        )


def _result(
    name: str, what: str, now: Mapping[str, int], *, empty: Mapping[str, int], listed: int, around: Surroundings
) -> Result:
    above = {kind: (now[kind] - empty[kind]) / around.segments for kind in now}
    per_segment = listed / around.segments
    return Result(
        name=name,
        what=f"memory per segment of {around.segments:,}, {what}",
        reference="the list's bytes per segment",
        measured=f"{above['rss']:,.0f} B, in all {now['rss'] / 2**20:,.0f} MiB",
        against=f"{per_segment:,.0f} B, empty {empty['rss'] / 2**20:,.0f} MiB",
        figure=above["rss"] / per_segment,
        goal=_GOAL,
        details={"per_segment": above, "bytes": now, "empty_bytes": empty, "list_bytes": listed},
    )


def _read(running: Service, around: Surroundings) -> None:
    dice = random.Random(5)
    for roles in corpus.role_sets(VIEWS, around.segments):
        token = around.caller(roles)
        for sort in _SORTS:
            offset = dice.randrange(around.segments // 2)
            _ask(running, token, f"?offset={offset}&pagesize={asks.PAGE}{sort}")
        _ask(running, token, "?search=customer&sort=relevance")


def _search(running: Service, around: Surroundings, seed: int = 3) -> None:
    for text in corpus.searches(corpus.names(around.segments), SEARCHES, seed=seed):
        _ask(running, running.token, f"?search={quote(text)}")


def _ask(running: Service, token: str, query: str) -> None:
    probe(Target(running.process, f"{running.url}/segments{query}", {"Authorization": f"Bearer {token}"}, 200))

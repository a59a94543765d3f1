"""How long others wait for their polls beside one caller who asks at full speed, against how long without that caller.

The greedy caller has a token of its own and so many connections, on each of which the next request follows the answer,
or in the end several at a time. It asks for what is at hand, and for what is not: pages of a thousand segments,
compressed, and searches. The others read the first page, with pauses.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import quote

from tests.bench import corpus
from tests.bench.environment import Bench, service
from tests.bench.load import Round, Target, load, require_wrk
from tests.bench.processes import BenchError, on_cores
from tests.bench.report import Goal, Result
from tests.bench.turns import doubts, rounds

OTHERS = 8
"""How many connections the others have together."""
PAUSE = (5, 15)
CONNECTIONS = (1, 16, 64)
BIG = 1000
_GOAL = Goal(bound=3, aim=2, more=False)
_SCRIPT = Path(__file__).with_name("greedy.lua")


@dataclass(frozen=True)
class _Greed:
    """What the greedy caller does."""

    name: str
    what: str
    paths: Sequence[str]
    connections: int
    in_a_row: int = 1
    headers: Mapping[str, str] | None = None


def measure(bench: Bench) -> Iterator[Result]:
    """Measure beside each kind of greed, in turns with the others alone."""
    around = bench.cluster(bench.sizes.medium)
    with service(bench, around) as running:
        others = Target(running.process, f"{running.url}/segments", running.authorization, 200)
        token = around.caller(corpus.DASHBOARD, name="Greedy")
        for greed in _greeds(around.segments):
            alone, beside = [], []
            for _ in range(bench.rounds):
                alone.append(_others(bench, others))
                with _greedy(bench, running.url, token, greed):
                    beside.append(_others(bench, others))
            yield _result(greed, alone, beside)


def _greeds(segments: int) -> Iterator[_Greed]:
    for connections in CONNECTIONS:
        yield _Greed(f"greedy_{connections}", "the first page", ["/segments"], connections)
    yield _Greed("greedy_in_a_row", "the first page, 8 in a row", ["/segments"], 16, in_a_row=8)
    big = [f"/segments?offset={offset}&pagesize={BIG}" for offset in range(max(segments // 2, 1))]
    zipped = {"Accept-Encoding": "gzip"}
    for connections in CONNECTIONS:
        yield _Greed(f"greedy_big_{connections}", f"pages of {BIG:,}", big, connections)
        yield _Greed(f"greedy_gzip_{connections}", f"pages of {BIG:,}, compressed", big, connections, headers=zipped)
    texts = corpus.searches(corpus.names(segments), 20_000, seed=9)
    searches = [f"/segments?search={quote(text)}" for text in texts]
    for connections in CONNECTIONS:
        yield _Greed(f"greedy_search_{connections}", "searches not asked before", searches, connections)


def _others(bench: Bench, target: Target) -> Round:
    # the others go first on their core: the service's is what they are to compete for
    return load(target, bench.seconds, cores=bench.load, connections=OTHERS, pause=PAUSE, first=True)


@contextmanager
def _greedy(bench: Bench, url: str, token: str, greed: _Greed) -> Iterator[None]:
    """Run the greedy caller meanwhile. Raises BenchError when it ends before."""
    with tempfile.NamedTemporaryFile("w", prefix="segsvc-bench-", encoding="ascii") as paths:
        paths.write("".join(f"{path}\n" for path in greed.paths))
        paths.flush()
        wrk = [require_wrk(), "--threads", "1", "--connections", str(greed.connections)]
        wrk += ["--duration", "1h", "--script", str(_SCRIPT), "--header", f"Authorization: Bearer {token}"]
        for name, value in (greed.headers or {}).items():
            wrk += ["--header", f"{name}: {value}"]
        with on_cores(bench.load):
            running = subprocess.Popen(
                [*wrk, url, "--", paths.name, str(greed.in_a_row)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        try:
            yield
            if running.poll() is not None:
                said = running.stdout.read().decode(errors="replace") if running.stdout else ""
                raise BenchError(f"the greedy caller ended: {said}")
        finally:
            running.kill()
            running.communicate()


def _result(greed: _Greed, alone: Sequence[Round], beside: Sequence[Round]) -> Result:
    own, shared = median(one.p99_ms for one in alone), median(one.p99_ms for one in beside)
    ratios = [there.p99_ms / here.p99_ms for here, there in zip(alone, beside, strict=True)]
    connections = "one connection" if greed.connections == 1 else f"{greed.connections} connections"
    return Result(
        name=greed.name,
        what=f"others' p99 beside one who asks for {greed.what}, {connections}",
        reference="without that one",
        measured=f"p99 {shared:.2f} ms",
        against=f"p99 {own:.2f} ms",
        figure=shared / own,
        span=(min(ratios), max(ratios)),
        goal=_GOAL,
        details=rounds(beside, alone),
        doubts=doubts([*alone, *beside], full=False),
    )

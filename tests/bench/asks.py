"""Requests of which each is sent once: what no answer can have been kept for."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from tests.bench.corpus import role_sets
from tests.bench.environment import Service, Surroundings
from tests.bench.load import Target, probe
from tests.bench.processes import BenchError

CALLERS = 200
PAGE = 20
_CROWDED = 0.8
"""The part of all requests there can be after which drawing new ones takes too long."""


class Asks:
    """Requests by callers with tokens, handed out in rounds; each is used in one round at most."""

    def __init__(self, tokens: Sequence[str], requests: Iterator[tuple[int, str]]) -> None:
        """Take tokens and requests: the number of a token and a path. No request may come twice."""
        self._tokens = tokens
        self._requests = requests
        self._at_hand: list[tuple[int, str]] = []

    @contextmanager
    def files(self, count: int) -> Iterator[tuple[Path, Path]]:
        """Write the next requests, and the headers that they name, to files for a round."""
        self._at_hand += islice(self._requests, max(count - len(self._at_hand), 0))
        with TemporaryDirectory(prefix="segsvc-bench-") as directory:
            requests, headers = Path(directory) / "requests", Path(directory) / "headers"
            requests.write_text("".join(f"{who + 1} {path}\n" for who, path in self._at_hand), encoding="ascii")
            headers.write_text("".join(f"Bearer {token}\n" for token in self._tokens), encoding="ascii")
            yield requests, headers

    def use(self, count: int) -> None:
        """Leave out the first ones from now on, for a round has sent them. Raises BenchError if there were fewer."""
        if count >= len(self._at_hand):
            raise BenchError(f"a round took {count:,} requests and there were {len(self._at_hand):,}: some came twice")
        del self._at_hand[:count]


def pages(running: Service, around: Surroundings, *, sizes: range = range(PAGE, PAGE + 1)) -> Asks:
    """Return requests for pages anywhere in what callers see, no two of whom see the same.

    Each caller has asked once before, so that the service knows the token. Raises BenchError.
    """
    tokens = [around.caller(roles) for roles in role_sets(CALLERS, around.segments)]

    def total(token: str) -> int:
        target = Target(running.process, f"{running.url}/segments", {"Authorization": f"Bearer {token}"}, 200)
        return int(probe(target).headers["X-Total-Count"])

    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(total, tokens))
    return Asks(tokens, _draw(totals, sizes))


def _draw(totals: Sequence[int], sizes: range) -> Iterator[tuple[int, str]]:
    dice = random.Random(2)
    offsets = [max(total - sizes[-1], 0) for total in totals]
    # 0 is what made the tokens known
    possible = sum(offsets) * len(sizes) * _CROWDED
    drawn: set[tuple[int, int, int]] = {(who, 0, PAGE) for who in range(len(totals))}
    who_of = range(len(totals))
    while len(drawn) < possible:
        for who in dice.choices(who_of, offsets, k=1000):
            asked = (who, dice.randrange(offsets[who]), dice.choice(sizes))
            if asked not in drawn:
                drawn.add(asked)
                yield who, f"/segments?offset={asked[1]}&pagesize={asked[2]}"


def searches(token: str, texts: Sequence[str], *, options: str = "") -> Asks:
    """Return searches by one caller."""
    return Asks([token], ((0, f"/segments?search={quote(text)}{options}") for text in texts))

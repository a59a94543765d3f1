"""A program: what it costs to take in one event of a watch, and to do no more than parse it and build the segment.

The store is in use meanwhile: callers of several kinds see some of it in several orders, and searched it. Prints JSON.
"""

import argparse
import gc
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from segsvc.cluster.collector import settle_collector
from segsvc.cluster.observed import identity, observed
from segsvc.cluster.translate import object_of
from segsvc.domain.codec import decode
from segsvc.index.query import Query, Selector
from segsvc.index.store import SegmentStore
from segsvc.index.views import View
from tests.bench import corpus
from tests.bench.programs.inside import filled

VIEWS = 5
PAGE = 20
EVENTS = 1000
"""How many are measured at once."""
LABEL = "crm"
KINDS = {"described": 70, "renamed": 10, "created": 10, "deleted": 10}
"""What happens to segments; and how often, of a hundred times, where all of it does: that kind is called mixed."""
MIXED = "mixed"
DESCRIPTION, DISPLAY_NAME = "segment.grnry.io/description", "segment.grnry.io/display-name"
_QUERIES = (
    Query(offset=0, pagesize=PAGE),
    Query(offset=40, pagesize=PAGE, sort="displayName"),
    Query(offset=0, pagesize=PAGE, sort="-modifiedAt"),
    Query(offset=0, pagesize=PAGE, search="customer"),
)


class Writers:
    """Makes the lines that a watch would send, of resources that change."""

    def __init__(self, listed: bytes, revision: int) -> None:
        self._resources: list[dict[str, Any]] = orjson.loads(listed)["items"]
        self._revision = revision
        self._dice = random.Random(9)

    def lines(self, kind: str) -> list[bytes]:
        """Return the lines of events of a kind."""
        chosen = self._dice.sample(range(len(self._resources)), min(EVENTS, len(self._resources) // 4))
        kinds = KINDS if kind == MIXED else {kind: 1}
        happens = self._dice.choices(list(kinds), list(kinds.values()), k=len(chosen))
        events = list(zip(happens, chosen, strict=True))
        lines = [self._line(happened, self._resources[place]) for happened, place in events]
        for gone in sorted((place for happened, place in events if happened == "deleted"), reverse=True):
            del self._resources[gone]  # no new list: the collector would look through it while events are measured
        return lines

    def _line(self, kind: str, resource: dict[str, Any]) -> bytes:
        self._revision += 1
        metadata = resource["metadata"]
        metadata["resourceVersion"] = str(self._revision)
        match kind:
            case "described":
                metadata["annotations"][DESCRIPTION] = f"Changed at {self._revision}."
            case "renamed":
                other = self._dice.choice(self._resources)["metadata"]["annotations"]
                metadata["annotations"][DISPLAY_NAME] = other.get(DISPLAY_NAME, "Renamed")
            case "created":
                new = {**metadata, "name": f"{metadata['name'][:50]}-{self._revision}", "uid": f"uid-{self._revision}"}
                resource = {**resource, "metadata": new}
        told = {"created": "ADDED", "deleted": "DELETED"}.get(kind, "MODIFIED")
        return orjson.dumps({"type": told, "object": resource})


def take_in(store: SegmentStore, line: bytes) -> None:
    """Do what the reflector does with a line of a watch."""
    event = object_of(line)
    if event["type"] == "DELETED":
        store.forget(*identity(event["object"]))
        return
    found = observed(event["object"])
    store.observe(found.id, found.version, found.entry, found.segment)


def render(line: bytes) -> None:
    """Do what comes before the store is told."""
    observed(object_of(line)["object"])


def build(line: bytes) -> None:
    """Parse a line and build the segment in it, and no more."""
    decode(orjson.loads(line)["object"])


def _timed(do: Callable[[bytes], None], lines: list[bytes]) -> float:
    """Return the microseconds that one line takes."""
    before = time.process_time()
    for line in lines:
        do(line)
    return (time.process_time() - before) / len(lines) * 1e6


def main() -> None:
    """Measure all kinds in turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("list", type=Path, help="a file with the list as the cluster sent it")
    parser.add_argument("--rounds", type=int, required=True)
    options = parser.parse_args()
    listed = options.list.read_bytes()
    settle_collector()
    store = filled(listed)
    writers, selector = Writers(listed, store.revision), Selector(store)
    gc.freeze()  # the writers' resources, which the service does not have
    roles = [frozenset(held) for held in corpus.role_sets(VIEWS, len(store))]

    def read() -> None:
        for view in (*map(store.view, roles), store.view(roles[0], (LABEL,))):
            _select(selector, view)

    def with_reads(line: bytes) -> None:
        take_in(store, line)
        selector.select(store.view(roles[0]), _QUERIES[0])

    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in (MIXED, *KINDS)}
    for _ in range(options.rounds + 1):
        for kind, all_figures in found.items():
            read()
            one, other = writers.lines(kind), writers.lines(kind)
            figures = {
                "taken_in_us": _timed(lambda line: take_in(store, line), one),
                "built_us": _timed(build, one),
                "built_and_rendered_us": _timed(render, one),
            }
            read()
            figures["with_a_page_after_each_us"] = _timed(with_reads, other)
            all_figures.append(figures)
    told: Iterator[tuple[str, list[dict[str, float]]]] = ((kind, figures[1:]) for kind, figures in found.items())
    print(json.dumps({"kinds": dict(told), "segments": len(store)}), flush=True)


def _select(selector: Selector, view: View) -> None:
    for query in _QUERIES:
        selector.select(view, query)


if __name__ == "__main__":
    main()

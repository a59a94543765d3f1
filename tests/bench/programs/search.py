"""A program: what searches cost that nobody has asked before, and what rapidfuzz takes for the same. Prints JSON.

The reference is `rapidfuzz.process.extract` over all names that the caller sees, in lower case and without punctuation
as its WRatio wants them, which was done beforehand: no processor has to run for each query.
"""

import argparse
import json
import time
from pathlib import Path

import orjson
from rapidfuzz import fuzz, process, utils

from segsvc.cluster.collector import settle_collector
from segsvc.index.entry import CLOSING, OPENING
from segsvc.index.query import Query, Selector
from tests.bench import corpus
from tests.bench.programs.inside import filled

PAGE = 20
CUTOFF = 80


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("list", type=Path, help="a file with the list as the cluster sent it")
    parser.add_argument("--searches", type=int, required=True)
    parser.add_argument("--sampled", type=int, required=True, help="how many of them the reference is asked, too")
    options = parser.parse_args()
    settle_collector()
    store = filled(options.list.read_bytes())
    view = store.view(frozenset(corpus.DASHBOARD))
    selector = Selector(store)
    everything = selector.select(view, Query(offset=0, pagesize=len(view))).bodies
    whole = [orjson.loads(OPENING + body + CLOSING) for body in everything]
    shown = [segment["metadata"]["displayName"] for segment in whole]
    names = [utils.default_process(name) for name in shown]
    texts = corpus.searches(shown, options.searches, seed=6)
    every = max(len(texts) // options.sampled, 1)
    cpu, wall, sampled, reference, found = [], [], [], [], 0
    for number, text in enumerate(texts):
        began, cpu_before = time.perf_counter(), time.thread_time()
        selection = selector.select(view, Query(offset=0, pagesize=PAGE, search=text))
        cpu.append(time.thread_time() - cpu_before)
        wall.append(time.perf_counter() - began)
        found += selection.total > 0
        if number % every == 0:
            asked = utils.default_process(text)
            cpu_before = time.thread_time()
            process.extract(asked, names, scorer=fuzz.WRatio, score_cutoff=CUTOFF, limit=None)
            reference.append(time.thread_time() - cpu_before)
            sampled.append(cpu[-1])
    told = {"cpu": cpu, "wall": wall, "sampled": sampled, "reference": reference, "texts": texts}
    print(json.dumps({**told, "found": found, "names": len(names)}), flush=True)


if __name__ == "__main__":
    main()

"""A program: what it costs to fill an index from a list, or to do no more than parse the list. Prints JSON, and ends.

In a process for each time, because what the first has left in memory changes the second.
"""

import argparse
import gc
import json
import time
from pathlib import Path

import orjson

from segsvc.cluster.collector import settle_collector
from tests.bench.programs.inside import filled


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("fill", "parse", "parse-without-collector"))
    parser.add_argument("list", type=Path, help="a file with the list as the cluster sent it")
    options = parser.parse_args()
    listed = options.list.read_bytes()
    if options.what == "parse-without-collector":
        gc.disable()
    if options.what == "fill":
        settle_collector()
    cpu, wall = time.process_time(), time.perf_counter()
    made = filled(listed) if options.what == "fill" else orjson.loads(listed)["items"]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu": cpu, "wall": wall, "segments": len(made), "bytes": len(listed)}), flush=True)


if __name__ == "__main__":
    main()

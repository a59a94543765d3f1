"""``python -m tests.bench``: run the benchmarks, print a table, write JSON."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.bench import reads, report
from tests.bench.environment import Bench
from tests.bench.load import CONNECTIONS, require_wrk
from tests.bench.processes import BenchError, Cores
from tests.bench.report import Result

GROUPS: Mapping[str, Callable[[Bench], Iterator[Result]]] = {"reads": reads.measure}
"""The measurements, by what they share their surroundings with."""


def main() -> int:
    """Run what the command line says; 1 when a figure cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="How fast the service is, in ratios.")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="of each side, in turns (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="of each round (default: %(default)s)")
    parser.add_argument("--log-level", default="info", help="of the service (default: %(default)s, as in production)")
    parser.add_argument("--only", choices=GROUPS, action="append", help="a group of measurements (default: all)")
    options = parser.parse_args()
    results: list[Result] = []
    try:
        require_wrk()
        bench = Bench(Cores.available(), options.rounds, options.seconds, options.log_level)
        os.sched_setaffinity(0, {bench.cores.load})
        for group in options.only or GROUPS:
            for result in GROUPS[group](bench):
                print(f"{result.name}: {result.ratio:.2f}", file=sys.stderr)
                results.append(result)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    settings = {
        "rounds": bench.rounds,
        "seconds": bench.seconds,
        "connections": CONNECTIONS,
        "log_level": bench.log_level,
    }
    report.write(options.json, settings=settings, results=results)
    print(report.table(results))
    print(f"\n{_line(report.machine())}\nwritten to {options.json}")
    return 0


def _line(machine: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" if name not in {"date", "cpu"} else value for name, value in machine.items())


if __name__ == "__main__":
    sys.exit(main())

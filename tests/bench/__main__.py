"""``python -m tests.bench``: run the benchmarks, print a table, write JSON."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.bench import (
    alternatives,
    bodies,
    events,
    fairness,
    filling,
    fresh,
    memory,
    reads,
    report,
    scale,
    searches,
    visibility,
    writes,
)
from tests.bench.environment import EMULATOR, REAL, Bench, Sizes
from tests.bench.load import CONNECTIONS, require_wrk
from tests.bench.processes import BenchError, Cores
from tests.bench.report import Result
from tests.support.envtest import assets_directory

GROUPS: Mapping[str, Callable[[Bench], Iterator[Result]]] = {
    "reads": reads.measure,
    "fresh": fresh.measure,
    "scale": scale.measure,
    "searches": searches.measure,
    "fairness": fairness.measure,
    "bodies": bodies.measure,
    "filling": filling.measure,
    "memory": memory.measure,
    "events": events.measure,
    "visibility": visibility.measure,
    "writes": writes.measure,  # from then on the clusters give way to others
    "alternatives": alternatives.measure,
}
"""The measurements, by what they share their surroundings with."""
CLUSTERS = {"emulator": EMULATOR, "real": REAL}


def main() -> int:
    """Run what the command line says; 1 when a figure cannot be had."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    results: list[Result] = []
    took: dict[str, float] = {}
    failed: list[str] = []
    try:
        require_wrk()
        cores = Cores.available()
        os.sched_setaffinity(0, {cores.load})
        for kind in _clusters(options.cluster):
            with ExitStack() as stack:
                bench = Bench(
                    cores=cores,
                    rounds=options.rounds,
                    seconds=options.seconds,
                    sizes=Sizes(*options.sizes),
                    log_level=options.log_level,
                    kind=kind,
                    keep=options.keep_clusters,
                    stack=stack,
                )
                for group in [group for group in GROUPS if group in (options.only or GROUPS)]:
                    began = time.monotonic()
                    if not _run(group, bench, results):
                        failed.append(f"{group}, {kind}")
                    took[f"{group}, {kind}"] = round(time.monotonic() - began, 1)
                    # after each, for a run takes long and may not come to its end
                    report.write(options.json, settings=_settings(options, took, failed), results=results)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(report.table(results))
    print(f"\n{report.footer()}\nwritten to {options.json}")
    if options.markdown:
        options.markdown.write_text(report.markdown(results) + "\n", encoding="utf-8")
    if failed:
        print(f"bench: not measured, or not all of it: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _settings(options: argparse.Namespace, took: Mapping[str, float], failed: Sequence[str]) -> dict[str, Any]:
    return {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": CONNECTIONS,
        "log_level": options.log_level,
        "sizes": asdict(Sizes(*options.sizes)),
        "took": dict(took),
        "failed": list(failed),
    }


def _run(group: str, bench: Bench, results: list[Result]) -> bool:
    """Run a group; what it cannot measure does not keep the others from it."""
    print(f"{bench.kind}: {group}", file=sys.stderr)
    try:
        for result in GROUPS[group](bench):
            print(f"  {result.name}: {result.shown(result.figure)} {result.verdict}", file=sys.stderr)
            results.append(replace(result, cluster=bench.kind))
    except (BenchError, OSError, HTTPException) as error:
        print(f"bench: {group}: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def _clusters(asked: list[str] | None) -> list[str]:
    kinds = [CLUSTERS[name] for name in asked or CLUSTERS]
    if assets_directory() is None and REAL in kinds:
        if asked:
            raise BenchError("KUBEBUILDER_ASSETS must name the directory of kube-apiserver and etcd")
        print("bench: only the emulator, for KUBEBUILDER_ASSETS names no real API server", file=sys.stderr)
        kinds.remove(REAL)
    return kinds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="How fast the service is, in ratios.")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="default: %(default)s")
    parser.add_argument("--markdown", type=Path, help="a file for the table that README.md shows")
    parser.add_argument("--rounds", type=int, default=5, help="of each side, in turns (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="of each round (default: %(default)s)")
    parser.add_argument("--log-level", default="info", help="of the service (default: %(default)s, as in production)")
    parser.add_argument("--only", choices=GROUPS, action="append", help="a group of measurements (default: all)")
    parser.add_argument(
        "--cluster", choices=CLUSTERS, action="append", help="a kind of cluster (default: all to be had)"
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs=3,
        metavar=("FEW", "SOME", "MANY"),
        default=(1_000, 10_000, 100_000),
        help="how many segments (default: 1000 10000 100000)",
    )
    parser.add_argument(
        "--keep-clusters", type=Path, metavar="DIR", help="keep what real API servers hold here, to fill them only once"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

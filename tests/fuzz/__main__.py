"""Fuzz, guided by coverage: each target for five minutes, or those that are named, for as long as is said.

What finds something is written to ``build/fuzz/TARGET``, beside all inputs that reached something new. Exit status 1
if anything was found.
"""

import argparse
import logging
import subprocess
import sys
from pathlib import Path

import atheris
import structlog

from tests.fuzz.mutation import mutate

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
NAMES = sorted(path.name for path in CORPUS.iterdir())
LONGEST = 4096
SECONDS_FOR_ONE = 10
MEGABYTES = 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", metavar="TARGET", nargs="*", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=300, help="for each target; default: %(default)s")
    given = parser.parse_args()
    targets = given.targets or NAMES
    if not set(targets) <= set(NAMES):
        parser.error(f"the targets are {', '.join(NAMES)}")
    if len(targets) == 1:
        fuzz(targets[0], given.seconds)
    # each in a process of its own, which libFuzzer ends; all of them, whatever the first ones find
    ends = [
        subprocess.run([sys.executable, "-m", "tests.fuzz", target, "--seconds", str(given.seconds)], check=False)
        for target in targets
    ]
    return int(any(end.returncode for end in ends))


def fuzz(target: str, seconds: int) -> None:
    """Fuzz one target and end the process."""
    with atheris.instrument_imports(include=["segsvc"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 -- what it imports is instrumented

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = Path("build", "fuzz", target)
    reached = found / "corpus"
    reached.mkdir(parents=True, exist_ok=True)
    options = [
        f"-artifact_prefix={found}/",
        f"-dict={HERE / 'dictionaries' / target}",
        f"-max_len={LONGEST}",
        f"-max_total_time={seconds}",
        f"-timeout={SECONDS_FOR_ONE}",
        f"-rss_limit_mb={MEGABYTES}",
        "-print_final_stats=1",
        str(reached),
        str(CORPUS / target),
    ]
    atheris.Setup([sys.argv[0], *options], TARGETS[target], custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())

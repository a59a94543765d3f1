"""What bodies of a megabyte cost that are made to take long: others wait meanwhile."""

import json
from collections.abc import Iterator
from typing import Any

from tests.bench.environment import Bench
from tests.bench.processes import python
from tests.bench.report import Result


def measure(bench: Bench) -> Iterator[Result]:
    """Measure the worst of them; the others stand in the details."""
    arguments = ["-m", "tests.bench.programs.bodies", "--rounds", str(bench.rounds)]
    with python(arguments, cores=bench.measured) as program:
        told: dict[str, Any] = json.loads(program.first_line())
    seconds: dict[str, float] = told["seconds"]
    worst = max(seconds, key=seconds.__getitem__)
    yield Result(
        name="bodies",
        what=f"CPU for the worst of {len(seconds)} hostile bodies of 1 MiB: {worst}",
        reference="a regular expression's pass over 1 MiB",
        measured=f"{seconds[worst] * 1e3:.0f} ms",
        against=f"{told['pass'] * 1e3:.0f} ms",
        figure=seconds[worst] / told["pass"],
        details=told,
    )

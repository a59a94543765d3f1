"""What a run found: a table for people, one in Markdown for the README, JSON for programs."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("segsvc", "aiohttp", "uvloop", "orjson", "rapidfuzz")
_MACHINE_TEXT = ("date", "cpu")


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a figure is to be: ``bound`` at the worst, ``aim`` if it goes well; ``more`` where more is better."""

    bound: float
    aim: float
    more: bool

    def verdict(self, figure: float) -> str:
        """Say how much of the goal a figure reaches."""
        for asked, said in ((self.aim, "aim"), (self.bound, "met")):
            if figure >= asked if self.more else figure <= asked:
                return said
        return "missed"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One measurement. ``figure`` is a ratio to the reference (unit ``x``) or has a unit of its own."""

    name: str
    what: str
    reference: str
    measured: str
    against: str
    figure: float
    unit: str = "x"
    span: tuple[float, float] | None = None
    """The lowest and the highest figure of a single round, where there were rounds."""
    goal: Goal | None = None
    cpu_ratio: float | None = None
    """The same in CPU time of the two servers, which other work on the machine hardly changes."""
    details: Mapping[str, Any] = field(default_factory=dict)
    doubts: str = ""
    """Why the figure may be off, where there is a reason."""
    cluster: str = ""
    """In front of which kind of cluster this was measured."""

    @property
    def verdict(self) -> str:
        """How much of its goal it reaches; empty where there is none."""
        return self.goal.verdict(self.figure) if self.goal else ""

    def shown(self, number: float) -> str:
        """Write a number as this result's figures are."""
        digits = 0 if abs(number) >= 100 else 1 if abs(number) >= 20 else 2
        return f"{number:,.{digits}f}" + ("" if self.unit == "x" else f" {self.unit}")

    @property
    def bounds(self) -> tuple[str, str]:
        """What it is to be, and what it had better be."""
        if self.goal is None:
            return "", ""
        mark = "≥" if self.goal.more else "≤"
        return f"{mark} {self.shown(self.goal.bound)}", f"{mark} {self.shown(self.goal.aim)}"


def table(results: Sequence[Result]) -> str:
    """Lay the results out in columns."""
    header = ("cluster", "", "measured", "reference", "", "figure", "rounds", "by CPU", "bound", "aim", "reached")
    rows = [header, *map(_row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    doubts = [f"! {result.cluster}: {result.what}: {result.doubts}" for result in results if result.doubts]
    return "\n".join([*lines, *doubts])


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.cluster,
        result.what,
        result.measured,
        result.reference,
        result.against,
        result.shown(result.figure),
        _span(result),
        f"{result.cpu_ratio:.2f}" if result.cpu_ratio is not None else "",
        *result.bounds,
        result.verdict,
    )


def _span(result: Result) -> str:
    return " to ".join(map(result.shown, result.span)) if result.span else ""


def markdown(results: Sequence[Result]) -> str:
    """Write the table that README.md shows: a line for each measurement, a column for each kind of cluster."""
    clusters = list(dict.fromkeys(result.cluster for result in results))
    lines = [
        f"| what | held against | at least | aim | {' | '.join(clusters)} |",
        "|".join(["", *[" --- "] * (4 + len(clusters)), ""]),
    ]
    for name in dict.fromkeys(result.name for result in results):
        of_name = {result.cluster: result for result in results if result.name == name}
        first = next(iter(of_name.values()))
        cells = [_cell(of_name[cluster]) if cluster in of_name else "" for cluster in clusters]
        lines.append(f"| {' | '.join([first.what, first.reference, *first.bounds, *cells])} |")
    return "\n".join([*lines, "", _line(machine())])


def _cell(result: Result) -> str:
    span = f" ({_span(result)})" if result.span else ""
    return f"**{result.shown(result.figure)}**{span}{', ' if result.verdict else ''}{result.verdict}"


def machine() -> dict[str, Any]:
    """Tell what the figures were measured with."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def footer() -> str:
    """Say in one line what the figures were measured with."""
    return _line(machine())


def _line(told: Mapping[str, Any]) -> str:
    return ", ".join(str(value) if name in _MACHINE_TEXT else f"{name} {value}" for name, value in told.items())


def write(path: Path, *, settings: Mapping[str, Any], results: Sequence[Result]) -> None:
    """Write everything as JSON."""
    found = [{**asdict(result), "verdict": result.verdict} for result in results]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({**machine(), "settings": settings, "results": found}, indent=2) + "\n", encoding="utf-8"
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()

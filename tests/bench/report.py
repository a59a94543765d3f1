"""What a run found: a table for people, JSON for programs."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("segsvc", "aiohttp", "uvloop", "orjson", "rapidfuzz")


@dataclass(frozen=True, kw_only=True)
class Result:
    """One measurement, as a ratio to its reference; the ratios of single rounds went from `least` to `most`."""

    name: str
    what: str
    reference: str
    measured: str
    against: str
    ratio: float
    least: float
    most: float
    cpu_ratio: float
    """The same in CPU time of the two servers, which other work on the machine hardly changes."""
    details: Mapping[str, Any] = field(default_factory=dict)
    doubts: str = ""
    """Why the figure may be off, where there is a reason."""


def table(results: Sequence[Result]) -> str:
    """Lay the results out in columns."""
    rows = [("", "measured", "reference", "", "ratio", "of rounds", "by CPU")]
    rows += [
        (
            result.what,
            result.measured,
            result.reference,
            result.against,
            f"{result.ratio:.2f}",
            f"{result.least:.2f} to {result.most:.2f}",
            f"{result.cpu_ratio:.2f}",
        )
        for result in results
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, *(f"! {result.what}: {result.doubts}" for result in results if result.doubts)])


def machine() -> dict[str, Any]:
    """Tell what the figures were measured with."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def write(path: Path, *, settings: Mapping[str, Any], results: Sequence[Result]) -> None:
    """Write everything as JSON."""
    document = {**machine(), "settings": settings, "results": [asdict(result) for result in results]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()

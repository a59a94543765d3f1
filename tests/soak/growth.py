"""Whether something grows: a line through what was measured, and how far from it that lies."""

from __future__ import annotations

from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR = 3600.0
_POINTS = 400
"""As many are looked at, in pairs; of more, so many of them, evenly spread."""
_NOISES = 2
"""So much may noise within half a minute add to the rise of a line of ten: three standard errors."""


class Trend(NamedTuple):
    """A line by Theil and Sen: its slope is the median of those of all pairs, so the odd point does not turn it."""

    hours: float
    """How long it is."""
    end: float
    """Where it ends."""
    per_hour: float
    """By how much it rises."""
    noise: float
    """How far points lie from it: the standard deviation, if they do as by chance, found by their median distance."""

    def allowed(self, slack: float) -> float:
        """By how much it may rise an hour: within its length by this, and by what chance could make of the noise."""
        return (slack + _NOISES * self.noise) / self.hours


def trend(points: Sequence[tuple[float, float]]) -> Trend:
    """Find the line through these, each a time in seconds and a figure; there are two at least."""
    points = points[:: -(-len(points) // _POINTS)]
    slope = median((late - early) / (then - when) for (when, early), (then, late) in combinations(points, 2))
    start = median(figure - slope * when for when, figure in points)
    noise = 1.4826 * median(abs(figure - slope * when - start) for when, figure in points)
    first, last = points[0][0], points[-1][0]
    return Trend((last - first) / HOUR, start + slope * last, slope * HOUR, noise)

"""Growing pauses between attempts, with jitter so that replicas do not return all at once."""

import random
from collections.abc import Callable


class Backoff:
    """Pauses that double from ``base`` to ``cap`` seconds, each cut by up to a half at random."""

    def __init__(self, *, base: float, cap: float, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._base = base
        self._cap = cap
        self._uniform = uniform
        self._whole = base

    def next(self) -> float:
        """Return how long to pause, in seconds; the next pause is longer."""
        whole, self._whole = self._whole, min(self._whole * 2, self._cap)
        return self._uniform(whole / 2, whole)

    def reset(self) -> None:
        """Begin again with the shortest pause."""
        self._whole = self._base

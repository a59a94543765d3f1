"""How often and for how long one write is tried."""

import asyncio
from collections.abc import Callable

from segsvc.cluster.backoff import Backoff
from segsvc.cluster.errors import ClusterError, ClusterUnavailable, Conflict

LOOK_SECONDS = 2.0
"""Kept of a write's time for looking at what became of it when no answer comes."""
MAX_UNCLEAR = 2
"""A write that is not answered so often is not sent again: the cluster has other trouble."""


class Attempts:
    """The attempts at one write, between which there are short pauses.

    A lost race calls for another attempt, and so does an outcome that is unclear, once the resource has been looked at.
    Any other failure is final, and so is each of a dry run but a lost race. When time is up, the last failure is what
    all of it comes to.
    """

    def __init__(
        self, seconds: float, *, dry_run: bool, clock: Callable[[], float], uniform: Callable[[float, float], float]
    ) -> None:
        self._clock = clock
        self._deadline = clock() + seconds
        self._dry_run = dry_run
        self._backoff = Backoff(base=0.02, cap=0.5, uniform=uniform)
        self._failure: ClusterError = ClusterUnavailable("no answer in time", unclear=False)
        self._unclear = 0

    @property
    def unclear(self) -> bool:
        """Whether an attempt may have been carried out although no answer said so."""
        return self._unclear > 0

    def to_look(self) -> float:
        """Return the seconds that looking at the resource may take. Raises as `to_write` does."""
        return self._seconds(kept=0 if self.unclear else LOOK_SECONDS)

    def to_write(self) -> float:
        """Return the seconds that the next attempt may take. Raises the last one's failure if there is to be none."""
        if self._unclear == MAX_UNCLEAR:
            raise self._failure
        return self._seconds(kept=LOOK_SECONDS)

    def _seconds(self, *, kept: float) -> float:
        seconds = self._deadline - self._clock() - kept
        if seconds <= 0:
            raise self._failure
        return seconds

    def left(self) -> float:
        """Return the seconds that are left of the write's time."""
        return max(self._deadline - self._clock(), 0.0)

    async def failed(self, failure: ClusterError) -> None:
        """Pause after an attempt that calls for another. Raises the failure where it does not."""
        retried = isinstance(failure, Conflict) or (failure.unclear and not self._dry_run)
        if not retried:
            raise failure
        self._failure = failure
        self._unclear += failure.unclear
        await self.pause()

    async def pause(self) -> None:
        """Pause before looking again."""
        await asyncio.sleep(self._backoff.next())

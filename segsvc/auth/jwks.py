"""The issuer's keys, kept at hand: fetched in the background, replaced whole, never lost to a failure.

Invariants:

- A fetch that fails, or whose answer is no JWK set, leaves the keys as they are. One that succeeds replaces them all,
  so that a key which the issuer withdraws is out of use after one refresh.
- At most one fetch is under way, and whoever needs it waits for that one; callers start fetches of their own no more
  often than once in `demand_interval`, however many unknown keys they name, and while fetches fail only at the pace
  of the backoff. Callers wait for at most `patience`, a fetch lasts at most `timeout`.
- `generation` grows with each change of the set and at no other time: what was verified under an older generation
  has to be verified again.

This module must not judge tokens, and must not block: reading the keys is synchronous.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

import aiohttp
import structlog

from .discovery import FetchFailedError, discover_jwks_url, fetch_json, http_url, is_plain
from .errors import KeysUnavailable
from .keys import IgnoredKey, VerificationKey, read_key_set

log = structlog.stdlib.get_logger(__name__)

FetchOutcome = Literal["changed", "unchanged", "failed"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: how often the keys are fetched and how long anyone waits for them."""

    refresh: float = 300.0
    demand_interval: float = 10.0
    timeout: float = 5.0
    patience: float = 3.0
    backoff_first: float = 1.0
    backoff_limit: float = 30.0


class KeySource:
    """The signing keys of one issuer, found by discovery or at a fixed address.

    `run` keeps them fresh and is to be supervised by the application. Without it (or before its first success) keys
    are still fetched when somebody needs them.
    """

    def __init__(
        self,
        issuer: str,
        session: aiohttp.ClientSession,
        *,
        jwks_url: str | None = None,
        timing: Timing = Timing(),
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        on_fetch: Callable[[FetchOutcome], None] | None = None,
    ) -> None:
        """Take the issuer's URL and what to reach it with; raises ValueError for a URL that is not http or https.

        `session` stays the caller's to close, after `run` has ended. `clock` is monotonic, `jitter` gives numbers
        from 0 to 1, `on_fetch` hears of each fetch that ended.
        """
        self._issuer = issuer
        self._jwks_url = None if jwks_url is None else http_url(jwks_url)
        if is_plain(self._jwks_url or http_url(issuer)):
            log.warning("issuer_keys_without_tls", issuer=issuer, jwks_url=jwks_url)
        self._session = session
        self._timing = timing
        self._clock = clock
        self._jitter = jitter
        self._on_fetch = on_fetch
        self._keys: tuple[VerificationKey, ...] = ()
        self._by_kid: dict[str | None, list[VerificationKey]] = {}
        self._ignored: frozenset[IgnoredKey] = frozenset()
        self._generation = 0
        self._failures = 0
        self._demand_from = clock()
        self._fetching: asyncio.Task[None] | None = None

    @property
    def generation(self) -> int:
        """How often the set of keys has changed."""
        return self._generation

    @property
    def ready(self) -> bool:
        """Whether there is any key at hand."""
        return bool(self._keys)

    def matching(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """Return the keys at hand that could have signed with `algorithm`: those named `kid`, or any for None."""
        named = self._keys if kid is None else self._by_kid.get(kid, ())
        return [key for key in named if algorithm in key.algorithms]

    async def refetch(self) -> bool:
        """Ask the issuer again because no key at hand fits, unless that was done just now; say if the keys changed.

        Raises KeysUnavailable if there is still no key at all.
        """
        before = self._generation
        if self._fetching is None and self._clock() >= self._demand_from:
            if self._keys:
                self._demand_from = self._clock() + self._timing.demand_interval
            self._start()
        await self._join(self._timing.patience)
        if not self._keys:
            raise KeysUnavailable(max(1, math.ceil(self._demand_from - self._clock())))
        return self._generation != before

    async def refresh(self) -> None:
        """Fetch the keys now, or wait for the fetch that is under way; a failure is logged, not raised."""
        if self._fetching is None:
            self._start()
        await self._join(None)

    async def run(self) -> NoReturn:
        """Keep the keys fresh until cancelled."""
        try:
            while True:
                await self.refresh()
                pause = self._backoff() if self._failures else self._timing.refresh * (0.9 + 0.1 * self._jitter())
                await asyncio.sleep(pause)
        finally:
            await self.close()

    async def close(self) -> None:
        """End the fetch under way, if there is one."""
        task = self._fetching
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            self._fetching = None

    def _start(self) -> None:
        self._fetching = asyncio.create_task(self._fetch(), name="fetch issuer keys")

    async def _join(self, patience: float | None) -> None:
        """Wait for the fetch under way; whoever is cancelled while waiting leaves it running for the others."""
        task = self._fetching
        if task is None:
            return
        await asyncio.wait({task}, timeout=patience)
        if task.done() and not task.cancelled():
            task.result()  # an error that nobody expected is not to be swallowed

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._timing.timeout):
                url = self._jwks_url or await discover_jwks_url(self._session, self._issuer)
                document = await fetch_json(self._session, url)
            keys, ignored = read_key_set(document)
        except (FetchFailedError, aiohttp.ClientError, OSError, ValueError) as error:
            self._fail(f"{type(error).__name__}: {error}")
        else:
            self._replace(keys, frozenset(ignored))
        finally:
            self._fetching = None

    def _replace(self, keys: list[VerificationKey], ignored: frozenset[IgnoredKey]) -> None:
        for key in sorted(ignored - self._ignored):
            log.warning("issuer_key_ignored", issuer=self._issuer, kid=key.kid, reason=key.reason)
        self._ignored = ignored
        changed = set(keys) != set(self._keys)
        if changed:
            by_kid: dict[str | None, list[VerificationKey]] = {}
            for key_ in keys:
                by_kid.setdefault(key_.kid, []).append(key_)
            self._keys, self._by_kid = tuple(keys), by_kid
            self._generation += 1
            log.info("issuer_keys_changed", issuer=self._issuer, kids=[key_.kid for key_ in keys])
        if not keys:
            # The issuer's word, so the keys are gone; but to be asked again at the pace of failures.
            self._fail("the JWK set has no key that verifies signatures")
            return
        self._failures = 0
        self._report("changed" if changed else "unchanged")

    def _fail(self, reason: str) -> None:
        self._failures += 1
        self._demand_from = max(self._demand_from, self._clock() + self._backoff())
        log.warning(
            "issuer_keys_fetch_failed",
            issuer=self._issuer,
            reason=reason,
            failures=self._failures,
            keys_at_hand=len(self._keys),
        )
        self._report("failed")

    def _backoff(self) -> float:
        """Return how long to wait after the failures so far: doubling, with up to half of it taken off at random."""
        longest = math.ldexp(self._timing.backoff_first, min(self._failures - 1, 16))
        return min(longest, self._timing.backoff_limit) * (1 - 0.5 * self._jitter())

    def _report(self, outcome: FetchOutcome) -> None:
        if self._on_fetch is not None:
            self._on_fetch(outcome)

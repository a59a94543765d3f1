"""What the HTTP layer needs of the rest."""

from dataclasses import dataclass
from typing import Protocol

from segsvc.auth.principal import Principal
from segsvc.service import SegmentService
from segsvc.telemetry import Metrics
from segsvc.web.bounds import DEFAULT_BOUNDS, Bounds

PATIENCE = 2.0
"""How long a read waits for the revision it asks for, in seconds."""


class Verifier(Protocol):
    """What turns tokens into principals; `segsvc.auth.verifier.TokenVerifier` is the one."""

    def cached(self, token: str) -> Principal | None:
        """Return the principal of a token that was verified before and still holds."""
        ...

    def recalled(self, digest: bytes) -> Principal | None:
        """Return the same for a token that is told by what `segsvc.auth.verifier.token_digest` makes of it."""
        ...

    async def verify(self, token: str) -> Principal:
        """Verify a token. Raises TokenInvalid, KeysUnavailable."""
        ...


class Reflection(Protocol):
    """What knows how fresh the index is; `segsvc.cluster.reflector.Reflector` is the one."""

    def age(self) -> float:
        """Return the seconds since the watch last proved alive."""
        ...


@dataclass(frozen=True, kw_only=True)
class Api:
    """What the handlers need."""

    service: SegmentService
    verifier: Verifier
    reflection: Reflection
    metrics: Metrics
    max_pagesize: int = 1000
    trusted_hosts: frozenset[str] = frozenset()
    cors_origins: frozenset[str] = frozenset()
    bounds: Bounds = DEFAULT_BOUNDS

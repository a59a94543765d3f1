"""From a bearer token to its principal: signature, then claims (RFC 7519, RFC 8725), remembered for the next request.

Invariants:

- `verify` ends with a principal, `TokenInvalid` or `KeysUnavailable`, whatever text it is given.
- The cache changes how long an answer takes, never the answer: an entry counts only at a time that the token's claims
  allow, by the clock as it is now, and only while the issuer's keys are those it was verified with.
- Tokens are remembered by digest: the cache is bounded in bytes, and holds nothing that opens a door.

This module must not know HTTP: where a token comes from and which status answers it is the web layer's.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from sys import getsizeof
from typing import NamedTuple, Protocol

from segsvc.index.lru import LruCache

from .errors import TokenInvalid
from .jws import MAX_TOKEN_LENGTH, SignedToken, read_json, read_token
from .keys import ALGORITHMS, VerificationKey
from .principal import Principal, principal_from_claims

LEEWAY = 30.0
"""Seconds by which the issuer's clock and ours may differ."""

CACHE_BUDGET = 64 * 1024 * 1024
"""Bytes that what is remembered may take: 50,000 callers with a few roles each, or 700 with a thousand."""

_ENTRY_BYTES = 500
"""What an entry takes beside the caller's name, address and roles."""


class Keys(Protocol):
    """What a verifier needs of the issuer's keys."""

    @property
    def generation(self) -> int:
        """A number that changes whenever the keys do."""

    def matching(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """Return the keys at hand that could have signed with `algorithm`: those named `kid`, or any for None."""

    async def refetch(self) -> bool:
        """Look for newer keys, if it is time to, and say whether they changed; raises KeysUnavailable for none."""


class _Verified(NamedTuple):
    principal: Principal
    valid_from: float
    valid_until: float
    generation: int
    size: int
    """About how many bytes it takes to remember this. A megabyte of roles fits into 64 KiB of token."""


class TokenVerifier:
    """Verifies the tokens of one issuer."""

    def __init__(
        self,
        keys: Keys,
        *,
        issuer: str,
        audience: str | None,
        client: str,
        clock: Callable[[], float],
        cache_budget: int = CACHE_BUDGET,
    ) -> None:
        """Take the keys and the claims to expect: `audience` None accepts any, `client` is whose roles count.

        `clock` gives seconds since the epoch, as the claims do; `cache_budget` is in bytes.
        """
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._client = client
        self._clock = clock
        self._cache: LruCache[bytes, _Verified] = LruCache(cache_budget, lambda entry: entry.size)

    def cached(self, token: str) -> Principal | None:
        """Return the principal of a token that was verified before and still holds, without waiting for anything."""
        digest = token_digest(token)
        return None if digest is None else self.recalled(digest)

    def recalled(self, digest: bytes) -> Principal | None:
        """Return the same for a token that is told by what `token_digest` makes of it."""
        entry = self._cache.get(digest)
        if entry is None:
            return None
        if entry.generation != self._keys.generation or not entry.valid_from <= self._clock() < entry.valid_until:
            self._cache.remove(digest)
            return None
        return entry.principal

    async def verify(self, token: str) -> Principal:
        """Return the principal of `token`; raises TokenInvalid, or KeysUnavailable if there is no key to try."""
        principal = self.cached(token)
        if principal is not None:
            return principal
        signed = read_token(token)
        await self._check_signature(signed)
        # Nothing is awaited from here on, so the keys are still those that the signature was checked with.
        entry = self._check_claims(signed.payload)
        self._forget_expired()
        self._cache.put(_digest(token), entry)
        return entry.principal

    def _forget_expired(self) -> None:
        """Forget what does not hold any more: nobody uses it, so it comes to be what was not used for longest."""
        generation, now = self._keys.generation, self._clock()
        while oldest := next(iter(self._cache.items()), None):
            digest, entry = oldest
            if entry.generation == generation and now < entry.valid_until:
                return
            self._cache.remove(digest)

    async def _check_signature(self, token: SignedToken) -> None:
        if token.algorithm not in ALGORITHMS:
            raise TokenInvalid("algorithm")
        if self._is_signed(token):
            return
        # A new key may have a new id, none, or the old one: a bad signature is as good a reason to ask again.
        if await self._keys.refetch() and self._is_signed(token):
            return
        raise TokenInvalid("signature" if self._keys.matching(token.kid, token.algorithm) else "unknown_key")

    def _is_signed(self, token: SignedToken) -> bool:
        keys = self._keys.matching(token.kid, token.algorithm)
        return any(key.verifies(token.algorithm, token.signed, token.signature) for key in keys)

    def _check_claims(self, payload: bytes) -> _Verified:
        """Hold the claims in `payload` against what is expected (RFC 7519, section 4.1); raises TokenInvalid."""
        try:
            claims = read_json(payload)
        except ValueError:
            raise TokenInvalid("malformed") from None
        if not isinstance(claims, dict):
            raise TokenInvalid("malformed")
        if claims.get("iss") != self._issuer:
            raise TokenInvalid("issuer")
        if self._audience is not None and not _names(claims.get("aud"), self._audience):
            raise TokenInvalid("audience")
        valid_from = max(_seconds(claims, "nbf", -math.inf), _seconds(claims, "iat", -math.inf)) - LEEWAY
        valid_until = _seconds(claims, "exp", None) + LEEWAY
        now = self._clock()
        if now >= valid_until:
            raise TokenInvalid("expired")
        if now < valid_from:
            raise TokenInvalid("not_yet_valid")
        principal = principal_from_claims(claims, self._client)
        return _Verified(principal, valid_from, valid_until, generation=self._keys.generation, size=_size(principal))


def token_digest(token: str) -> bytes | None:
    """Return what stands for a token wherever it is remembered; None for a text that can be none."""
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        return None
    return _digest(token)


def _digest(token: str) -> bytes:
    return sha256(token.encode("ascii")).digest()


def _size(principal: Principal) -> int:
    texts = sum(map(getsizeof, principal.roles)) + getsizeof(principal.name) + getsizeof(principal.email)
    return _ENTRY_BYTES + getsizeof(principal.roles) + texts


def _names(audiences: object, audience: str) -> bool:
    """Say whether `aud`, a string or a list, names `audience`: as a whole, for a string contains its parts."""
    return audience in audiences if isinstance(audiences, list) else audiences == audience


def _seconds(claims: Mapping[str, object], name: str, default: float | None) -> float:
    """Return the NumericDate `name`; raises TokenInvalid if it is no finite number, or missing without `default`."""
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenInvalid("claims")
    try:
        seconds = float(value)
    except OverflowError:
        raise TokenInvalid("claims") from None
    if name in claims and not math.isfinite(seconds):
        raise TokenInvalid("claims")
    return seconds

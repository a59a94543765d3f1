"""Tokens that were verified are remembered, and never for longer than they are good."""

from collections.abc import Sequence
from typing import Any

import pytest

from segsvc.auth.errors import TokenInvalid
from segsvc.auth.keys import VerificationKey, read_key_set
from segsvc.auth.verifier import TokenVerifier
from tests.auth.provider import CLIENT, NOW, Clock, claims, key, public, sign

ISSUER = "https://id.example.org"
EC = key("ec")


class CountedKeys:
    """Keys that are all at hand, and that count how often they are looked up."""

    def __init__(self, *jwks: dict[str, Any]) -> None:
        self.generation = 0
        self.lookups = 0
        self.publish(*jwks)

    def publish(self, *jwks: dict[str, Any]) -> None:
        self._keys, _ = read_key_set({"keys": list(jwks)})
        self.generation += 1

    def matching(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        self.lookups += 1
        return [key for key in self._keys if key.kid == kid and algorithm in key.algorithms]

    async def refetch(self) -> bool:
        return False


@pytest.fixture
def keys() -> CountedKeys:
    return CountedKeys(public(EC))


@pytest.fixture
def verifier(keys: CountedKeys, clock: Clock) -> TokenVerifier:
    return TokenVerifier(keys, issuer=ISSUER, audience=None, client=CLIENT, clock=clock, cache_size=3)


async def test_a_token_is_verified_once(verifier: TokenVerifier, keys: CountedKeys) -> None:
    token = sign(claims(ISSUER), EC)
    assert verifier.cached(token) is None
    principal = await verifier.verify(token)
    assert verifier.cached(token) is principal
    assert await verifier.verify(token) is principal
    assert keys.lookups == 1


async def test_only_the_very_same_token_is_remembered(verifier: TokenVerifier) -> None:
    token = sign(claims(ISSUER), EC)
    await verifier.verify(token)
    header, payload, signature = token.split(".")
    for other in (f"{header}.{payload}.", f"{header}.{payload}.{signature}=", token + "\n", token[:-1], token.lower()):
        assert verifier.cached(other) is None


async def test_a_refused_token_is_not_remembered(verifier: TokenVerifier, keys: CountedKeys) -> None:
    token = sign(claims(ISSUER), key("stranger"))
    with pytest.raises(TokenInvalid):
        await verifier.verify(token)
    assert verifier.cached(token) is None
    keys.publish(public(key("stranger")))
    assert (await verifier.verify(token)).name == "Ada Example"


async def test_a_remembered_token_expires(verifier: TokenVerifier, clock: Clock) -> None:
    token = sign(claims(ISSUER, exp=NOW), EC)
    await verifier.verify(token)
    clock.now = NOW + 29
    assert verifier.cached(token) is not None
    clock.now = NOW + 30
    assert verifier.cached(token) is None
    with pytest.raises(TokenInvalid, match="expired"):
        await verifier.verify(token)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_clock_that_jumps_back_makes_a_remembered_token_not_yet_valid(
    claim: str, verifier: TokenVerifier, clock: Clock
) -> None:
    token = sign(claims(ISSUER, **{claim: NOW}), EC)
    await verifier.verify(token)
    clock.now = NOW - 31
    assert verifier.cached(token) is None
    with pytest.raises(TokenInvalid, match="not_yet_valid"):
        await verifier.verify(token)
    clock.now = NOW
    assert (await verifier.verify(token)).name == "Ada Example"


async def test_a_clock_that_jumps_back_lengthens_no_tokens_life(verifier: TokenVerifier, clock: Clock) -> None:
    token = sign(claims(ISSUER, iat=NOW, exp=NOW + 60), EC)
    await verifier.verify(token)
    clock.now = NOW - 20
    assert verifier.cached(token) is not None
    clock.now = NOW + 90
    assert verifier.cached(token) is None


async def test_a_change_of_the_keys_has_every_token_verified_again(verifier: TokenVerifier, keys: CountedKeys) -> None:
    token = sign(claims(ISSUER), EC)
    await verifier.verify(token)
    keys.publish(public(EC), public(key("new")))
    assert verifier.cached(token) is None
    assert (await verifier.verify(token)).name == "Ada Example"
    keys.publish({**public(key("new")), "kid": "ec"})
    with pytest.raises(TokenInvalid, match="signature"):
        await verifier.verify(token)


async def test_the_tokens_used_last_are_the_ones_remembered(verifier: TokenVerifier) -> None:
    first, second, third, fourth = (sign(claims(ISSUER, sub=str(number)), EC) for number in range(4))
    for token in (first, second, third):
        await verifier.verify(token)
    assert verifier.cached(first) is not None
    await verifier.verify(fourth)
    assert [verifier.cached(token) is not None for token in (first, second, third, fourth)] == [True, False, True, True]

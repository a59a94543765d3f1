"""Tokens that were verified are remembered, and never for longer than they are good."""

import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from segsvc.auth.errors import TokenInvalid
from segsvc.auth.keys import VerificationKey, read_key_set
from segsvc.auth.verifier import TokenVerifier
from tests.auth.provider import CLIENT, NOW, Clock, claims, key, public, sign

ISSUER = "https://id.example.org"
EC = key("ec")
BUDGET = 1_000_000


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
    return TokenVerifier(keys, issuer=ISSUER, audience=None, client=CLIENT, clock=clock, cache_budget=BUDGET)


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


def bulky(subject: int, roles: int, **changes: Any) -> str:
    """Return a token of a caller with so many roles, each of about 80 bytes."""
    named = [f"the-role-{number}-of-{subject}" for number in range(roles)]
    return sign(claims(ISSUER, sub=str(subject), resource_access={CLIENT: {"roles": named}}, **changes), EC)


async def test_the_tokens_used_last_are_the_ones_remembered(keys: CountedKeys, clock: Clock) -> None:
    verifier = TokenVerifier(keys, issuer=ISSUER, audience=None, client=CLIENT, clock=clock, cache_budget=200_000)
    first, second, third, fourth = (bulky(number, 500) for number in range(4))  # three of them fit
    for token in (first, second, third):
        await verifier.verify(token)
    assert verifier.cached(first) is not None
    await verifier.verify(fourth)
    assert [verifier.cached(token) is not None for token in (first, second, third, fourth)] == [True, False, True, True]


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def allocated() -> int:
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(("tokens", "roles"), [(60, 500), (1_500, 1)], ids=["large tokens", "small tokens"])
async def test_what_is_remembered_takes_the_memory_it_may_and_no_more(
    verifier: TokenVerifier, tokens: int, roles: int
) -> None:
    issued = [bulky(number, roles) for number in range(tokens)]
    await verifier.verify(sign(claims(ISSUER), EC))
    before = allocated()
    for token in issued:
        await verifier.verify(token)
    assert BUDGET / 2 < allocated() - before < BUDGET * 1.1


@pytest.mark.usefixtures("memory")
async def test_expired_tokens_are_forgotten_when_another_is_verified(verifier: TokenVerifier, clock: Clock) -> None:
    issued = [bulky(number, 500, exp=NOW + number) for number in range(15)]
    last = sign(claims(ISSUER), EC)
    await verifier.verify(sign(claims(ISSUER), EC))
    before = allocated()
    for token in issued:
        await verifier.verify(token)
    assert allocated() - before > BUDGET / 2
    clock.now = NOW + 60
    await verifier.verify(last)
    assert allocated() - before < BUDGET / 20


async def test_a_token_too_large_to_be_remembered_is_verified_each_time(keys: CountedKeys, clock: Clock) -> None:
    small = TokenVerifier(keys, issuer=ISSUER, audience=None, client=CLIENT, clock=clock, cache_budget=10_000)
    usual, token = sign(claims(ISSUER), EC), bulky(1, 500)
    for one in (usual, token, token):
        await small.verify(one)
    assert keys.lookups == 3
    assert small.cached(usual) is not None

"""The service's side of authentication against the issuer that `segsvc dev` runs."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from segsvc.auth.errors import TokenInvalid
from segsvc.auth.jwks import KeySource
from segsvc.auth.principal import Principal
from segsvc.auth.verifier import TokenVerifier
from segsvc.devcluster.issuer import TokenIssuer
from tests.auth.provider import CLIENT, Clock


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("issuer") / "keys.json"


@pytest.fixture
async def issuer(keys: Path, clock: Clock) -> AsyncIterator[TokenIssuer]:
    issuer = TokenIssuer(keys=keys, clock=clock)
    await issuer.start()
    yield issuer
    await issuer.stop()


@pytest.fixture
async def source(issuer: TokenIssuer, session: aiohttp.ClientSession) -> AsyncIterator[KeySource]:
    source = KeySource(issuer.issuer, session)
    yield source
    await source.close()


@pytest.fixture
def verifier(source: KeySource, issuer: TokenIssuer, clock: Clock) -> TokenVerifier:
    return TokenVerifier(source, issuer=issuer.issuer, audience="account", client=CLIENT, clock=clock)


async def test_its_tokens_are_accepted_until_they_expire(
    verifier: TokenVerifier, issuer: TokenIssuer, clock: Clock
) -> None:
    token = issuer.issue(name="Ada", email="ada@example.org", roles=["segment_job_view"], lifetime=60)
    assert await verifier.verify(token) == Principal("Ada", "ada@example.org", frozenset({"segment_job_view"}))
    clock.now += 90
    with pytest.raises(TokenInvalid, match="expired"):
        await verifier.verify(token)


async def test_a_service_account_goes_by_its_subject(verifier: TokenVerifier, issuer: TokenIssuer) -> None:
    principal = await verifier.verify(issuer.issue(roles=[]))
    assert principal == Principal("service-account", "", frozenset())


async def test_its_keys_rotate_and_are_revoked(verifier: TokenVerifier, source: KeySource, issuer: TokenIssuer) -> None:
    old_kid, old = issuer.kid, issuer.issue(name="Ada")
    await verifier.verify(old)
    issuer.rotate()
    assert (await verifier.verify(issuer.issue(name="Grace"))).name == "Grace"
    assert (await verifier.verify(old)).name == "Ada"
    issuer.revoke(old_kid)
    await source.refresh()
    with pytest.raises(TokenInvalid, match="unknown_key"):
        await verifier.verify(old)

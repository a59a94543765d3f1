"""The token issuer for development, as the service sees it."""

import io
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from segsvc.devcluster.issuer import TokenIssuer

NOW = 1_800_000_000.0
CLIENT = "segment-management-api"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Key pairs, made once."""
    path = tmp_path_factory.mktemp("issuer") / "keys.json"
    TokenIssuer(keys=path)
    return path.read_text()


@pytest.fixture
async def issuer(keys: str, tmp_path: Path) -> AsyncIterator[TokenIssuer]:
    (tmp_path / "keys.json").write_text(keys)
    issuer = TokenIssuer(keys=tmp_path / "keys.json", clock=lambda: NOW)
    await issuer.start()
    yield issuer
    await issuer.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def get(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url, raise_for_status=True) as response:
        return await response.json()


async def published(session: aiohttp.ClientSession, issuer: TokenIssuer) -> list[dict[str, Any]]:
    configuration = await get(session, f"{issuer.issuer}/.well-known/openid-configuration")
    assert configuration["issuer"] == issuer.issuer
    jwks = await get(session, configuration["jwks_uri"])
    return list(jwks["keys"])


async def read(session: aiohttp.ClientSession, issuer: TokenIssuer, token: str) -> jwt.Token:
    keys = KeySet.import_key_set({"keys": await published(session, issuer)})
    return jwt.decode(token, keys, algorithms=["RS256"])


async def test_it_publishes_a_signing_and_an_encryption_key_without_their_private_parts(
    issuer: TokenIssuer, session: aiohttp.ClientSession
) -> None:
    keys = await published(session, issuer)
    assert [(key["use"], key["alg"]) for key in keys] == [("sig", "RS256"), ("enc", "RSA-OAEP")]
    assert keys[0]["kid"] == issuer.kid != keys[1]["kid"]
    assert all(set(key) == {"kty", "use", "alg", "kid", "n", "e"} for key in keys)


async def test_a_users_token_has_the_claims_that_keycloak_gives(
    issuer: TokenIssuer, session: aiohttp.ClientSession
) -> None:
    token = issuer.issue(name="Ada", email="ada@example.org", roles=["a", "b"], client="other", lifetime=60, azp="x")
    decoded = await read(session, issuer, token)
    assert decoded.header == {"alg": "RS256", "typ": "JWT", "kid": issuer.kid}
    assert decoded.claims == {
        "iss": issuer.issuer,
        "sub": "user-Ada",
        "aud": "account",
        "typ": "Bearer",
        "iat": NOW,
        "exp": NOW + 60,
        "name": "Ada",
        "email": "ada@example.org",
        "resource_access": {"other": {"roles": ["a", "b"]}},
        "azp": "x",
    }


async def test_a_service_accounts_token_has_no_name(issuer: TokenIssuer, session: aiohttp.ClientSession) -> None:
    decoded = await read(session, issuer, issuer.issue())
    assert not {"name", "email"} & decoded.claims.keys()
    assert decoded.claims["resource_access"] == {CLIENT: {"roles": ["segment_job_view", "segment_job_edit"]}}


async def test_claims_can_be_replaced_and_left_out(issuer: TokenIssuer, session: aiohttp.ClientSession) -> None:
    decoded = await read(session, issuer, issuer.issue(exp=None, iss="https://other.example.org"))
    assert "exp" not in decoded.claims
    assert decoded.claims["iss"] == "https://other.example.org"


async def test_keys_rotate_and_are_revoked(issuer: TokenIssuer, session: aiohttp.ClientSession) -> None:
    old, before = issuer.kid, issuer.issue()
    new = issuer.rotate()
    assert new == issuer.kid != old
    assert [key["kid"] for key in await published(session, issuer)][:2] == [new, old]
    await read(session, issuer, before)
    await read(session, issuer, issuer.issue())

    issuer.revoke(old)
    assert old not in {key["kid"] for key in await published(session, issuer)}
    with pytest.raises(KeyError):
        issuer.revoke(old)
    issuer.revoke(new)
    with pytest.raises(RuntimeError, match="rotate"):
        issuer.issue()


async def test_keys_in_a_file_outlive_a_restart_and_are_private(
    issuer: TokenIssuer, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    issuer.rotate()
    token = issuer.issue(name="Ada")
    path = tmp_path / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = TokenIssuer(keys=path)
    await again.start()
    try:
        assert (await read(session, again, token)).claims["name"] == "Ada"
        assert again.jwks() == issuer.jwks()
    finally:
        await again.stop()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "{}", '{"signing": [{}], "encryption": {}}', '{"signing": 7, "encryption": {}}']
)
def test_a_file_that_holds_no_keys_is_named_and_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"keys\.json does not hold the keys"):
        TokenIssuer(keys=path)
    assert path.read_text() == text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org"])
async def test_it_listens_on_loopback_alone(host: str, issuer: TokenIssuer) -> None:
    with pytest.raises(ValueError, match="loopback"):
        await issuer.start(host)


async def test_a_port_that_is_taken_is_an_error(issuer: TokenIssuer, keys: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(keys)
    other = TokenIssuer(keys=tmp_path / "other.json")
    with pytest.raises(OSError, match="address already in use"):
        await other.start(port=int(issuer.issuer.rpartition(":")[2]))
    with pytest.raises(RuntimeError, match="started"):
        _ = other.issuer


# -- the token endpoint


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"name": "Ada", "email": "ada@example.org", "roles": ["a", "b"]}},
        {"json": {"name": "Ada", "email": "ada@example.org", "roles": "a, b"}},
        {"data": {"name": "Ada", "email": "ada@example.org", "roles": "a b", "grant_type": "password"}},
        {"data": [("name", "Ada"), ("email", "ada@example.org"), ("roles", "a"), ("roles", "b")]},
    ],
)
async def test_the_endpoint_hands_out_tokens_for_forms_and_json(
    body: dict[str, Any], issuer: TokenIssuer, session: aiohttp.ClientSession
) -> None:
    async with session.post(f"{issuer.issuer}/token", **body) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        answer = await response.json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    claims = (await read(session, issuer, answer["access_token"])).claims
    assert (claims["name"], claims["email"], claims["exp"]) == ("Ada", "ada@example.org", NOW + 3600)
    assert claims["resource_access"] == {CLIENT: {"roles": ["a", "b"]}}


async def test_the_endpoint_needs_nothing_to_be_said(issuer: TokenIssuer, session: aiohttp.ClientSession) -> None:
    async with session.post(f"{issuer.issuer}/token") as response:
        answer = await response.json()
    claims = (await read(session, issuer, answer["access_token"])).claims
    assert claims["resource_access"] == {CLIENT: {"roles": ["segment_job_view", "segment_job_edit"]}}


@pytest.mark.parametrize(
    "body",
    [
        {"json": []},
        {"json": {"name": 7}},
        {"json": {"roles": {"a": 1}}},
        {"json": {"roles": ["a", 1]}},
        {"data": b"{", "headers": {"Content-Type": "application/json"}},
        {"data": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
        {"data": b"{}", "headers": {"Content-Type": "application/json; charset=nonsense"}},
        {"data": b"name=Ada", "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}},
        {"data": {"name": io.BytesIO(b"a file")}},
    ],
)
async def test_the_endpoint_refuses_what_it_cannot_read(
    body: dict[str, Any], issuer: TokenIssuer, session: aiohttp.ClientSession
) -> None:
    async with session.post(f"{issuer.issuer}/token", **body) as response:
        assert response.status == 400
        assert (await response.json())["error"] == "invalid_request"

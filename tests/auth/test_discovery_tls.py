"""What began with TLS does not go on without it."""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from segsvc.auth.discovery import FetchFailedError, discover_jwks_url, fetch_json
from tests.auth.provider import Provider


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's, with a certificate for 127.0.0.1."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    pem = tmp_path / "issuer.pem"
    pem.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cadata=certificate.decode())


@pytest.fixture
async def tls_session(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=contexts[1])) as session:
        yield session


@pytest.fixture
async def issuer(provider: Provider, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> AsyncIterator[str]:
    """An issuer with TLS, whose keys `provider` has without."""

    async def configuration(request: web.Request) -> web.Response:
        jwks_uri = f"{provider.issuer}/keys" if "plain" in request.path else f"{request.url.origin()}/plain/keys"
        issuer = str(request.url).removesuffix("/.well-known/openid-configuration")
        return web.json_response({"issuer": issuer, "jwks_uri": jwks_uri})

    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPFound(f"{provider.issuer}/keys")

    app = web.Application()
    app.router.add_get("/{realm}/.well-known/openid-configuration", configuration)
    app.router.add_get("/plain/keys", redirect)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=contexts[0]).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_keys_with_tls_are_found(issuer: str, tls_session: aiohttp.ClientSession) -> None:
    assert str(await discover_jwks_url(tls_session, f"{issuer}/safe")) == f"{issuer}/plain/keys"


async def test_a_discovery_document_does_not_lead_away_from_tls(
    issuer: str, tls_session: aiohttp.ClientSession
) -> None:
    with pytest.raises(FetchFailedError, match="away from https"):
        await discover_jwks_url(tls_session, f"{issuer}/plain")


async def test_a_redirect_does_not_lead_away_from_tls(issuer: str, tls_session: aiohttp.ClientSession) -> None:
    with pytest.raises(FetchFailedError, match="away from https"):
        await fetch_json(tls_session, URL(f"{issuer}/plain/keys"))


async def test_a_certificate_that_nobody_vouches_for_gives_no_keys(issuer: str, session: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await fetch_json(session, URL(f"{issuer}/plain/keys"))

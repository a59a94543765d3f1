"""The two GET requests that lead to an issuer's keys: its discovery document, and the JWK set that this points to.

The issuer is trusted to say which keys are its own, the network and whatever answers in its place are not: answers
are bounded in size, redirects in number, and a chain that began with TLS never goes on without. Plain `http` is taken
as configured, since an issuer inside the same cluster often has nothing else; the caller is told, to log it.
"""

from ipaddress import ip_address

import aiohttp
from yarl import URL

from .jws import read_json

MAX_ANSWER = 512 * 1024
_MAX_REDIRECTS = 3


class FetchFailedError(Exception):
    """The issuer answered, and the answer is of no use; the message says why, without quoting it."""


def http_url(text: str) -> URL:
    """Return `text` as a URL; raises ValueError unless it is an absolute one of scheme http or https."""
    url = URL(text)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("not an absolute http or https URL")
    return url


def is_plain(url: URL) -> bool:
    """Say whether what is fetched from `url` could be changed by somebody on the way."""
    if url.scheme == "https" or url.host == "localhost":
        return False
    try:
        return not ip_address(url.host or "").is_loopback
    except ValueError:
        return True


async def discover_jwks_url(session: aiohttp.ClientSession, issuer: str) -> URL:
    """Return the address of `issuer`'s JWK set (OpenID Connect Discovery 1.0, section 4).

    Raises FetchFailedError if the document is not that of `issuer`, to the letter, or names no usable address, and
    what the HTTP client raises (ClientError, OSError, ValueError).
    """
    start = http_url(issuer.rstrip("/") + "/.well-known/openid-configuration")
    document = await fetch_json(session, start)
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise FetchFailedError("the discovery document is of another issuer")
    address = document.get("jwks_uri")
    if not isinstance(address, str):
        raise FetchFailedError("the discovery document has no jwks_uri")
    url = http_url(address)
    if start.scheme == "https" and url.scheme != "https":
        raise FetchFailedError("the discovery document leads away from https")
    return url


async def fetch_json(session: aiohttp.ClientSession, url: URL) -> object:
    """Return the JSON value at `url`, whatever content type it comes as.

    Raises FetchFailedError, and what the HTTP client raises (ClientError, OSError, ValueError). Takes no time limit
    of its own: the caller sets one for the whole.
    """
    async with session.get(url, headers={"Accept": "application/json"}, max_redirects=_MAX_REDIRECTS) as response:
        hops = {hop.url.scheme for hop in (*response.history, response)}
        if url.scheme == "https" and hops != {"https"}:
            raise FetchFailedError("redirected away from https")
        if response.status != 200:
            raise FetchFailedError(f"status {response.status}")
        data = bytearray()
        async for chunk in response.content.iter_any():
            data += chunk
            if len(data) > MAX_ANSWER:
                raise FetchFailedError(f"more than {MAX_ANSWER} bytes")
    try:
        return read_json(bytes(data))
    except ValueError:
        raise FetchFailedError("no JSON") from None

"""Where a request carries its token, and whose that is."""

from aiohttp import hdrs
from multidict import MultiMapping, istr

from segsvc.auth.errors import TokenInvalid
from segsvc.auth.principal import Principal
from segsvc.telemetry import CALLER
from segsvc.web.api import Verifier
from segsvc.web.errors import TokenMissing

AUTHENTICATION = istr("Authentication")
"""The header's name in the API's specification; read where there is no Authorization."""

_SCHEME = "bearer"


async def authenticated(headers: MultiMapping[str], verifier: Verifier) -> Principal:
    """Return who sends a request with these headers. Raises TokenMissing, TokenInvalid, KeysUnavailable."""
    token = bearer_token(headers)
    principal = verifier.cached(token)
    if principal is None:
        principal = await verifier.verify(token)
    CALLER.set(principal.name)
    return principal


def bearer_token(headers: MultiMapping[str]) -> str:
    """Return the request's token (RFC 6750, section 2.1). Raises TokenMissing, TokenInvalid."""
    values = headers.getall(hdrs.AUTHORIZATION, [])
    bare_allowed = not values
    values = values or headers.getall(AUTHENTICATION, [])
    if not values:
        raise TokenMissing
    if len(values) > 1:
        raise TokenInvalid("malformed")
    scheme, _, token = values[0].strip().partition(" ")
    if scheme.lower() == _SCHEME:
        token = token.strip()
        if not token:
            raise TokenMissing
        return token
    if bare_allowed and scheme and not token:
        return scheme
    raise TokenMissing

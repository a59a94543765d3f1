"""Where a request carries its token."""

from aiohttp import hdrs, web

from segsvc.auth.errors import TokenInvalid
from segsvc.web.errors import TokenMissing

AUTHENTICATION = "Authentication"
"""The header's name in the API's specification; read where there is no Authorization."""

_SCHEME = "bearer"


def bearer_token(request: web.BaseRequest) -> str:
    """Return the request's token (RFC 6750, section 2.1). Raises TokenMissing, TokenInvalid."""
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    bare_allowed = not values
    values = values or request.headers.getall(AUTHENTICATION, [])
    if not values:
        raise TokenMissing
    if len(values) > 1:
        raise TokenInvalid("malformed")
    scheme, _, token = values[0].strip().partition(" ")
    if scheme.lower() == _SCHEME:
        if not token.strip():
            raise TokenMissing
        return token.strip()
    if bare_allowed and scheme and not token:
        return scheme
    raise TokenMissing

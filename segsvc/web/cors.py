"""CORS: which browsers' scripts may call the API, and what they may read of an answer.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import MutableMapping

from aiohttp import hdrs, web
from multidict import MultiMapping

EXPOSED_HEADERS = (
    "Allow, ETag, Link, Location, Retry-After, WWW-Authenticate, X-Index-Age, X-Revision, X-Total-Count, X-Trace-Id"
)
"""What a browser's script may read beside the body."""

_PREFLIGHT = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, HEAD, POST, PUT, DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: (
        "Authorization, Authentication, Content-Type, If-Match, If-None-Match, traceparent, tracestate"
    ),
    hdrs.ACCESS_CONTROL_MAX_AGE: "3600",
}


class Cors:
    """Lets browsers of some origins call the API (``*``: all; none: no word of CORS in any answer)."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    @property
    def varies(self) -> bool:
        """Whether answers differ by where a script comes from."""
        return bool(self._origins)

    def preflight(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Answer a browser that asks whether it may call, which carries no token; None for all other requests."""
        if request.method != hdrs.METH_OPTIONS or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return None
        return None if self._allowed(request.headers) is None else web.Response(status=204, headers=_PREFLIGHT)

    def allow(self, asked: MultiMapping[str], headers: MutableMapping[str, str]) -> None:
        """Add what a browser looks for to an answer's headers, an error's too: scripts must see them."""
        if self._origins:
            varied = headers.get(hdrs.VARY)
            if varied is None or "Origin" not in varied:
                headers[hdrs.VARY] = f"{varied}, Origin" if varied else "Origin"
            headers.update(self._granted(asked))

    def lines(self, asked: MultiMapping[str]) -> bytes:
        """Write the same as lines of a head, but for Vary."""
        if not self._origins:
            return b""
        granted = self._granted(asked).items()
        # an origin that is no UTF-8 goes out as it came in
        return "".join([f"{name}: {value}\r\n" for name, value in granted]).encode("utf-8", "surrogateescape")

    def _granted(self, asked: MultiMapping[str]) -> dict[str, str]:
        origin = self._allowed(asked)
        if origin is None:
            return {}
        return {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin, hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: EXPOSED_HEADERS}

    def _allowed(self, asked: MultiMapping[str]) -> str | None:
        origin = asked.get(hdrs.ORIGIN)
        return origin if origin is not None and (origin in self._origins or "*" in self._origins) else None

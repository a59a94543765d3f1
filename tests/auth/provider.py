"""An OpenID provider whose every answer a test can choose, and the signing of tokens that no honest issuer signs."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any

from aiohttp import web
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import JWKRegistry, Key

from segsvc.auth.keys import VerificationKey, read_key_set

NOW = 1_800_000_000.0
CLIENT = "segment-management-api"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SIGNERS = {model.name: model for model in JWS_ALGORITHMS}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@cache
def key(kid: str, kty: str = "EC", shape: int | str = "P-256") -> Key:
    """Return the private key of that name; the same one within a test run."""
    return JWKRegistry.generate_key(kty, shape, parameters={"kid": kid})


def public(private: Key, **members: Any) -> dict[str, Any]:
    """Return the public JWK of `private`; `members` are added or replaced, None removes one."""
    jwk = {**private.as_dict(private=False), **members}
    return {name: value for name, value in jwk.items() if value is not None}


def encode(data: object) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(payload: object, private: Key, *, alg: str = "ES256", **header: Any) -> str:
    """Return `payload` (bytes, or anything that JSON can spell) signed; `header` is as in `public`."""
    fields = {"alg": alg, "typ": "JWT", "kid": private.kid, **header}
    signed = f"{encode({k: v for k, v in fields.items() if v is not None})}.{encode(payload)}"
    return f"{signed}.{encode(_SIGNERS[alg].sign(signed.encode(), private))}"


def claims(issuer: str, **changes: Any) -> dict[str, Any]:
    """Return the claims of a good token; `changes` are as in `public`."""
    good = {
        "iss": issuer,
        "sub": "f81d4fae",
        "aud": ["account"],
        "iat": NOW - 60,
        "exp": NOW + 240,
        "name": "Ada Example",
        "email": "ada@example.org",
        "resource_access": {CLIENT: {"roles": ["segment_job_view"]}},
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


class PublishedKeys:
    """Keys that are all at hand: nothing to wait for."""

    generation = 1

    def __init__(self, *jwks: dict[str, Any]) -> None:
        self._keys, self.ignored = read_key_set({"keys": list(jwks)})

    def matching(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        return [key for key in self._keys if kid in {None, key.kid} and algorithm in key.algorithms]

    async def refetch(self) -> bool:
        return False


class Provider:
    """Discovery and a JWK set on a loopback port; counts what it is asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.moved_to: str | None = None
        """Where the keys are, if not here."""
        self.jwks_requests = 0
        self.discovery_requests = 0
        self.answer_jwks: Answer | None = None
        self.answer_discovery: Answer | None = None
        self.asked = asyncio.Event()
        """Set when the JWK set is asked for."""
        self.release = asyncio.Event()
        """What `hang` waits for."""
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen: at a free port, later at the same one again."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/keys", self._jwks)
        app.router.add_get("/redirect/{left}", self._redirect)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.release.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def hang(self, _: web.Request) -> web.StreamResponse:
        """Answer only when released."""
        await self.release.wait()
        return web.json_response({"keys": self.keys})

    async def _discovery(self, request: web.Request) -> web.StreamResponse:
        self.discovery_requests += 1
        if self.answer_discovery is not None:
            return await self.answer_discovery(request)
        return web.json_response(self.configuration())

    def configuration(self, **changes: Any) -> Mapping[str, Any]:
        return {"issuer": self.issuer, "jwks_uri": self.moved_to or f"{self.issuer}/keys", **changes}

    async def _jwks(self, request: web.Request) -> web.StreamResponse:
        self.jwks_requests += 1
        self.asked.set()
        if self.answer_jwks is not None:
            return await self.answer_jwks(request)
        return web.json_response({"keys": self.keys})

    async def _redirect(self, request: web.Request) -> web.StreamResponse:
        left = int(request.match_info["left"])
        raise web.HTTPFound(f"/redirect/{left - 1}" if left > 1 else "/keys")


def answers(*, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    return answer


async def breaks_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"keys": [')
    assert request.transport is not None
    request.transport.abort()
    return response


async def never_ends(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65_536)


TROUBLE: Mapping[str, Answer] = {
    "500": answers(status=500, body=b'{"keys": []}'),
    "404": answers(status=404, body=b'{"keys": []}'),
    "204": answers(status=204),
    "redirect loop": answers(status=302, headers={"Location": "/keys"}),
    "redirect elsewhere": answers(status=302, headers={"Location": "file:///etc/passwd"}),
    "redirect to nowhere": answers(status=302, headers={"Location": "http://[::1"}),
    "html": answers(body=b"<html>busy</html>"),
    "empty": answers(),
    "no UTF-8": answers(body=b'{"keys": "\xff"}'),
    "null": answers(body=b"null"),
    "list": answers(body=b"[]"),
    "no keys": answers(body=b"{}"),
    "keys of another type": answers(body=b'{"keys": {"old": {}}}'),
    "keys that are no objects": answers(body=b'{"keys": [1, null, "old"]}'),
    "NaN": answers(body=b'{"keys": [], "x": NaN}'),
    "nested": answers(body=b"[" * 100_000),
    "digits": answers(body=b'{"keys": ' + b"1" * 5000 + b"}"),
    "huge": answers(body=b'{"keys": []}' + b" " * 600_000),
    "endless": never_ends,
    "broken off": breaks_off,
    "no gzip": answers(body=b"no gzip", headers={"Content-Encoding": "gzip"}),
}
"""What an issuer may answer that is no answer: for its discovery document or for its keys."""

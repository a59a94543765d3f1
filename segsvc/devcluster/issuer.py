"""A token issuer for development and tests: OpenID Connect discovery and a JWK set over HTTP, as Keycloak has them.

It publishes its signing keys and, beside them, a key for encryption, and hands out a token with any role to anyone who
asks. Therefore it listens on loopback addresses alone. It imports nothing else of segsvc, so that the service and its
counterpart cannot share a mistake.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiohttp import web
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

_CLIENT = "segment-management-api"
_DEFAULT_ROLES = ("segment_job_view", "segment_job_edit")
_LIFETIME = 3600


class _BadRequestError(Exception):
    """What the caller of the token endpoint sent cannot be read; the message says why."""


class TokenIssuer:
    """An OpenID provider with a handful of keys, signing with RS256.

    With `keys`, the path of a JSON file, the keys are read from there and kept there (private, mode 0600), so that
    tokens outlive a restart on the same port; else they last as long as this object. `clock` gives seconds since the
    epoch.
    """

    def __init__(self, *, keys: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        """Read the keys, or make new ones; raises ValueError if the file at `keys` holds something else."""
        self._path = keys
        self._clock = clock
        self._runner: web.AppRunner | None = None
        self._issuer: str | None = None
        if keys is not None and keys.exists():
            self._signing, self._encryption = _load(keys)
        else:
            self._signing = [_new_key("sig", "RS256")]
            self._encryption = _new_key("enc", "RSA-OAEP")
            self._save()

    @property
    def issuer(self) -> str:
        """The issuer's URL, as in the claim `iss`; raises RuntimeError before `start`."""
        if self._issuer is None:
            raise RuntimeError("the issuer has no address before it is started")
        return self._issuer

    @property
    def kid(self) -> str:
        """The id of the key that signs; raises RuntimeError if every key is revoked."""
        if not self._signing:
            raise RuntimeError("every signing key is revoked; rotate() makes a new one")
        return str(self._signing[0].kid)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen at `host` and `port` (0: a free one); raises ValueError for a `host` beyond loopback, OSError."""
        _require_loopback(host)
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._get_configuration)
        app.router.add_get("/jwks", self._get_jwks)
        app.router.add_post("/token", self._post_token)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        name = f"[{host}]" if ":" in host else host
        self._issuer = f"http://{name}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening; `issuer` stays what it was."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def issue(
        self,
        *,
        name: str = "",
        email: str = "",
        roles: Iterable[str] = _DEFAULT_ROLES,
        client: str = _CLIENT,
        lifetime: float = _LIFETIME,
        **claims: Any,
    ) -> str:
        """Return a token for `name` with `roles` of `client`, good for `lifetime` seconds from now.

        An empty `name` or `email` is left out, as Keycloak does for service accounts. `claims` are added to the
        others or replace them; one that is None is left out.
        """
        now = int(self._clock())
        payload = {
            "iss": self.issuer,
            "sub": f"user-{name}" if name else "service-account",
            "aud": "account",
            "typ": "Bearer",
            "iat": now,
            "exp": now + lifetime,
            "name": name or None,
            "email": email or None,
            "resource_access": {client: {"roles": list(roles)}},
            **claims,
        }
        body = json.dumps({claim: value for claim, value in payload.items() if value is not None})
        header = {"alg": "RS256", "typ": "JWT", "kid": self.kid}
        return jws.serialize_compact(header, body, self._signing[0], algorithms=["RS256"])

    def rotate(self) -> str:
        """Sign with a new key from now on and return its id; the earlier keys stay published until revoked."""
        self._signing.insert(0, _new_key("sig", "RS256"))
        self._save()
        return self.kid

    def revoke(self, kid: str) -> None:
        """Publish the signing key `kid` no longer; raises KeyError if there is none."""
        left = [key for key in self._signing if key.kid != kid]
        if len(left) == len(self._signing):
            raise KeyError(kid)
        self._signing = left
        self._save()

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the JWK set, public parts only."""
        return {"keys": [dict(key.as_dict(private=False)) for key in (*self._signing, self._encryption)]}

    async def _get_configuration(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/jwks",
                "token_endpoint": f"{self.issuer}/token",
                "authorization_endpoint": f"{self.issuer}/authorize",  # required; nothing answers there
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _get_jwks(self, _: web.Request) -> web.Response:
        return web.json_response(self.jwks())

    async def _post_token(self, request: web.Request) -> web.Response:
        """Hand out a token for `name`, `email` and `roles`, from a form or a JSON object. For development only."""
        try:
            fields = await _read_fields(request)
            token = self.issue(
                name=_text(fields, "name"),
                email=_text(fields, "email"),
                roles=_read_roles(fields.get("roles")),
            )
        except (_BadRequestError, ValueError, LookupError, RecursionError) as error:
            problem = {"error": "invalid_request", "error_description": str(error)}
            return web.json_response(problem, status=400)
        return web.json_response(
            {"access_token": token, "token_type": "Bearer", "expires_in": _LIFETIME},
            headers={"Cache-Control": "no-store"},
        )

    def _save(self) -> None:
        """Write the keys to their file, whole or not at all."""
        if self._path is None:
            return
        document = {
            "signing": [key.as_dict(private=True) for key in self._signing],
            "encryption": self._encryption.as_dict(private=True),
        }
        new = self._path.with_name(self._path.name + ".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600, exist_ok=False)
        new.write_text(json.dumps(document), encoding="utf-8")
        new.replace(self._path)


def _new_key(use: str, algorithm: str) -> RSAKey:
    key = RSAKey.generate_key(2048, parameters={"use": use, "alg": algorithm})
    key.ensure_kid()
    return key


def _load(path: Path) -> tuple[list[RSAKey], RSAKey]:
    """Return the keys in the file at `path`; raises ValueError if they are not what `_save` writes."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [RSAKey.import_key(jwk) for jwk in document["signing"]], RSAKey.import_key(document["encryption"])
    except (ValueError, LookupError, TypeError, JoseError):
        raise ValueError(f"{path} does not hold the keys of a token issuer") from None


def _require_loopback(host: str) -> None:
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(f"{host} is not a loopback address: this issuer gives any token to anyone")


async def _read_fields(request: web.Request) -> Mapping[str, object]:
    """Return the parameters in the body of `request`; raises what reading hostile ones raises."""
    if request.content_type != "application/json":
        form = await request.post()
        return {key: form.getall(key) if key == "roles" else form[key] for key in form}
    fields = await request.json()
    if not isinstance(fields, dict):
        raise _BadRequestError("the body is no JSON object")
    return fields


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise _BadRequestError(f"{name} is no text")
    return value


def _read_roles(value: object) -> list[str]:
    """Return the roles in `value`: a list, or names between commas or white space; the default ones for None."""
    if value is None:
        return list(_DEFAULT_ROLES)
    items = value if isinstance(value, list) else [value]
    roles: list[str] = []
    for item in items:
        if not isinstance(item, str):
            raise _BadRequestError("roles is no list of names")
        roles.extend(item.replace(",", " ").split())
    return roles

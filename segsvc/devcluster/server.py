"""The emulator's aiohttp application: who may ask, and which part answers which path.

Meant for one machine: requests must name a loopback host, so that a web page cannot reach the cluster by DNS
rebinding, and no CORS header is ever sent. Errors leave as Status objects; an unknown path is 404 in plain text.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from segsvc.devcluster import discovery, status
from segsvc.devcluster.handlers import Target

if TYPE_CHECKING:
    from segsvc.devcluster.handlers import ResourceHandlers
    from segsvc.devcluster.resources import Catalog, Resource


class Server:
    """Routes requests; `token`, where there is one, is asked of every caller."""

    def __init__(self, catalog: Catalog, handlers: ResourceHandlers, *, token: str | None) -> None:
        self._catalog = catalog
        self._handlers = handlers
        self._token = token

    def application(self) -> web.Application:
        """Return the application."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            _check_host(request.host)
            self._authenticate(request)
            return await self._route(request)
        except status.ApiError as error:
            response = web.Response(
                body=orjson.dumps(error.as_dict()), status=error.code, content_type="application/json"
            )
            if error.retry_after:
                response.headers["Retry-After"] = str(error.retry_after)
            return response

    def _authenticate(self, request: web.Request) -> None:
        if self._token is None:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        sent = given.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(sent, self._token.encode()):
            raise status.unauthorized()

    async def _route(self, request: web.Request) -> web.StreamResponse:
        segments = [unquote(segment) for segment in request.rel_url.raw_path.strip("/").split("/")]
        if segments[0] == "apis" and len(segments) > 3:
            target = self._target(segments[1:], request.method)
            return await self._handlers.handle(request, target) if target else _page_not_found()
        if segments[0] in {"healthz", "livez", "readyz"}:
            return web.Response(text="ok")
        document = self._document(segments)
        if document is None:
            return _page_not_found()
        if request.method not in {"GET", "HEAD"}:
            message = "the server does not allow this method on the requested resource"
            raise status.ApiError(405, "MethodNotAllowed", message=message, details={})
        return web.Response(body=orjson.dumps(document), content_type="application/json")

    def _document(self, segments: list[str]) -> dict[str, Any] | None:  # noqa: PLR0911 -- one return for each path
        """Return the discovery document at a path, or None."""
        match segments:
            case ["version"]:
                return dict(discovery.VERSION)
            case ["apis"]:
                return discovery.groups(self._catalog)
            case ["apis", group]:
                return discovery.group(self._catalog, group)
            case ["apis", group, version]:
                return discovery.resources(self._catalog, group, version)
            case ["openapi", "v3"]:
                return discovery.openapi_index(self._catalog)
            case ["openapi", "v3", "apis", group, version]:
                return discovery.openapi_v3(self._catalog, group, version)
            case _:
                return None

    def _target(self, segments: list[str], method: str) -> Target | None:
        """Return what a path below /apis names, or None."""
        group, version, *rest = segments
        watch = rest[0] == "watch" and len(rest) > 1
        if watch:
            rest = rest[1:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, *tail = rest
        resource = self._catalog.find(group, version, plural)
        if resource is None or "" in tail or len(tail) > 2 or not _scope_fits(resource, namespace, tail, method):
            return None
        name = tail[0] if tail else ""
        if len(tail) == 2 and (tail[1] != "status" or not resource.has_status):
            raise status.not_found(resource, name)
        return Target(resource, namespace, name, tail[1] if len(tail) == 2 else "", watch)


def _scope_fits(resource: Resource, namespace: str, tail: list[str], method: str) -> bool:
    """Tell whether a path has a namespace where the resource wants one; all namespaces can only be read."""
    if not resource.namespaced:
        return not namespace
    return bool(namespace) or (not tail and method in {"GET", "HEAD"})


def _page_not_found() -> web.Response:
    return web.Response(status=404, text="404 page not found\n")


def _check_host(host: str) -> None:
    if not _is_loopback(host):
        message = f"host {status.quoted(host)} is not allowed: use 127.0.0.1 or localhost"
        raise status.ApiError(403, "Forbidden", message=message)


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

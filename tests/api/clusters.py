"""The clusters behind the service, and what a test does to them past the service.

Speaks plain HTTP and uses nothing of the package under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

GROUP = "segment.grnry.io"
API_VERSION = f"{GROUP}/v1alpha1"
DISPLAY_NAME = f"{GROUP}/display-name"
SCHEDULE = "*/10 * * * *"


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes API that serves Segment resources, and the administrator's way in."""

    kind: str
    url: str
    token: str | None = None
    ca_file: Path | None = None
    ssl_context: ssl.SSLContext | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(ssl=self.ssl_context or True)

    def write_kubeconfig(self, path: Path, *, namespace: str, url: str | None = None) -> Path:
        """Write a kubeconfig for this cluster, or for the relay in front of it at ``url``."""
        authority = {} if self.ca_file is None or url is not None else {"certificate-authority": str(self.ca_file)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": url or self.url, **authority}}],
            "users": [{"name": "me", "user": {} if self.token is None else {"token": self.token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me", "namespace": namespace}}],
            "current-context": "it",
        }
        path.write_text(json.dumps(config), encoding="utf-8")
        return path


class Resources:
    """The Segment resources of one namespace, as kubectl or the operator would handle them."""

    def __init__(self, session: aiohttp.ClientSession, cluster: Cluster, namespace: str) -> None:
        self._session = session
        self._cluster = cluster
        self._collection = f"{cluster.url}/apis/{API_VERSION}/namespaces/{namespace}/segments"

    async def create(
        self, name: str, *, annotations: dict[str, str] | None = None, spec: object = None, **metadata: Any
    ) -> dict[str, Any]:
        """Create a resource; unless told otherwise one with a display name and a schedule, and nothing else."""
        annotations = {DISPLAY_NAME: name} if annotations is None else annotations
        resource = {
            "apiVersion": API_VERSION,
            "kind": "Segment",
            "metadata": {"name": name, "annotations": annotations, **metadata},
            "spec": {"cronjob": {"schedule": SCHEDULE}} if spec is None else spec,
        }
        return await self._call("POST", "", resource)

    async def get(self, name: str) -> dict[str, Any]:
        return await self._call("GET", f"/{name}")

    async def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in (await self._call("GET", ""))["items"]]

    async def patch(self, name: str, patch: dict[str, Any], *, status: bool = False) -> dict[str, Any]:
        """Change a resource, or its status, by a merge patch."""
        path = f"/{name}/status" if status else f"/{name}"
        return await self._call("PATCH", path, patch, content_type="application/merge-patch+json")

    async def annotate(self, name: str, **annotations: str | None) -> dict[str, Any]:
        """Set annotations of ours, named without prefix and with ``_`` for ``-``; None removes one."""
        ours = {f"{GROUP}/{key.replace('_', '-')}": text for key, text in annotations.items()}
        return await self.patch(name, {"metadata": {"annotations": ours}})

    async def delete(self, name: str) -> dict[str, Any]:
        return await self._call("DELETE", f"/{name}")

    async def revision(self) -> int:
        """The newest resourceVersion."""
        return int((await self._call("GET", "?limit=1"))["metadata"]["resourceVersion"])

    async def _call(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/json"
    ) -> dict[str, Any]:
        async with self._session.request(
            method,
            self._collection + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type, **self._cluster.headers},
        ) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            assert response.status < 300, answer
            return answer


def revision_of(resource: dict[str, Any]) -> int:
    return int(resource["metadata"]["resourceVersion"])


@dataclass(frozen=True, slots=True)
class Call:
    """A request of the service to its cluster."""

    method: str
    target: str

    @property
    def is_watch(self) -> bool:
        return "watch" in parse_qs(urlsplit(self.target).query)

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


class Lost(Exception):
    """Raised by a test's hook: the connection breaks here."""


@dataclass(frozen=True)
class Refused(Exception):
    """Raised by a test's hook: the cluster answers with this status."""

    status: int


class Relay:
    """Stands between the service and its cluster; passes everything on, remembers it, and interferes when told to.

    `before` is awaited before a call is passed on, `after` when the cluster has answered and the service has not
    heard of it. While `watching` is clear, no event of a watch comes through. A relay that is cut takes no connections.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._site: web.TCPSite | None = None
        self.calls: list[Call] = []
        self.before: Callable[[Call], Awaitable[None]] | None = None
        self.after: Callable[[Call], Awaitable[None]] | None = None
        self.watching = asyncio.Event()
        self.watching.set()
        self.url = ""
        self._port = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=self._cluster.connector(), auto_decompress=False)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await self._runner.setup()
        await self._listen(self._runner, 0)
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    @property
    def writes(self) -> list[Call]:
        return [call for call in self.calls if call.is_write]

    async def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        if self._site is not None and self._runner is not None and self._runner.server is not None:
            await self._site.stop()
            for connection in self._runner.server.connections:
                connection.force_close()
        self._site = None

    async def mend(self) -> None:
        """Take connections again."""
        assert self._runner is not None
        await self._listen(self._runner, self._port)

    async def _listen(self, runner: web.AppRunner, port: int) -> None:
        self._site = web.TCPSite(runner, "127.0.0.1", port)
        await self._site.start()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(request.method, request.path_qs)
        self.calls.append(call)
        try:
            if self.before is not None:
                await self.before(call)
        except Lost:
            return _broken(request)
        except Refused as refused:
            refusal = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": refused.status}
            return web.json_response(refusal, status=refused.status)
        assert self._session is not None
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in {"host", "connection", "content-length", "transfer-encoding"}
        }
        async with self._session.request(
            request.method,
            URL(self._cluster.url + request.raw_path, encoded=True),
            data=await request.read() or None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(),
        ) as upstream:
            if call.is_watch:
                return await self._stream(request, upstream)
            body = await upstream.read()
            try:
                if self.after is not None:
                    await self.after(call)
            except Lost:
                return _broken(request)
            names = ("Content-Type", "Content-Encoding", "Retry-After")
            kept = {name: upstream.headers[name] for name in names if name in upstream.headers}
            return web.Response(status=upstream.status, body=body, headers=kept)

    async def _stream(self, request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=upstream.status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            await self.watching.wait()
            await response.write(chunk)
        return response


def _broken(request: web.Request) -> web.Response:
    if request.transport is not None:
        with contextlib.suppress(AttributeError):
            request.transport.abort()
    return web.Response(status=500)

"""A Kubernetes API that answers by a script: for what a healthy one does not do.

Each kind of request has a script of its own, a list of steps; the last one is repeated. A step is called with the
request and returns the answer, or streams it. Uses nothing of the package under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from pathlib import Path

Step = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedCluster:
    """Scripts by kind of request: ``list``, ``watch``, ``get``, ``create``, ``replace``, ``delete``, ``revision``.

    The last is a list that only asks which revision it is; unless scripted, it is beyond all others.
    """

    def __init__(self, **scripts: list[Step]) -> None:
        self.scripts = {"revision": [page(revision=2**53)], **scripts}
        self.requests: list[tuple[str, web.Request]] = []
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def write_kubeconfig(self, path: Path, **user: object) -> Path:
        """Write a kubeconfig for this cluster; ``user`` is what it says of the user."""
        path.write_text(kubeconfig(self.url, **user), encoding="utf-8")
        return path

    def seen(self, kind: str) -> list[web.Request]:
        """The requests of a kind."""
        return [request for each, request in self.requests if each == kind]

    async def count(self, kind: str, number: int) -> None:
        """Return once this many requests of a kind have come."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.seen(kind)) >= number)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        kind = _kind(request)
        steps = self.scripts[kind]
        step = steps[min(len(self.seen(kind)), len(steps) - 1)]
        self.requests.append((kind, request))
        async with self._arrived:
            self._arrived.notify_all()
        return await step(request)


def kubeconfig(url: str, **user: object) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": url}}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me", "namespace": "from-context"}}],
            "current-context": "it",
        }
    )


def _kind(request: web.Request) -> str:
    is_item = not request.path.endswith("/segments")
    match request.method:
        case "GET" if "watch" in request.query:
            return "watch"
        case "GET" if request.query.get("limit") == "1":
            return "revision"
        case "GET":
            return "get" if is_item else "list"
        case method:
            return {"POST": "create", "PUT": "replace", "DELETE": "delete"}[method]


# --- resources and events


def resource(name: str, revision: int, *, uid: str | None = None, display_name: str | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "segment.grnry.io/v1alpha1",
        "kind": "Segment",
        "metadata": {
            "name": name,
            "namespace": "test",
            "uid": uid or f"uid-of-{name}",
            "resourceVersion": str(revision),
            "creationTimestamp": "2024-01-01T00:00:00Z",
            "annotations": {"segment.grnry.io/display-name": display_name or name},
        },
        "spec": {"cronjob": {"schedule": "*/10 * * * *"}},
    }


def event(kind: str, found: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


def bookmark(revision: int) -> bytes:
    return event("BOOKMARK", {"kind": "Segment", "metadata": {"resourceVersion": str(revision)}})


# --- steps


def answer(body: Any, *, status: int = 200, **headers: str) -> Step:
    """An answer in JSON."""

    async def step(_request: web.Request) -> web.Response:
        return web.json_response(body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return step


def answer_as_written(body: Any) -> Step:
    """An answer in JSON as the API server writes it: compact, and with sorted keys."""
    written = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    async def step(_request: web.Request) -> web.Response:
        return web.Response(text=written + "\n", content_type="application/json")

    return step


def text(body: str, *, status: int, content_type: str = "text/plain", **headers: str) -> Step:
    async def step(_request: web.Request) -> web.Response:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return web.Response(text=body, status=status, content_type=content_type, headers=named)

    return step


def page(*items: dict[str, Any], revision: int, more: str = "") -> Step:
    """A page of a list; ``more`` is its continue token."""
    metadata = {"resourceVersion": str(revision), **({"continue": more} if more else {})}
    return answer_as_written({"apiVersion": "v1", "kind": "SegmentList", "metadata": metadata, "items": list(items)})


def failure(code: int, reason: str, message: str = "it failed", *, details: object = None, **headers: str) -> Step:
    """An error as Kubernetes words it."""
    return answer(status_object(code, reason, message, details=details), status=code, **headers)


def status_object(code: int, reason: str, message: str = "it failed", *, details: object = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details or {},
    }


def stream(*chunks: bytes, then: str = "end") -> Step:
    """A watch that sends these and then ends, hangs (open and silent), or is cut off."""

    async def step(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if then == "hang":
            await asyncio.Event().wait()
        if then == "cut" and request.transport is not None:
            request.transport.close()
        return response

    return step


async def hang(_request: web.Request) -> web.StreamResponse:
    """No answer, ever."""
    await asyncio.Event().wait()
    raise AssertionError


async def drop(request: web.Request) -> web.StreamResponse:
    """The connection breaks before anything is answered."""
    if request.transport is not None:
        with contextlib.suppress(AttributeError):
            request.transport.abort()
    return web.Response()

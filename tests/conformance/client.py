"""Plain REST against a Kubernetes API: what the conformance suite talks through, whichever server answers."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

GROUP = "conformance.example.com"
API_VERSION = f"{GROUP}/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
PATIENCE = 15.0


@dataclass(frozen=True)
class Answer:
    """A response: status, headers, and the body, decoded when it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any
    warnings: list[str]

    @property
    def causes(self) -> set[tuple[str, str, str]]:
        """The causes of a Status, as (field, reason, message): their order is not defined."""
        return {(c["field"], c["reason"], c["message"]) for c in self.body["details"]["causes"]}

    @property
    def names(self) -> list[str]:
        """The names of a list's items."""
        return [item["metadata"]["name"] for item in self.body["items"]]

    @property
    def version(self) -> str:
        """The resourceVersion of an object or a list."""
        version: str = self.body["metadata"]["resourceVersion"]
        return version


class Events:
    """An open watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> dict[str, Any]:
        """Return the next event; fail when the stream ends or nothing comes."""
        async with asyncio.timeout(PATIENCE):
            line = await self._response.content.readline()
        assert line, "the watch ended"
        event: dict[str, Any] = _without_managed_fields(json.loads(line))
        return event

    async def take(self, count: int) -> list[dict[str, Any]]:
        return [await self.next() for _ in range(count)]

    async def rest(self) -> list[dict[str, Any]]:
        """Return all events up to the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            lines = (await self._response.content.read()).splitlines()
        return [_without_managed_fields(json.loads(line)) for line in lines]


class Api:
    """A cluster as one test sees it: `widgets` is the collection in a namespace of the test's own."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, namespace: str, tls: ssl.SSLContext | None = None
    ) -> None:
        self._session = session
        self._url = url
        self._tls: ssl.SSLContext | bool = tls or True
        self.namespace = namespace
        self.everywhere = f"/apis/{API_VERSION}/widgets"
        self.widgets = f"/apis/{API_VERSION}/namespaces/{namespace}/widgets"

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Answer:
        """Send a request; a body of bytes goes out as it is."""
        raw_body = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        data = None if raw_body is None else io.BytesIO(raw_body)
        sent = {**(headers or {}), **({"Content-Type": content_type} if data is not None else {})}
        async with self._session.request(
            method, self._url + path, data=data, headers=sent, params=params, ssl=self._tls
        ) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json" and raw
            decoded = _without_managed_fields(json.loads(raw)) if is_json else raw.decode()
            warnings = response.headers.getall("Warning", [])
            return Answer(response.status, response.headers, decoded, warnings)

    async def get(self, path: str, **query: str | int) -> Answer:
        return await self.request("GET", path, params=query)

    async def create(self, name: str, spec: object = None, **metadata: object) -> dict[str, Any]:
        """Create a widget that must be accepted, and return it."""
        answer = await self.request("POST", self.widgets, widget(name, spec, **metadata))
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.body
        return created

    async def patch(self, name: str, patch: object, *, content_type: str = MERGE_PATCH, **query: str) -> Answer:
        return await self.request("PATCH", f"{self.widgets}/{name}", patch, content_type=content_type, params=query)

    @asynccontextmanager
    async def watch(self, path: str | None = None, **query: str | int) -> AsyncIterator[Events]:
        """Open a watch on `path`, the test's widgets unless told."""
        url = self._url + (path or self.widgets)
        async with self._session.get(url, params={"watch": "1", **query}, ssl=self._tls) as response:
            assert response.status == 200, await response.text()
            try:
                yield Events(response)
            finally:
                await _hang_up(response)


async def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Close the connection of a stream that has not ended; over TLS, a polite end would outlive the test's loop."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def widget(name: str, spec: object = None, **metadata: object) -> dict[str, Any]:
    """Return a widget; without a `spec`, a valid one."""
    body = {"size": 1} if spec is None else spec
    return {"apiVersion": API_VERSION, "kind": "Widget", "metadata": {"name": name, **metadata}, "spec": body}


def _without_managed_fields(value: Any) -> Any:
    """Drop managedFields, which a server may leave out, from an object, a list or an event."""
    if isinstance(value, dict):
        for part in (value, value.get("object"), *(value.get("items") or [])):
            if isinstance(part, dict) and isinstance(part.get("metadata"), dict):
                part["metadata"].pop("managedFields", None)
    return value

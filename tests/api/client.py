"""The API's callers: a client that says in HTTP what a test says in words, and answers as they came over the wire."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import aiohttp

_UNSENT = object()


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. ``body`` is what was sent, compressed where it was."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def content(self) -> bytes:
        return gzip.decompress(self.body) if self.headers.get("Content-Encoding") == "gzip" else self.body

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def etag(self) -> str:
        return self.headers["ETag"]

    @property
    def revision(self) -> int:
        return int(self.headers["X-Revision"])

    @property
    def ids(self) -> list[str]:
        """The ids of a list's items, in their order."""
        return [item["id"] for item in self.json["items"]]

    @property
    def problems(self) -> dict[str, str]:
        """An error's invalidParams, by name."""
        return {problem["name"]: problem["reason"] for problem in self.json["invalidParams"]}


class Client:
    """A caller with a token, or without one. Paths and queries are sent as they are given."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str | None = None) -> None:
        self._session = session
        self.url = url
        self.token = token

    def at(self, url: str) -> Client:
        """The same caller, at another replica."""
        return Client(self._session, url, self.token)

    def anonymous(self) -> Client:
        return Client(self._session, self.url)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: object = _UNSENT,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request. A body that is bytes is sent as it is, anything else as JSON."""
        given = CIMultiDict(headers or {})
        if self.token is not None:
            given.setdefault("Authorization", f"Bearer {self.token}")
        data = None
        if body is not _UNSENT:
            given.setdefault("Content-Type", "application/json")
            # wrapped, for aiohttp warns of large bodies that are bytes
            data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        async with self._session.request(
            method, URL(self.url + path, encoded=True), data=data, headers=given, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.request("GET", path, headers=headers)

    async def list(self, *, headers: Mapping[str, str] | None = None, **query: object) -> Answer:
        return await self.get("/segments" + _query(query), headers=headers)

    async def read(self, segment_id: str, *, headers: Mapping[str, str] | None = None, **query: object) -> Answer:
        return await self.get(_item(segment_id) + _query(query), headers=headers)

    async def create(
        self,
        body: object,
        segment_id: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **query: object,
    ) -> Answer:
        path = "/segments" if segment_id is None else _item(segment_id)
        return await self.request("POST", path + _query(query), body=body, headers=headers)

    async def replace(
        self, segment_id: str, body: object, *, headers: Mapping[str, str] | None = None, **query: object
    ) -> Answer:
        return await self.request("PUT", _item(segment_id) + _query(query), body=body, headers=headers)

    async def delete(self, segment_id: str, *, headers: Mapping[str, str] | None = None, **query: object) -> Answer:
        return await self.request("DELETE", _item(segment_id) + _query(query), headers=headers)


async def raw(url: str, request: bytes) -> Answer:
    """Send these bytes and read one answer: for requests that no client would send.

    The server may answer, and close, before it has read everything.
    """
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.rstrip().split("\r\n")
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines:
            name, _, value = line.partition(": ")
            headers.add(name, value)
        length = int(headers.get("Content-Length", "0"))
        body = b"" if request.startswith(b"HEAD ") else await reader.readexactly(length)
        return Answer(int(status_line.split()[1]), CIMultiDictProxy(headers), body)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def request_bytes(
    method: str, target: bytes | str, headers: Iterable[tuple[str, bytes | str]] = (), body: bytes = b""
) -> bytes:
    """Write a request as it goes over the wire, with nothing checked. ``Host`` is added; Content-Length is not."""

    def encoded(text: bytes | str) -> bytes:
        return text if isinstance(text, bytes) else text.encode()

    lines = [b"%s %s HTTP/1.1" % (method.encode(), encoded(target)), b"Host: localhost", b"Connection: close"]
    lines += [b"%s: %s" % (name.encode(), encoded(value)) for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _item(segment_id: str) -> str:
    return "/segments/" + quote(segment_id, safe="")


def _query(query: Mapping[str, object]) -> str:
    return "?" + urlencode(query, doseq=True) if query else ""

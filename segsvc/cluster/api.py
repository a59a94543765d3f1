"""Segment resources of one namespace over the Kubernetes API: list, watch, get, create, replace, delete.

The client library finds the cluster, and does TLS and credentials; requests and answers are ours, because the
library's own reading of them checks no status of a watch, knows no timeouts and logs whole bodies. Every call ends
within its timeout, waiting for a connection included, in an answer or in one of `segsvc.cluster.errors`; a list or a
watch ends so when it falls silent. No call is made for a name that is not one: a name of ``.`` would address every
segment of the namespace.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from kubernetes_asyncio.client import ApiClient, Configuration

from segsvc import __version__
from segsvc.cluster.connection import SERVICE_ACCOUNT, configuration
from segsvc.cluster.errors import (
    ClusterConfigInvalid,
    ClusterError,
    ClusterUnavailable,
    EventTooLarge,
    UnexpectedAnswer,
    WatchBroken,
    WatchStalled,
)
from segsvc.cluster.listing import ListDecoder, revision_of
from segsvc.cluster.translate import error_of_answer, error_of_status, object_of, translated
from segsvc.domain.codec import GROUP, PLURAL, VERSION
from segsvc.domain.ids import is_subdomain
from segsvc.domain.segment import JsonObject
from segsvc.index.entry import Version
from segsvc.telemetry import Metrics

FIELD_MANAGER = "segsvc"
CALL_TIMEOUT = 10.0
IDLE_TIMEOUT = 90.0
"""Seconds a live watch may be silent: a server sends a bookmark about every minute."""
LIST_SILENCE = 30.0
"""Seconds that a list may make no progress: the server may read all of it before it sends the first byte."""
LIST_TIMEOUT = 600.0
"""Seconds that a list may take, as long as it makes progress. The API server itself gives up after 60, if not told
otherwise; a proxy may not."""
WATCH_GRACE = 30.0
"""Seconds that a watch may outlive the time after which the server promised to end it."""
MAX_EVENT = 16 * 2**20
"""Bytes: many times what etcd stores by default, for it may be told to store more."""
MAX_CALLS = 32

_Query = list[tuple[str, str]]

# the API server would compress lists: on a cluster's own network that costs it, and us, more time than it saves
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}


class ListEnd(NamedTuple):
    """What a list tells at its end. All pages of one list show the state at the same ``revision``."""

    revision: int
    continue_token: str | None


class ListPart(NamedTuple):
    """Resources of a list, to be taken before the next part is asked for; the last part has the list's end."""

    items: Iterable[JsonObject]
    end: ListEnd | None = None


class WatchEvent(NamedTuple):
    """An event of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, whose object has nothing but a resourceVersion."""

    type: str
    object: JsonObject


@asynccontextmanager
async def connect(
    kubeconfig: str | None,
    *,
    namespace: str,
    metrics: Metrics,
    call_timeout: float = CALL_TIMEOUT,
    idle_timeout: float = IDLE_TIMEOUT,
    list_silence: float = LIST_SILENCE,
    list_timeout: float = LIST_TIMEOUT,
    service_account: Path = SERVICE_ACCOUNT,
) -> AsyncIterator["SegmentApi"]:
    """Yield the API of one namespace; nothing is sent yet. See `segsvc.cluster.connection` for ``kubeconfig``.

    Raises ClusterConfigInvalid.
    """
    found = await configuration(kubeconfig, service_account=service_account)
    # a watch holds its connection for minutes: calls must never wait for it, nor what follows the cluster for calls
    # that hang
    async with _client(found, connections=MAX_CALLS) as calls, _client(found, connections=2) as following:
        yield SegmentApi(
            calls,
            following,
            namespace=namespace,
            metrics=metrics,
            call_timeout=call_timeout,
            idle_timeout=idle_timeout,
            list_silence=list_silence,
            list_timeout=list_timeout,
        )


def _client(found: Configuration, *, connections: int) -> ApiClient:
    found.connection_pool_maxsize = connections
    try:
        client = ApiClient(found)
    except OSError as error:  # ssl.SSLError is one
        raise ClusterConfigInvalid(f"certificates: {error}") from error
    client.user_agent = f"segsvc/{__version__}"
    session: Any = client.rest_client.pool_manager
    # there are no other switches. aiohttp repeats a PUT or DELETE whose connection broke, and the second finds what the
    # first has done
    session._retry_connection = False  # noqa: SLF001
    # and for each call it has threads read .netrc, which is not for clusters, and look for a proxy, which is known
    session._trust_env = False  # noqa: SLF001
    return client


class SegmentApi:
    """The calls. Made by `connect`.

    All of them raise ClusterError, and ValueError for an id that is none. ``within`` is how many seconds a call may
    take, where that is less than usual. Lists and watches, which follow the cluster, have connections of their own.
    """

    def __init__(
        self,
        calls: ApiClient,
        following: ApiClient,
        *,
        namespace: str,
        metrics: Metrics,
        call_timeout: float,
        idle_timeout: float,
        list_silence: float,
        list_timeout: float,
    ) -> None:
        if not is_subdomain(namespace):
            raise ValueError(f"{namespace!r} is no namespace's name")
        self._calls = calls
        self._following = following
        self._collection = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"
        self._metrics = metrics
        self._call_timeout = call_timeout
        self._idle_timeout = idle_timeout
        self._list_silence = list_silence
        self._list_timeout = list_timeout

    async def list(
        self, *, limit: int | None = None, continue_token: str | None = None
    ) -> AsyncGenerator[ListPart, None]:
        """Yield the resources as they come in: all of them, or a page of ``limit``.

        From a ``continue_token`` on, the next page; a server may answer with a page unasked. Raises Expired when the
        token is too old: the list is to be begun anew. Close it (contextlib.aclosing) when leaving it early.
        """
        query = [("limit", str(limit))] if limit else []
        if continue_token:
            query.append(("continue", continue_token))
        decoder = ListDecoder()
        clock = asyncio.get_running_loop().time
        until = clock() + self._list_timeout
        with self._observed("list"), translated():
            async with asyncio.timeout(self._list_silence):
                response = await self._send(self._following, "GET", self._collection, query=query)
                await _raise_for_status("list", response)
            async with response:
                while True:
                    # not around a yield: a timeout cancels whatever the task does then, and that is not ours
                    async with asyncio.timeout_at(min(clock() + self._list_silence, until)):
                        chunk = await response.content.readany()
                    if not chunk:
                        break
                    yield ListPart(decoder.feed(chunk))
            rest = decoder.finish()
            yield ListPart(rest.items, ListEnd(rest.revision, rest.continue_token))

    async def current_revision(self, *, within: float | None = None, following: bool = False) -> int:
        """Return a resourceVersion that is not older than any change made before this call.

        ``following`` sends it the way of lists and watches, where it never waits for writes.
        """
        client = self._following if following else self._calls
        answer = await self._call("list", "GET", self._collection, query=[("limit", "1")], within=within, client=client)
        return revision_of(answer.get("metadata") or {})

    async def watch(self, *, revision: int, timeout_seconds: int) -> AsyncGenerator[WatchEvent, None]:
        """Yield what happens after ``revision``, until the server ends the watch after about ``timeout_seconds``.

        Raises Expired when the server no longer knows (``revision``), EventTooLarge, WatchStalled when nothing came for
        longer than the time between two bookmarks, and WatchBroken when it broke off in any other way once it was open.
        Close it (contextlib.aclosing) when leaving it early.
        """
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", str(revision)),
            ("timeoutSeconds", str(timeout_seconds)),
        ]
        patience = aiohttp.ClientTimeout(total=timeout_seconds + WATCH_GRACE, sock_read=self._idle_timeout)
        with self._observed("watch"), translated():
            async with asyncio.timeout(self._call_timeout):
                response = await self._send(self._following, "GET", self._collection, query=query, patience=patience)
                await _raise_for_status("watch", response)
        try:
            with translated():
                async with response:
                    async for line in _lines(response.content.iter_any()):
                        yield _event(object_of(line))
        except WatchStalled:
            raise
        except ClusterUnavailable as error:
            raise WatchBroken(error.reason, error.retry_after) from error

    async def get(self, segment_id: str, *, within: float | None = None) -> JsonObject:
        """Return a resource as it is now. Raises ResourceNotFound."""
        return await self._call("get", "GET", self._item(segment_id), within=within)

    async def create(
        self,
        resource: JsonObject,
        *,
        dry_run: bool,
        within: float | None = None,
    ) -> JsonObject:
        """Create a resource and return it as stored. Raises AlreadyExists, InvalidResource, ResourceTooLarge."""
        self._item(resource["metadata"]["name"])
        return await self._call(
            "create", "POST", self._collection, query=_write_query(dry_run=dry_run), body=resource, within=within
        )

    async def replace(
        self,
        segment_id: str,
        resource: JsonObject,
        *,
        dry_run: bool,
        within: float | None = None,
    ) -> JsonObject:
        """Replace the version of a resource that ``resource`` was made from, and return it as stored.

        Raises Conflict when there is a newer one, ResourceNotFound, InvalidResource, ResourceTooLarge.
        """
        item, query = self._item(segment_id), _write_query(dry_run=dry_run)
        return await self._call("replace", "PUT", item, query=query, body=resource, within=within)

    async def delete(
        self,
        segment_id: str,
        *,
        version: Version,
        dry_run: bool,
        within: float | None = None,
    ) -> JsonObject:
        """Delete this version of a resource. Raises Conflict when it is no longer that one, and ResourceNotFound.

        Returns a Status when it is gone, and the resource when it stays until its finalizers go.
        """
        options: JsonObject = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": version.uid, "resourceVersion": str(version.revision)},
        }
        if dry_run:
            options["dryRun"] = ["All"]  # here, for a DELETE that has a body has its query ignored
        return await self._call("delete", "DELETE", self._item(segment_id), body=options, within=within)

    def _item(self, segment_id: str) -> str:
        if not is_subdomain(segment_id):
            raise ValueError(f"{segment_id!r} is no resource's name")
        return f"{self._collection}/{segment_id}"

    async def _call(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        query: _Query | None = None,
        body: JsonObject | None = None,
        within: float | None = None,
        client: ApiClient | None = None,
    ) -> JsonObject:
        """Make a call and return the answer's object; see the class for ``within``."""
        seconds = self._call_timeout if within is None else min(within, self._call_timeout)
        with self._observed(verb), translated():
            async with asyncio.timeout(seconds):
                response = await self._send(client or self._calls, method, path, query=query, body=body)
                async with response:
                    await _raise_for_status(verb, response)
                    return object_of(await response.read())

    async def _send(
        self,
        client: ApiClient,
        method: str,
        path: str,
        *,
        query: _Query | None,
        body: JsonObject | None = None,
        patience: aiohttp.ClientTimeout | None = None,
    ) -> aiohttp.ClientResponse:
        response: aiohttp.ClientResponse = await client.call_api(
            path,
            method,
            query_params=query,
            header_params=_HEADERS,
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=patience,
        )
        return response

    @contextmanager
    def _observed(self, verb: str) -> Iterator[None]:
        started = time.perf_counter()
        outcome = "ok"
        try:
            yield
        except ClusterError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._metrics.cluster_requests.labels(verb, outcome).observe(time.perf_counter() - started)


async def _raise_for_status(verb: str, response: aiohttp.ClientResponse) -> None:
    if response.status < 300:
        return
    async with response:
        body = await response.read()
    raise error_of_answer(verb, response.status, body, retry_after=response.headers.get("Retry-After"))


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    pending = bytearray()
    async for chunk in chunks:
        first, *others = chunk.split(b"\n")
        pending += first
        for other in others:
            if pending:
                yield bytes(pending)
            pending = bytearray(other)
        if len(pending) > MAX_EVENT:
            raise EventTooLarge(f"an event of more than {MAX_EVENT} bytes")
    if pending:
        raise ClusterUnavailable("the watch broke off within an event")


def _event(line: JsonObject) -> WatchEvent:
    kind, found = line.get("type"), line.get("object")
    if not isinstance(kind, str) or not isinstance(found, dict):
        raise UnexpectedAnswer("a watch event without type or object")
    if kind == "ERROR":
        code = found.get("code")
        raise error_of_status("watch", code if isinstance(code, int) else 0, found)
    return WatchEvent(kind, found)


def _write_query(*, dry_run: bool) -> _Query:
    query = [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")]
    return [*query, ("dryRun", "All")] if dry_run else query

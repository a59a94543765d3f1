"""The embedded cluster: store, resource types and HTTP server, started and stopped together.

For development and tests. Listens on loopback only, and speaks plain HTTP there.
"""

from __future__ import annotations

import ipaddress
import json
import os
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

import orjson
from aiohttp import web

from segsvc.devcluster.handlers import ResourceHandlers
from segsvc.devcluster.journal import SqliteJournal
from segsvc.devcluster.operations import Draft
from segsvc.devcluster.options import WriteOptions
from segsvc.devcluster.resources import CRDS, Catalog
from segsvc.devcluster.server import Server
from segsvc.devcluster.status import ApiError
from segsvc.devcluster.store import DEFAULT_HISTORY, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from segsvc.devcluster.resources import Resource

_SHUTDOWN_TIMEOUT = 2.0


class EmbeddedCluster:
    """A Kubernetes API for custom resources, in memory or in the SQLite file `data`.

    `history` is the number of writes that a watch can reach back, or a paged list last; `bookmark_interval` the
    seconds between the bookmarks of a watch. With a `token`, every request must carry it as bearer token.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data: Path | None = None,
        token: str | None = None,
        history: int = DEFAULT_HISTORY,
        bookmark_interval: float = 60.0,
    ) -> None:
        """Prepare a cluster. Raises ValueError when `host` is not a loopback address or name."""
        if not _is_loopback(host):
            raise ValueError(
                f"the embedded cluster listens on loopback only, and {host!r} is not: use 127.0.0.1, ::1 or localhost"
            )
        self._host = host
        self._port = port
        self._data = data
        self._token = token
        self._history = history
        self._bookmark_interval = bookmark_interval
        self._store: Store | None = None
        self._catalog: Catalog | None = None
        self._handlers: ResourceHandlers | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the data and listen. Raises JournalError when the file cannot be used, OSError for a taken port."""
        journal = SqliteJournal(self._data) if self._data else None
        self._store = Store(journal, history=self._history)
        try:
            self._catalog = Catalog(self._store)
            self._handlers = ResourceHandlers(self._store, self._catalog, bookmark_interval=self._bookmark_interval)
            application = Server(self._catalog, self._handlers, token=self._token).application()
            # A watch must notice that its caller has left; writes await nothing and so cannot be cut.
            self._runner = web.AppRunner(
                application, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT
            )
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
            self._port = self._runner.addresses[0][1]
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End open watches, stop listening and close the data. May be called twice."""
        if self._handlers is not None:
            self._handlers.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._store is not None:
            self._store.close()
            self._store = self._catalog = self._handlers = None

    @property
    def url(self) -> str:
        """`http://HOST:PORT`; the port is known once the cluster has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def revision(self) -> int:
        """The newest resourceVersion."""
        return self._running()[0].revision

    def write_kubeconfig(self, path: Path, namespace: str = "default") -> Path:
        """Write a kubeconfig for this cluster, readable by its owner only, and return its path.

        kubectl, like all of client-go, sends a token over TLS only: it can use a cluster without `token`.
        """
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "devcluster", "cluster": {"server": self.url}}],
            "users": [{"name": "developer", "user": {"token": self._token} if self._token else {}}],
            "contexts": [
                {
                    "name": "devcluster",
                    "context": {"cluster": "devcluster", "user": "developer", "namespace": namespace},
                }
            ],
            "current-context": "devcluster",
        }
        # JSON is YAML; the file may hold a token.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(config, file, indent=2)
            file.write("\n")
        return path

    def create_crd(self, manifest: Mapping[str, Any]) -> None:
        """Create a CustomResourceDefinition, or bring the one of its name up to date. Raises ApiError (422)."""
        _, handlers = self._running()
        value = _copied(manifest)
        name = value["metadata"]["name"]
        options = WriteOptions(field_validation="Strict")
        try:
            current = json.loads(handlers.operations.get(CRDS, "", name))
        except ApiError as error:
            if error.code != 404:
                raise
            handlers.operations.create(CRDS, "", Draft(value), options=options)
            return
        version = current["metadata"]["resourceVersion"]
        value["metadata"] = {**value["metadata"], "resourceVersion": version}
        handlers.operations.replace(CRDS, "", name, draft=Draft(value), options=options)

    def seed(self, resources: Iterable[Mapping[str, Any]], namespace: str = "default") -> int:
        """Create custom resources in bulk, with strict validation, and return how many.

        Those without a namespace go to `namespace`. Each run of resources of one type is one transaction. Raises
        ApiError when one would be refused: nothing of its run is written then.
        """
        _, handlers = self._running()
        options = WriteOptions(field_validation="Strict")
        count = 0
        for (api_version, kind), run in groupby(resources, key=lambda given: (given["apiVersion"], given["kind"])):
            resource = self._catalog.of_object(api_version, kind) if self._catalog else None
            if resource is None:
                raise ApiError(404, "NotFound", message=f"no resource type for {kind} in {api_version}")
            items = ((_namespace_of(given, namespace, resource), _copied(given)) for given in run)
            count += handlers.operations.create_many(resource, items, options=options)
        return count

    def _running(self) -> tuple[Store, ResourceHandlers]:
        if self._store is None or self._handlers is None:
            raise RuntimeError("the embedded cluster is not running")
        return self._store, self._handlers


def _namespace_of(value: Mapping[str, Any], default: str, resource: Resource) -> str:
    return ((value.get("metadata") or {}).get("namespace") or default) if resource.namespaced else ""


def _copied(value: Mapping[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = orjson.loads(orjson.dumps(value))
    return copied


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""The composition root: builds what the service is made of, owns its tasks and the order of start and stop.

Start: the ops port first, so that probes have an answer; then the API, which says 503 until the index is filled; the
tasks last, so that a port that is not to be had is all there is to say.
Stop: not ready; no new connections; requests in flight finish; writes that outlived their callers do; the tasks end.
"""

import asyncio
import errno
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog
from aiohttp import web

from segsvc.auth.jwks import KeySource, Timing
from segsvc.auth.verifier import TokenVerifier
from segsvc.cluster.api import connect
from segsvc.cluster.collector import collector_at_ease, tend_collector
from segsvc.cluster.connection import default_namespace
from segsvc.cluster.reflector import Reflector
from segsvc.cluster.writer import WRITE_SECONDS, SegmentWriter
from segsvc.domain.ids import SUFFIX_ALPHABET, SUFFIX_LENGTH
from segsvc.index.store import SegmentStore
from segsvc.ops.application import Probes, create_ops_application
from segsvc.service import SegmentService
from segsvc.settings import Settings
from segsvc.telemetry import Metrics
from segsvc.web.api import Api
from segsvc.web.application import MAX_HEADER, create_application
from segsvc.web.bounds import DEFAULT_BOUNDS, Bounds, Keeper
from segsvc.web.server import KEEPER, Runner

GRACE = 5.0
"""How long requests in flight have to come in when the process is told to stop, in seconds.

aiohttp then has those break off whose bodies are still on their way, and waits as long again for the answers.
"""
OPS_GRACE = 0.25
"""The same for the ops port, whose answers take no time."""
STOP_SECONDS = max(2 * GRACE, GRACE + WRITE_SECONDS) + 2 * OPS_GRACE
"""The longest that a stop takes, whatever callers do: a write that came in at the last moment gets all of its time."""
KEY_TIMING = Timing()
"""How often the issuer's keys are fetched, and how long anyone waits for them."""

OPS_CONNECTIONS = 64
"""How many connections the ops port has at a time: its callers are few, and descriptors are the API's."""
RESERVED_DESCRIPTORS = 256
"""How many of the process's file descriptors callers' connections leave to the cluster, the issuer and the ops port."""

_log = structlog.get_logger()


class TaskEnded(Exception):
    """A task that must run for as long as the process does has ended."""


class CannotListen(Exception):
    """A host or port cannot be had; ``setting`` is the field of Settings that says which, the text says why."""

    def __init__(self, setting: str, reason: str) -> None:
        self.setting = setting
        super().__init__(reason)


class Application:
    """The running service; made by `run`."""

    def __init__(self, store: SegmentStore, reflector: Reflector, metrics: Metrics) -> None:
        self._store = store
        self._reflector = reflector
        self._metrics = metrics
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._stopping = False
        self._writes_end = 0.0
        self.url = ""
        self.ops_url = ""

    async def ended(self) -> None:
        """Wait for as long as all is well. Raises TaskEnded when a task ends unasked, after telling why."""
        done, _ = await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = None if task.cancelled() else task.exception()
            _log.critical("task_ended", task=task.get_name(), cancelled=task.cancelled(), exc_info=error)
        raise TaskEnded("; ".join(self._dead()))

    def supervise(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        """Run a task that must not end before the process does."""
        self._tasks[name] = asyncio.create_task(work, name=name)

    def begin_stop(self, patience: float) -> None:
        """Be ready no longer; writes under way have this many seconds."""
        self._stopping = True
        self._writes_end = time.monotonic() + patience

    async def drain(self, service: SegmentService) -> None:
        """Wait for the writes under way, for as long as they have."""
        await service.drain(max(self._writes_end - time.monotonic(), 0))

    async def stop_tasks(self) -> None:
        """Cancel the tasks and wait for them."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def probes(self) -> Probes:
        """Return what the ops port asks."""
        return Probes(alive=self._dead, ready=self._unready, refresh=self._refresh)

    def _dead(self) -> Sequence[str]:
        return [f"task {name} has ended" for name, task in self._tasks.items() if task.done()]

    def _unready(self) -> Sequence[str]:
        if self._stopping:
            return ["shutting down"]
        if not self._store.synced:
            return [f"the index has not been filled from the cluster yet; the reflector is {self._reflector.phase}"]
        return self._dead()

    def _refresh(self) -> None:
        self._metrics.tasks.set(len(asyncio.all_tasks()))
        self._metrics.segments.set(len(self._store))
        self._metrics.hidden.set(len(self._store.hidden))
        self._metrics.index_age.set(self._reflector.age())
        self._metrics.index_revision.set(self._store.revision)


@asynccontextmanager
async def run(
    settings: Settings, *, grace: float = GRACE, key_timing: Timing = KEY_TIMING, bounds: Bounds = DEFAULT_BOUNDS
) -> AsyncIterator[Application]:
    """Run the service until the context ends; see `GRACE`, `KEY_TIMING`, and for connections the settings.

    Raises ClusterConfigInvalid, CannotListen.
    """
    metrics = Metrics()
    store = SegmentStore()
    async with AsyncExitStack() as stack:
        namespace = settings.namespace or default_namespace(settings.kubeconfig)
        api = await stack.enter_async_context(connect(settings.kubeconfig, namespace=namespace, metrics=metrics))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=True)
        )
        keys = KeySource(
            settings.oidc_issuer,
            session,
            jwks_url=settings.oidc_jwks_url,
            timing=key_timing,
            on_fetch=lambda outcome: metrics.key_fetches.labels(outcome).inc(),
        )
        reflector = Reflector(api, store, metrics=metrics, collector=collector_at_ease)
        writer = SegmentWriter(api, store)
        application = Application(store, reflector, metrics)
        verifier = TokenVerifier(
            keys,
            issuer=settings.oidc_issuer,
            audience=settings.oidc_audience,
            client=settings.oidc_client,
            clock=time.time,
        )
        service = SegmentService(store, writer, metrics=metrics, now=_now, draw=_draw)
        handlers = Api(
            service=service,
            verifier=verifier,
            reflection=reflector,
            metrics=metrics,
            max_pagesize=settings.max_pagesize,
            trusted_hosts=settings.trusted_hosts,
            cors_origins=settings.cors_origins,
            bounds=replace(bounds, connections=_affordable(settings.max_connections)),
        )
        stack.push_async_callback(application.stop_tasks)
        ops = create_ops_application(application.probes(), metrics)
        ops[KEEPER] = lambda loop: Keeper(
            replace(bounds, connections=OPS_CONNECTIONS),
            loop,
            lambda reason: metrics.connections_dropped.labels(reason).inc(),
        )
        application.ops_url = await _listen(stack, ops, settings, port="ops_port", grace=OPS_GRACE)
        stack.push_async_callback(application.drain, service)
        application.url = await _listen(stack, create_application(handlers), settings, port="port", grace=grace)
        stack.callback(application.begin_stop, grace + WRITE_SECONDS)
        application.supervise("reflector", reflector.run())
        application.supervise("key_refresh", keys.run())
        application.supervise("collector", tend_collector())
        _log.info("started", url=application.url, ops_url=application.ops_url, namespace=namespace)
        yield application
        _log.info("stopping")
    _log.info("stopped")


async def _listen(
    stack: AsyncExitStack, application: web.Application, settings: Settings, *, port: str, grace: float
) -> str:
    """Serve an application until the stack unwinds; return its URL. ``port`` is the field that says where."""
    runner = Runner(
        application,
        access_log=None,
        shutdown_timeout=grace,
        max_field_size=MAX_HEADER,
        max_headers=256,
    )
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    host, number = settings.host, getattr(settings, port)
    try:
        await web.TCPSite(runner, host, number, backlog=1024).start()
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, None):
            raise CannotListen("host", f"is '{host}' but must be an address of this machine") from error
        raise CannotListen(port, f"is {number} but cannot be had: {os.strerror(error.errno)}") from error
    return _url(*runner.addresses[0][:2])


def _affordable(connections: int) -> int:
    """Return how many connections the process has descriptors for, at most so many."""
    try:
        import resource  # noqa: PLC0415 (not to be had on every platform)
    except ImportError:
        return connections
    wanted = connections + RESERVED_DESCRIPTORS
    had, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if had == resource.RLIM_INFINITY or had >= wanted:
        return connections
    with suppress(ValueError, OSError):
        had = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (had, most))
    had, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if had < wanted:
        _log.warning("few_descriptors", descriptors=had, wanted=wanted)
    return max(had - RESERVED_DESCRIPTORS, 1)


def _url(host: str, port: int) -> str:
    """Return where callers on this machine find what listens here (RFC 3986, section 3.2.2)."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not listened to)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _now() -> datetime:
    return datetime.now(UTC)


def _draw() -> str:
    return "".join(secrets.choice(SUFFIX_ALPHABET) for _ in range(SUFFIX_LENGTH))

"""What operators see: metrics, log set-up and trace ids. Imports nothing of segsvc."""

import asyncio
import atexit
import logging
import random
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("json", "console")

# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags; after 00 more may come
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)
_draws = random.Random()  # noqa: S311 (a trace id is no secret)

TRACE: ContextVar[str] = ContextVar("trace")
"""The trace id of the request that is being answered; each has a context of its own."""
CALLER: ContextVar[str | None] = ContextVar("caller", default=None)
"""The name of who sent it, once that is known."""


LOG_FAILURES = Counter("segsvc_log_failures", "Writes to the log that failed, and their lines with them", registry=None)
"""The process's own, as the log is; `Metrics` shows it."""


class Metrics:
    """Every metric of the process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.registry.register(LOG_FAILURES)
        self.requests = Histogram(
            "segsvc_http_request_duration_seconds",
            "Requests to the API, by method, route and status",
            ["method", "route", "status"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self._requests_by_label: dict[tuple[str, str, int], Histogram] = {}
        self.cluster_requests = Histogram(
            "segsvc_cluster_request_duration_seconds",
            "Calls to the Kubernetes API, by verb and outcome (ok, or the error's name)",
            ["verb", "outcome"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.writes = Counter(
            "segsvc_writes", "Creates, replaces and deletes, by outcome", ["verb", "outcome"], registry=self.registry
        )
        self.relists = Counter(
            "segsvc_relists", "Full lists taken in, by what made them necessary", ["reason"], registry=self.registry
        )
        self.watch_events = Counter("segsvc_watch_events", "Events of the watch", ["type"], registry=self.registry)
        self.watch_failures = Counter(
            "segsvc_watch_failures", "Lists and watches that ended badly, by how", ["reason"], registry=self.registry
        )
        self.incompatible_seen = Counter(
            "segsvc_incompatible_resources",
            "Versions of Segment resources met that hold no valid segment",
            registry=self.registry,
        )
        self.tasks = Gauge("segsvc_tasks", "Tasks of the event loop that have not ended", registry=self.registry)
        self.segments = Gauge("segsvc_segments", "Segments in the index", registry=self.registry)
        self.hidden = Gauge(
            "segsvc_hidden_resources",
            "Segment resources that are not shown: incompatible, or being deleted",
            registry=self.registry,
        )
        self.index_age = Gauge(
            "segsvc_index_age_seconds", "Seconds since the watch last proved alive", registry=self.registry
        )
        self.index_revision = Gauge(
            "segsvc_index_revision", "The resourceVersion that the index has reached", registry=self.registry
        )
        self.connections_dropped = Counter(
            "segsvc_connections_dropped",
            "Callers' connections ended for what they took up: crowded, slow_head, stalled or unsent",
            ["reason"],
            registry=self.registry,
        )
        self.key_fetches = Counter(
            "segsvc_key_fetches", "Fetches of the token issuer's keys, by outcome", ["outcome"], registry=self.registry
        )

    def observe_request(self, method: str, route: str, *, status: int, seconds: float) -> None:
        """Count a request to the API. There are few methods, routes and statuses: finding a series costs most."""
        label = (method, route, status)
        series = self._requests_by_label.get(label)
        if series is None:
            series = self._requests_by_label[label] = self.requests.labels(*label)
        series.observe(seconds)


def trace_id(traceparent: str | None) -> str:
    """Return the trace id of a ``traceparent`` header, or a new one where there is none that is valid."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return match[1] if match else f"{_draws.getrandbits(128) or 1:032x}"


class RequestLog:
    """The line that each request leaves: an event of structlog's, at a small part of its cost where the format is JSON.

    Lines of one turn of the event loop are written together at its end, or before any other line.
    """

    def __init__(self) -> None:
        self.enabled = True
        self._stream: TextIO | None = None
        self._pending: list[dict[str, Any]] = []

    def configure(self, stream: TextIO | None, *, enabled: bool) -> None:
        """Write JSON to a stream, or let structlog do it in its way where there is none."""
        self.flush()
        self._stream, self.enabled = stream, enabled

    def line(self, fields: dict[str, Any]) -> None:
        """Write a line of these fields, unless the level leaves it out."""
        if not self.enabled:
            return
        if self._stream is None:
            structlog.get_logger().info("request", **fields)
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(fields)

    def flush(self) -> None:
        """Write what is pending."""
        if self._pending and self._stream is not None:
            pending, self._pending = self._pending, []
            common = {"event": "request", "level": "info", "timestamp": datetime.now(UTC)}
            end = b"," + orjson.dumps(common, option=_LINE)[1:]
            lines = [orjson.dumps(fields)[:-1] + end for fields in pending]
            _put(self._stream, b"".join(lines).decode())


_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z

request_log = RequestLog()
"""The process's own, as structlog's configuration is; `configure_logging` sets both up."""
atexit.register(request_log.flush)


def _put(stream: TextIO, text: str) -> None:
    """Write to the log, if that can be done: no answer is to depend on it."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):  # nobody reads it, the disk is full; it has been closed
        LOG_FAILURES.inc()


class _Stream:
    """A stream for structlog that keeps its lines behind the requests' pending ones."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        request_log.flush()
        _put(self._stream, text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: what is written is flushed."""


def configure_logging(level: str, format_: str) -> None:
    """Send structlog's events, and the standard library's warnings and errors, to stderr, one line each.

    Tracebacks come without the frames' variables: those hold tokens, bodies and values of ``env``.

    level: one of `LOG_LEVELS`; `audit_logger` does not heed it. format_: one of `LOG_FORMATS`.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        _add_trace_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if format_ == "console":
        plain = structlog.dev.plain_traceback
        render: list[Any] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    else:
        structured = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        render = [
            structlog.processors.ExceptionRenderer(structured),
            structlog.processors.JSONRenderer(serializer=_serialise),
        ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(_Stream(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    request_log.configure(None if format_ == "console" else sys.stderr, enabled=threshold <= logging.INFO)
    handler = logging.StreamHandler(_Stream(sys.stderr))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[_strip_meta, *render])
    )
    # the libraries' debug logs hold whole bodies and tokens: never let them through
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)


def audit_logger() -> Any:
    """Return a logger whose lines are in the log at whatever level."""
    return structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET))


def _add_trace_id(_logger: Any, _method: str, event: Any) -> Any:
    trace = TRACE.get(None)
    if trace is not None:
        event.setdefault("trace_id", trace)
    return event


def _strip_meta(logger: Any, method: str, event: Any) -> Any:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(logger, method, event)


def _serialise(event: Any, **options: Any) -> str:
    return orjson.dumps(event, default=options.get("default"), option=orjson.OPT_NON_STR_KEYS).decode()

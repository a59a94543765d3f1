"""What surrounds every request: trace id, errors, CORS headers, one line in the log, one observation."""

from collections.abc import Mapping
from time import perf_counter
from typing import NamedTuple

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict, MultiMapping

from segsvc.auth.errors import TokenInvalid
from segsvc.cluster.errors import ClusterError
from segsvc.telemetry import CALLER, TRACE, Metrics, request_log, trace_id
from segsvc.web.askers import TRACEPARENT, Asker
from segsvc.web.cors import Cors
from segsvc.web.errors import HttpError, echo, from_exception, method_not_allowed, no_such_path
from segsvc.web.representation import accepts_gzip, represent
from segsvc.web.server import TRACE_HEADER

LOGGED_PARAMETERS = frozenset(
    {"pagesize", "offset", "search", "sort", "label", "export", "dryRun", "id", "minRevision", "action"}
)
"""The query parameters that there are. Others stay out of the log: some callers put their tokens there."""

_log = structlog.get_logger()


LIST, ITEM = "/segments", "/segments/{id}"
"""The routes, as log and metrics name them."""


class Shown(NamedTuple):
    """What log and metrics tell of where a request went: the route, the path, the known parameters."""

    route: str
    path: str
    query: Mapping[str, str]


def shown(route: str, path: str, query: MultiMapping[str]) -> Shown:
    """Return what log and metrics tell of a request to a route."""
    known = {name: echo(",".join(query.getall(name))) for name in query if name in LOGGED_PARAMETERS}
    return Shown(route, echo(path), known)


class Surroundings:
    """Surrounds the answering of requests."""

    def __init__(self, metrics: Metrics, cors: Cors) -> None:
        self._metrics = metrics
        self._cors = cors

    def middleware(self) -> Middleware:
        """Return what surrounds an application's handlers."""

        @web.middleware
        async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = perf_counter()
            trace = trace_id(request.headers.get(TRACEPARENT))
            TRACE.set(trace)
            response = self._cors.preflight(request)
            if response is None:
                try:
                    response = await handler(request)
                except web.HTTPException as error:
                    response = _error_response(request, _routing_error(request, error), trace)
                except Exception as error:  # noqa: BLE001 (the edge: whatever it is, the caller gets an answer)
                    response = _error_response(request, _answer_to(error), trace)
            response.headers[TRACE_HEADER] = trace
            if hdrs.EXPECT in request.headers and not request.content.is_eof():
                response.force_close()  # whoever was not invited to send a body need not send it
            self._cors.allow(request.headers, response.headers)
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else "none"
            self.leave_behind(
                request.method,
                shown(route, request.path, request.query),
                status=response.status,
                seconds=perf_counter() - began,
                caller=CALLER.get(),
                remote=request.remote,
                trace=trace,
            )
            return response

        return surround

    def begin(self, asker: Asker) -> tuple[str, bytes]:
        """Return the trace id of a request that is answered without the application, and the headers to answer with."""
        trace = trace_id(asker.traceparent)
        return trace, b"X-Trace-Id: %s\r\n%s" % (trace.encode(), asker.granted)

    def leave_behind(
        self,
        method: str,
        where: Shown,
        *,
        status: int,
        seconds: float,
        caller: str | None,
        remote: str | None,
        trace: str,
    ) -> None:
        """Leave a line in the log, and an observation."""
        # a caller may send any method; the metric knows those that there are
        self._metrics.observe_request(
            method if method in hdrs.METH_ALL else "other", where.route, status=status, seconds=seconds
        )
        request_log.line(
            {
                "method": method,
                "path": where.path,
                "query": where.query,
                "status": status,
                "duration_ms": int(seconds * 1e6) / 1000,
                "caller": caller,
                "remote": remote,
                "trace_id": trace,
            }
        )


def _answer_to(error: Exception) -> HttpError:
    answer = from_exception(error)
    if answer.status == 500:
        _log.error("unexpected_error", exc_info=error)
    elif isinstance(error, ClusterError):
        _log.warning("cluster_error", error=type(error).__name__, detail=str(error))
    elif isinstance(error, TokenInvalid):
        _log.info("token_refused", reason=error.reason)
    return answer


def _routing_error(request: web.Request, error: web.HTTPException) -> HttpError:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return method_not_allowed(request.method, ", ".join(sorted(error.allowed_methods)))
    if isinstance(error, web.HTTPNotFound):
        return no_such_path(request.path)
    return HttpError(error.status, "bad_header_value" if error.status < 500 else "unexpected_error", error.reason)


def _error_response(request: web.Request, answer: HttpError, trace: str) -> web.StreamResponse:
    body = answer.body(trace)
    headers = CIMultiDict(answer.headers)
    if not body:
        return web.Response(status=answer.status, headers=headers)
    rendered = represent(body, gzip=accepts_gzip(request.headers))
    headers.update(rendered.headers)
    return web.Response(status=answer.status, body=rendered.body, headers=headers)

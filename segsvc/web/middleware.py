"""What surrounds every request: trace id, errors, one line in the log, one observation, CORS headers."""

import time

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict

from segsvc.auth.errors import TokenInvalid
from segsvc.cluster.errors import ClusterError
from segsvc.telemetry import Metrics, trace_id
from segsvc.web.errors import HttpError, echo, from_exception, method_not_allowed, no_such_path
from segsvc.web.handlers import CALLER
from segsvc.web.representation import accepts_gzip, represent
from segsvc.web.server import TRACE_HEADER

LOGGED_PARAMETERS = (
    "pagesize", "offset", "search", "sort", "label", "export", "dryRun", "id", "minRevision", "action"
)  # fmt: skip
"""The query parameters that there are. Others stay out of the log: some callers put their tokens there."""

TRACE = web.RequestKey("trace", str)
"""The request's trace id."""

_log = structlog.get_logger()


def observing(metrics: Metrics) -> Middleware:
    """Give each request a trace id, and leave a line and an observation behind."""

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        trace = request[TRACE] = trace_id(request.headers.get("traceparent"))
        with structlog.contextvars.bound_contextvars(trace_id=trace):
            response = await handler(request)
            response.headers[TRACE_HEADER] = trace
            seconds = time.perf_counter() - began
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else "none"
            metrics.requests.labels(_method(request), route, response.status).observe(seconds)
            _log.info(
                "request",
                method=request.method,
                path=echo(request.path),
                query=_known_query(request),
                status=response.status,
                duration_ms=round(seconds * 1000, 3),
                caller=request.get(CALLER),
                remote=request.remote,
            )
            return response

    return observe


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give each error its answer."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _error_response(request, _routing_error(request, error))
    except Exception as error:  # noqa: BLE001 (the edge: whatever it is, the caller gets an answer)
        return _error_response(request, _answer_to(error))


def cors(origins: frozenset[str], exposed: str) -> Middleware:
    """Let browsers of these origins (``*``: all) call the API; a preflight is answered here, for it carries no token.

    https://fetch.spec.whatwg.org/#http-cors-protocol
    """

    @web.middleware
    async def allow(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        allowed = origin is not None and (origin in origins or "*" in origins)
        if allowed and request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            response: web.StreamResponse = web.Response(status=204)
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, HEAD, POST, PUT, DELETE"
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = (
                "Authorization, Authentication, Content-Type, If-Match, If-None-Match, traceparent, tracestate"
            )
            response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = "3600"
        else:
            response = await handler(request)
        varied = response.headers.get(hdrs.VARY)
        response.headers[hdrs.VARY] = f"{varied}, Origin" if varied else "Origin"
        if allowed and origin is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = exposed
        return response

    return allow


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


def _error_response(request: web.Request, answer: HttpError) -> web.StreamResponse:
    body = answer.body(request[TRACE])
    headers = CIMultiDict(answer.headers)
    if not body:
        return web.Response(status=answer.status, headers=headers)
    rendered = represent(body, gzip=accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")))
    headers.update(rendered.headers)
    return web.Response(status=answer.status, body=rendered.body, headers=headers)


def _known_query(request: web.Request) -> dict[str, str]:
    given = request.query
    return {name: echo(",".join(given.getall(name))) for name in LOGGED_PARAMETERS if name in given}


def _method(request: web.Request) -> str:
    # a caller may send any method; the metric knows those that there are
    return request.method if request.method in hdrs.METH_ALL else "other"

"""What runs an application: aiohttp's runner, but for requests that its parser refuses.

Those never reach the application and its middlewares. Here they get an error object as everyone else does, and a line
in the log; neither repeats any of what was sent, for that may be a token.
"""

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from segsvc.telemetry import trace_id
from segsvc.web.errors import HttpError, bad_header, unexpected

TRACE_HEADER = "X-Trace-Id"

_log = structlog.get_logger()


class Runner(web.AppRunner):
    """Runs an application; takes what `aiohttp.web.AppRunner` takes."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        # aiohttp has no public way to say which protocol its server speaks
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, **self._kwargs)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused, or what went wrong outside the application."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        trace = trace_id(None)
        if isinstance(exc, HttpProcessingError):
            error = _refusal(exc)
            _log.info("malformed_request", reason=type(exc).__name__, remote=request.remote, trace_id=trace)
        else:
            error = unexpected()
            _log.error("unexpected_error", exc_info=exc, trace_id=trace)
        response = web.Response(status=error.status, body=error.body(trace), content_type="application/json")
        response.headers[TRACE_HEADER] = trace
        response.force_close()
        return response


def _refusal(error: HttpProcessingError) -> HttpError:
    if isinstance(error, LineTooLong):
        return bad_header("The request line or a header is too long.")
    return bad_header("The request is no well-formed HTTP.")

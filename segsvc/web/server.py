"""What runs an application: aiohttp's runner, but for requests that are refused before the application sees them.

Those never reach its middlewares. Here they get an error object as everyone else does, and a line in the log; neither
repeats any of what was sent, for that may be a token.
"""

from typing import Any

import structlog
from aiohttp import EMPTY_PAYLOAD, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from segsvc.telemetry import trace_id
from segsvc.web.errors import HttpError, bad_header, unexpected

TRACE_HEADER = "X-Trace-Id"

MAX_HEAD = 96 * 1024
"""How many bytes all of a request's header fields may have together; so many, too, of trailers."""

_log = structlog.get_logger()


class HeadTooLarge(HttpProcessingError):
    """The header fields, or the trailers, are longer than `MAX_HEAD` together."""


class ExpectationUnknown(HttpProcessingError):
    """The header ``Expect`` wants something other than ``100-continue`` (RFC 9110, section 10.1.1)."""


class Runner(web.AppRunner):
    """Runs an application; takes what `aiohttp.web.AppRunner` takes. Bodies are never decompressed."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        # aiohttp has no public way to say which protocol its server speaks
        made = await super()._make_server()
        handler = _guarded(made.request_handler)
        return _Server(handler, request_factory=made.request_factory, **{**self._kwargs, "auto_decompress": False})


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(web.RequestHandler):
    __slots__ = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._parser = _BoundedParser(self._parser)  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Take in what comes; while stopping, the rest of a body that is being read, which aiohttp would drop."""
        request = self._current_request
        stopping = self._close or self._force_close
        if not stopping or request is None or request.content.is_eof():
            super().data_received(data)
            return
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]
        except HttpProcessingError:
            request.content.set_exception(web.RequestPayloadError("it cannot be read"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what was refused, or what went wrong outside the application."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        trace = trace_id(request.headers.get("traceparent"))
        if isinstance(exc, HttpProcessingError):
            error = _refusal(exc)
            _log.info(
                "malformed_request",
                reason=type(exc).__name__,
                status=error.status,
                remote=request.remote,
                trace_id=trace,
            )
        else:
            error = unexpected()
            _log.error("unexpected_error", exc_info=exc, trace_id=trace)
        response = web.Response(status=error.status, body=error.body(trace), content_type="application/json")
        response.headers[TRACE_HEADER] = trace
        response.force_close()
        return response

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Log what aiohttp does not expect, but for bodies that cannot be read: who wanted one has been told."""
        if not isinstance(options.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **options)


class _BoundedParser:
    """aiohttp's parser, which bounds each field and their number; that alone leaves anyone 16 MiB to fill.

    Counts what has come in since anything came of it, be it a request or some of a body: the beginning of a head, or
    trailers.
    """

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._payload: Any = EMPTY_PAYLOAD
        self._read = 0
        self._held = 0

    def feed_data(self, data: bytes) -> Any:
        """Do as aiohttp's does. Raises HttpProcessingError."""
        if self._held > MAX_HEAD:
            raise HeadTooLarge
        messages, upgraded, tail = self._parser.feed_data(data)
        if messages:
            self._payload = messages[-1][1]
        read = self._payload.total_bytes
        self._held = 0 if messages or read != self._read else self._held + len(data)
        self._read = read
        if self._held > MAX_HEAD:
            if not self._payload.is_eof():
                self._payload.set_exception(web.RequestPayloadError("its trailers are too long"))
            raise HeadTooLarge
        return messages, upgraded, tail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def _guarded(handler: Any) -> Any:
    """Refuse what no route could answer otherwise."""

    async def guarded(request: web.BaseRequest) -> web.StreamResponse:
        # the parser's count lets pass what came all at once
        if sum(len(name) + len(value) for name, value in request.raw_headers) > MAX_HEAD:
            raise HeadTooLarge
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPExpectationFailed:  # aiohttp's answer, before any middleware; of ours, none raises it
            raise ExpectationUnknown from None
        return response

    return guarded


def _refusal(error: HttpProcessingError) -> HttpError:
    match error:
        case HeadTooLarge():
            return bad_header(f"The request's headers are longer than {MAX_HEAD} bytes together.")
        case ExpectationUnknown():
            return bad_header("Header 'Expect' must be '100-continue'.", status=417)
        case LineTooLong():
            return bad_header("The request line or a header is too long.")
        case _:
            return bad_header("The request is no well-formed HTTP.")

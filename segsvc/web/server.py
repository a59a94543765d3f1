"""What runs an application: aiohttp's runner, but for requests that are answered before the application sees them.

Those that are refused never reach its middlewares. Here they get an error object as everyone else does, and a line in
the log; neither repeats any of what was sent, for that may be a token. What needs no waiting is answered in
the turn of the loop in which it came in.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import suppress
from functools import partial
from hashlib import sha256
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import structlog
from aiohttp import EMPTY_PAYLOAD, HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from multidict import MultiMapping

from segsvc.telemetry import trace_id
from segsvc.web.bounds import DEFAULT_BOUNDS, Keeper
from segsvc.web.errors import HttpError, bad_header, unexpected
from segsvc.web.parser import MAX_HEAD, PIECE, BoundedParser, HeadTooLarge, Messages
from segsvc.web.turns import Rounds

TRACE_HEADER = "X-Trace-Id"


class Fields(Protocol):
    """What the header fields of a request say."""

    @property
    def caller(self) -> Hashable:
        """Who sends them, as `FieldReader.known` tells it."""


class FieldReader(Protocol):
    """What of an application reads header fields."""

    def known(self, headers: MultiMapping[str]) -> Hashable | None:
        """Tell which caller they are from, if it has met that one before."""

    def read(self, headers: MultiMapping[str], key: bytes | None) -> Fields | None:
        """Read them; None where they are from a stranger, or the application is to see them itself.

        ``key``, if there is one, stands for all that they are, as they came in, and for nothing else.
        """

    def recall(self, key: bytes) -> Fields | None:
        """Return what `read` made of those that have this key, if that is at hand and still holds."""


FIELD_READER: web.AppKey[FieldReader] = web.AppKey("field_reader")
"""Without it, all callers are strangers."""

Steps = Iterator[int | bytes]
AtOnce = Callable[[str, str, Any, str | None], Steps]
AT_ONCE: web.AppKey[AtOnce] = web.AppKey("at_once")
"""What of an application answers GET and HEAD without waiting for anything, to callers who are known.

Takes the method, the target, what `FIELD_READER` made of the header fields, and the caller's address. Does it in three
steps: finds what is asked for, and yields how much there is to make, in bytes that are only to be put together; makes
the answer, in the same turn of the loop, and yields all of it as it is to be sent; and once it is sent, leaves behind
what is to be told of it. An end before that, or an exception, leaves the request to the application, which is where all
that is wrong is told.

Each step is taken for all requests of a row: what they go through is in the processor's caches then, which between one
step and the next it is not.
"""

KEEPER: web.AppKey[Callable[[asyncio.AbstractEventLoop], Keeper]] = web.AppKey("keeper")
"""What makes that which keeps an application's connections within bounds; without it, they have the defaults."""

TO_ACCEPT, TO_READ = 256, 16
"""For how many turns of the loop a stop still takes in connections, of which a turn may take one, and then requests."""

ROW, ROW_SECONDS = 16, 0.001
"""How many requests are answered in a turn of the loop before their answers are sent, and for how long: so long to find
what they ask for, and as long to make the answers.

More would push each other out of the caches, and keep waiting who comes in meanwhile.
"""
_BYTES = 64 * 1024
"""So many bytes count as one more request: it takes time to put them together, and to send them."""
HANDLED = 2
"""How many requests that are left to the handlers begin in a turn of the loop.

Each takes as long as many of the others, so they have turns of their own.
"""

_READING = frozenset({"GET", "HEAD"})
# of a target only what stands in one as it is meant to (RFC 3986, section 3.3): all else is for the parser to judge
_FIRST_LINE = re.compile(rb"(GET|HEAD) (/[-/?:@!$&'()*+,;=.~%\w]*) HTTP/1\.1\r\n", re.ASCII)

_log = structlog.get_logger()


class _Held(NamedTuple):
    """A request that is held back."""

    fields: Fields
    method: str
    target: str
    request: RawRequestMessage | bytes
    """It, or as it came in, if it has not been parsed."""


class ExpectationUnknown(HttpProcessingError):
    """The header ``Expect`` wants something other than ``100-continue`` (RFC 9110, section 10.1.1)."""


class Runner(web.AppRunner):
    """Runs an application; takes what `aiohttp.web.AppRunner` takes. Bodies are never decompressed."""

    __slots__ = ()

    async def cleanup(self) -> None:
        """Stop as aiohttp does, but first take in who has connected, and hear them out.

        The kernel holds connections that have not been accepted yet, and requests that have not been read.
        """
        for site in self.sites:
            await _turns(TO_ACCEPT)
            await site.stop()
            await _turns(TO_READ)
        await super().cleanup()

    async def _make_server(self) -> web.Server:
        # aiohttp has no public way to say which protocol its server speaks
        made = await super()._make_server()

        reader, guarded = self.app.get(FIELD_READER, _STRANGERS), _guarded(made.request_handler)

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            # strangers have the turns of where they are: else each token made up would get turns of its own
            caller = reader.known(request.headers)
            await server.turn(caller if caller is not None else request.remote)
            response = await guarded(request)
            if isinstance(request.protocol, _Protocol):
                request.protocol.answer_size = response.content_length or 0
            return response

        server = _Server(
            handler,
            field_reader=reader,
            at_once=self.app.get(AT_ONCE),
            keeper=self.app.get(KEEPER, _default_keeper),
            request_factory=made.request_factory,
            **{**self._kwargs, "auto_decompress": False},
        )
        return server


class _Server(web.Server):
    """Answers, where it can, requests that came in with one turn of the event loop one behind the other.

    While a processor goes through the same code for one request after the other, it finds it in its caches. Between
    reading from one socket and from the next it does not, and takes half as long again.

    Callers take turns, and no more is done in a turn of the loop than a row's worth: one who asks on many connections,
    or for many things in a row, waits for its own answers and not the others for theirs.
    """

    def __init__(
        self,
        handler: Any,
        *,
        field_reader: FieldReader,
        at_once: AtOnce | None,
        keeper: Callable[[asyncio.AbstractEventLoop], Keeper],
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self.field_reader = field_reader
        self.at_once = at_once
        self.keeper = keeper(self._loop)
        self._open: dict[_Protocol, asyncio.Transport] = {}
        self._all_closed: asyncio.Future[None] | None = None
        self._held: Rounds[_Protocol] = Rounds()
        self._handled: Rounds[asyncio.Future[None]] = Rounds()
        self._is_due = False

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (aiohttp's)
        """End all connections, each when its answers have been sent: within twice the timeout, as requests have."""
        end = None if timeout is None else self._loop.time() + 2 * timeout
        await super().shutdown(timeout)
        if self._open:  # aiohttp takes an answer for sent that has been handed to the transport
            self._all_closed = self._loop.create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    await self._all_closed
        for transport in list(self._open.values()):
            transport.abort()

    def connection_made(self, handler: "_Protocol", transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take in a connection."""
        super().connection_made(handler, transport)
        self._open[handler] = transport
        everyone: Any = self._connections
        self.keeper.opened(handler, everyone)

    def connection_lost(self, handler: "_Protocol", exc: BaseException | None = None) -> None:  # type: ignore[override]
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self.keeper.closed(handler)
        self._open.pop(handler, None)
        if not self._open and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)

    def hold(self, protocol: "_Protocol", caller: Hashable, *, again: bool = False) -> None:
        """Have a connection answer its request when it is the caller's turn, or is so ``again``."""
        self._held.put(caller, protocol, first=again)
        self._come_round()

    async def turn(self, caller: Hashable) -> None:
        """Wait for the caller's turn to have a request handled."""
        turn = self._loop.create_future()
        self._handled.put(caller, turn)
        self._come_round()
        await turn

    def _come_round(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._go_round)

    def _go_round(self) -> None:
        """Do what is done in a turn of the loop."""
        self._is_due = False
        try:
            self._begin()
            self._answer()
        finally:  # whatever is the matter with one, the others wait for theirs
            if self._held or self._handled:
                self._come_round()

    def _begin(self) -> None:
        """Have some requests handled."""
        begun = 0
        while self._handled and begun < HANDLED:
            turn = self._handled.take()
            if not turn.done():
                turn.set_result(None)
                begun += 1

    def _answer(self) -> None:
        """Answer a row of requests."""
        callers = len(self._held)
        # where there are others, what they asked for is sent before anyone has a second turn
        most = ROW if callers == 1 else min(ROW, callers)
        found: deque[tuple[_Protocol, _Held, Steps]] = deque()
        made: list[tuple[_Protocol, Steps, bytes]] = []
        try:
            done, end = 0, perf_counter() + ROW_SECONDS
            while self._held and done < most and perf_counter() < end:
                protocol = self._held.take()
                begun = protocol.find()
                done += 1
                if begun is not None:
                    held, steps, size = begun
                    found.append((protocol, held, steps))
                    done += size // _BYTES
            done, end = 0, perf_counter() + ROW_SECONDS
            while found and done < most and perf_counter() < end:
                protocol, held, steps = found.popleft()
                answer = protocol.make(held, steps)
                done += 1
                if answer is not None:
                    made.append((protocol, steps, answer))
                    done += len(answer) // _BYTES
        finally:
            for protocol, held, _ in reversed(found):
                protocol.hold_again(held)
            for protocol, _, answer in made:
                protocol.send(answer)
            for protocol, steps, _ in made:
                protocol.tell_of(steps)


class _Protocol(web.RequestHandler):
    __slots__ = ("_answered", "_closing", "_held", "_key", "_server", "_sifts", "answer_size")

    def __init__(self, server: _Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._held: _Held | None = None
        self._key: bytes | None = None  # stands for what came in last behind its first line, and came between requests
        self._sifts = True
        self._closing = False
        self._answered: StreamReader = EMPTY_PAYLOAD  # the body of the request that was answered last
        self.answer_size = 0
        """How long the last answer is, which may not be sent yet."""
        self._parser = BoundedParser(self._parser, self)  # type: ignore[assignment]

    # --- within bounds; see `segsvc.web.bounds.Connection`

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, for the rest of one's head, or for that of a body that nobody wants."""
        return self._held is None and (self._waits or not self._answered.is_eof())

    @property
    def _waits(self) -> bool:
        """Whether it has nothing to do."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def active_at(self) -> float:
        """When it last was of any use, and an hour later."""
        return self._next_keepalive_close_time

    @property
    def unsent(self) -> int:
        """How many bytes of answers have not been sent yet."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    @property
    def held(self) -> int:
        """How many bytes of answers are kept in memory: all of an answer, until the last of it has been sent."""
        return max(self.unsent, self.answer_size)

    def drop(self) -> None:
        """End it now."""
        if self.transport is not None:
            self.transport.abort()

    def head_begins(self) -> None:
        """Note that some of a head has come in, and not all of it."""
        self._server.keeper.head_begins(self)

    def head_ends(self) -> None:
        """Note that the head has come in."""
        self._server.keeper.head_ends(self)

    def pause_writing(self) -> None:
        """Note that the caller does not read as fast as answers are sent."""
        super().pause_writing()
        self._server.keeper.stalls(self)

    def resume_writing(self) -> None:
        """Note that the caller has caught up."""
        super().resume_writing()
        self._server.keeper.flows(self)

    # --- answers

    def _recall(self, data: bytes) -> bool:
        """Hold a request back without parsing it, if its header fields have come in before; tell whether they have.

        To parse them takes as long as to find a page that is kept. Their key is a digest that nobody can forge, for
        what is kept under it speaks for a caller.
        """
        parser: Any = self._parser
        if self._server.at_once is None or not parser.between or self._held is not None or self._messages:
            return False
        first = _FIRST_LINE.match(data) if len(data) <= PIECE else None
        if first is None:
            return False
        self._key = sha256(data[first.end() :]).digest()
        fields = self._server.field_reader.recall(self._key)
        if fields is None:
            return False
        method, target = first.groups()
        self._hold(_Held(fields, method.decode(), target.decode(), data))
        return True

    def sift(self, messages: Messages, *, is_plain: bool) -> Messages:
        """Hold back a request that may be answered at once; return those that are for aiohttp, in their order.

        aiohttp makes a task, a request and a response for each, which costs more than answering a poll does. Left to it
        is whatever is not plain: a connection that has more to come or is to end, and a caller who is a stranger. Not
        so a connection that seems to be busy: aiohttp's last answer may have been read, and this request sent, before
        it is done with it. `find` looks again.
        """
        key, self._key = self._key, None
        if self._held is not None:
            self._release()
            return messages
        if not self._sifts:
            return messages
        message, payload = messages[0]
        if (
            is_plain
            and len(messages) == 1
            and message.method in _READING
            and payload is EMPTY_PAYLOAD
            and self._server.at_once is not None
            and not message.should_close
            and message.version == HttpVersion11
            and not self._messages
        ):
            parser: Any = self._parser
            fields = self._server.field_reader.read(message.headers, key if parser.between else None)
            if fields is not None:
                self._hold(_Held(fields, message.method, message.path, message))
                return []
        return messages

    def _hold(self, held: _Held, *, again: bool = False) -> None:
        self._held = held
        self._server.hold(self, held.fields.caller, again=again)

    def has_enough(self, more: int) -> bool:
        """Whether so many requests more are as many as may wait for their answers."""
        return len(self._messages) + more >= self._max_msg_queue_size

    def keep(self, messages: Messages) -> None:
        """Have the requests answered that came in before what cannot be read."""
        self._release()
        self._request_count += len(messages)
        self._messages.extend(messages)

    def find(self) -> tuple[_Held, Steps, int] | None:
        """Find what the request that is held back asks for; return it, what comes next, and how much there is to make.

        None where it is left to aiohttp after all, or has been.
        """
        held, self._held = self._held, None
        at_once, peer = self._server.at_once, self.peername
        if held is None or self.transport is None or at_once is None:
            return None
        if self._paused or not self._waits:
            self._leave(held)
            return None
        steps = at_once(held.method, held.target, held.fields, peer[0] if isinstance(peer, tuple) else peer)
        size = self._next(held, steps)
        return None if size is None else (held, steps, size)

    def make(self, held: _Held, steps: Steps) -> bytes | None:
        """Make the answer to what has been found, or leave the request to aiohttp after all."""
        answer: bytes | None = self._next(held, steps)
        return answer

    def _next(self, held: _Held, steps: Steps) -> Any:
        step = None
        try:
            step = next(steps, None)
        except Exception as error:  # noqa: BLE001 (an edge: the handlers answer this one, and others wait for theirs)
            self._tell(error)
        if step is None:
            self._leave(held)
        return step

    def hold_again(self, held: _Held) -> None:
        """Hold back a request that was found and not answered; it is found anew, for much may change meanwhile."""
        self._hold(held, again=True)

    def _leave(self, held: _Held) -> None:
        """Leave to aiohttp a request that was held back; what came in behind it has not been looked at yet."""
        if isinstance(held.request, bytes):
            self._sifts = False  # or it would be held back anew
            try:
                super().data_received(held.request)
            finally:
                self._sifts = True
            return
        self._messages.appendleft((held.request, EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._leave(held)

    def close(self) -> None:
        """Answer no further requests, but those that have come in; aiohttp would answer only the one under way."""
        self._release()
        self._closing = True
        if not self._messages:
            super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 (aiohttp's)
        """End within twice the timeout, as aiohttp does; until the first half is over, what waits is answered."""
        task = self._task_handler
        if self._messages and task is not None:
            await asyncio.wait([task], timeout=timeout)
            if not task.done() and timeout is not None:
                if self._current_request is not None:
                    self._current_request._cancel(asyncio.CancelledError())  # noqa: SLF001 (as aiohttp does by then)
                timeout /= 2
        await super().shutdown(timeout)

    def _process_keepalive(self) -> None:
        self._release()  # a connection with a request is not idle
        super()._process_keepalive()

    def send(self, answer: bytes) -> None:
        """Send an answer that `make` returned."""
        if self.transport is None:
            return
        try:
            self._parser.message_consumed()  # type: ignore[union-attr]
            self.answer_size = len(answer)
            self.transport.write(answer)
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        except Exception as error:  # noqa: BLE001 (an edge: others wait for their answers)
            self._tell(error)
            self.drop()

    def tell_of(self, steps: Steps) -> None:
        """Leave behind what is to be told of an answer that has been sent."""
        try:
            next(steps, None)
        except Exception as error:  # noqa: BLE001 (an edge: others' are to be told of, too)
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Log a defect, in a turn of its own: writing the log may fail too, and others wait for their answers."""
        self._loop.call_soon(partial(_log.error, "unexpected_error", exc_info=error))

    def data_received(self, data: bytes) -> None:
        """Take in what comes; once closing, only what belongs to requests that have come in, which aiohttp would drop.

        That is the rest of a body, and, where there is no new data, the requests that have been read but not parsed.
        """
        if not ((self._closing and data) or self._close or self._force_close):
            self._key = None
            if not self._recall(data):
                self._release()
                super().data_received(data)
            return
        parser: Any = self._parser
        if parser is not None and parser.in_body:
            body = parser.payload
            try:
                parser.feed_data(data)
            except HttpProcessingError:
                body.set_exception(web.RequestPayloadError("it cannot be read"))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer that has been made; the last one says that it is (RFC 9112, section 9.6)."""
        if self._force_close or (self._closing and not self._messages):
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        self._answered = request.content
        return finished

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


async def _turns(count: int) -> None:
    """Let the loop look that many times for what has come in."""
    for _ in range(count):
        await asyncio.sleep(0)


class _Strangers:
    def known(self, _: MultiMapping[str]) -> None:
        return None

    def read(self, _: MultiMapping[str], __: bytes | None) -> None:
        return None

    def recall(self, _: bytes) -> None:
        return None


_STRANGERS = _Strangers()


def _default_keeper(loop: asyncio.AbstractEventLoop) -> Keeper:
    return Keeper(DEFAULT_BOUNDS, loop, lambda _: None)


def _guarded(handler: Any) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
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

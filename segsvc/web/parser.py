"""Reading requests: aiohttp's parser, with bounds on what a connection may send before anything comes of it."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from aiohttp import EMPTY_PAYLOAD, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage

MAX_HEAD = 96 * 1024
"""How many bytes all of a request's header fields may have together; so many, too, of trailers."""

PIECE = 4096
"""How many bytes are parsed at a time. So many of a head that comes in with the end of a body escape its bounds."""

_END_OF_HEAD = b"\r\n\r\n"

Messages: TypeAlias = Sequence[tuple[RawRequestMessage, Any]]
"""Requests, each with its body."""


class HeadTooLarge(HttpProcessingError):
    """The header fields, or the trailers, are longer than `MAX_HEAD` together."""


class Connection(Protocol):
    """A connection, as far as its parser tells it of what comes in."""

    def head_begins(self) -> None:
        """Note that some of a head has come in, and not all of it."""

    def head_ends(self) -> None:
        """Note that the head has come in."""

    def sift(self, messages: Messages, *, is_plain: bool) -> Messages:
        """Return those of the requests that are to be told; ``is_plain`` where nothing is the matter with them."""

    def has_enough(self, more: int) -> bool:
        """Whether so many requests more are as many as may wait for their answers."""

    def keep(self, messages: Messages) -> None:
        """Have the requests answered that came in before what cannot be read."""


class BoundedParser:
    """aiohttp's parser, which bounds each field and their number; that alone leaves anyone 16 MiB to fill.

    Counts what has come in since anything came of it, be it a request or some of a body: the beginning of a head, or
    trailers. What comes in with the end of a body is not to be told from it, so no more than a `PIECE` is parsed at a
    time. What the connection's ``sift`` does not return of the requests is not told.
    """

    __slots__ = (
        "_connection",
        "_end",
        "_in_head",
        "_is_noted",
        "_parser",
        "_read",
        "_rest",
        "_unread",
        "between",
        "in_body",
        "message_consumed",
        "payload",
    )

    def __init__(self, parser: Any, connection: Connection) -> None:
        self._parser = parser
        self._connection = connection
        self.payload: Any = EMPTY_PAYLOAD
        """The body of the last request."""
        self._read = 0
        self._unread = 0
        self.in_body = False
        """Whether the last request's body has not come in to its end."""
        self.between = True
        """Whether what came in last ended with the end of a head, and what comes next begins with another."""
        self._in_head = self._is_noted = False
        self._end = b""
        self._rest = b""
        self.message_consumed = parser.message_consumed  # asked for with each request

    def feed_data(self, data: bytes) -> Any:
        """Do as aiohttp's does. Raises HttpProcessingError."""
        if len(data) > PIECE or self._rest:
            fed = self._feed_pieces(self._rest + data)
        else:
            fed = self._feed(data, (), is_plain=True)
        if self._in_head != self._is_noted:
            self._is_noted = self._in_head
            if self._in_head:
                self._connection.head_begins()
            else:
                self._connection.head_ends()
        return fed

    def _feed_pieces(self, data: bytes) -> Any:
        self._rest = b""
        taken: list[tuple[RawRequestMessage, Any]] = []
        for begin in range(0, len(data), PIECE):
            messages, upgraded, tail = self._feed(data[begin : begin + PIECE], taken, is_plain=not taken)
            taken += messages
            rest = begin + PIECE
            if upgraded:
                return taken, True, tail + data[rest:]
            if self._connection.has_enough(len(taken)):
                self._rest = data[rest:]
                break
        return taken, False, b""

    def _feed(self, data: bytes, before: Messages, *, is_plain: bool) -> Any:
        """Parse no more than a piece; ``before``: the requests that came with it and have not been told yet."""
        self.between = False
        try:
            if self._unread > MAX_HEAD:
                raise HeadTooLarge
            messages, upgraded, tail = self._parser.feed_data(data)
            end = data[-4:]
            self._end = end if len(end) == 4 else (self._end + end)[-4:]
            if not messages:
                self._count(data)
                return messages, upgraded, tail
        except HttpProcessingError:
            self._connection.keep(before)
            raise
        is_plain = is_plain and not upgraded and self._unread + len(data) <= MAX_HEAD
        self.payload = messages[-1][1]
        self._unread, self._read = 0, self.payload.total_bytes
        self.in_body = not self.payload.is_eof()
        self._in_head = self.payload is EMPTY_PAYLOAD and self._end != _END_OF_HEAD
        self.between = (
            self.payload is EMPTY_PAYLOAD
            and not self._in_head
            and not upgraded
            # else some may be kept back: here, or in aiohttp's parser
            and not self._connection.has_enough(len(before) + len(messages))
        )
        return self._connection.sift(messages, is_plain=is_plain), upgraded, tail

    def _count(self, data: bytes) -> None:
        """Count what no request came of. Raises HeadTooLarge."""
        if self.in_body:
            read = self.payload.total_bytes
            self.in_body = not self.payload.is_eof()
            self._unread = self._unread + len(data) if self.in_body and read == self._read else 0
            self._read = read
        elif self._in_head or data.strip(b"\r\n"):  # empty lines before a head are ignored (RFC 9112, section 2.2)
            self._in_head = True
            self._unread += len(data)
        if self._unread > MAX_HEAD:
            if self.in_body:
                self.payload.set_exception(web.RequestPayloadError("its trailers are too long"))
            raise HeadTooLarge

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

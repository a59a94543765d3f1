"""Answers to reads, written out beforehand: status line, headers and body as bytes.

Putting headers together takes longer than all else that answering a poll needs. What differs between two answers of the
same bytes, such as the date, is a few lines at the end of the head.
"""

from collections.abc import Mapping
from email.utils import formatdate
from time import time

from aiohttp import hdrs, web
from multidict import CIMultiDict

from segsvc.web.conditional import known_tags, not_modified
from segsvc.web.representation import JSON, Representation

_ABSENT_FROM_304 = (hdrs.CONTENT_TYPE, hdrs.CONTENT_ENCODING)


class Common:
    """The headers that all answers of a kind carry: Vary, in place of a representation's own, and none else of its."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers
        lines = "".join([f"{name}: {text}\r\n" for name, text in headers.items()])
        self.head = f"HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\n{lines}"
        self.head_304 = f"HTTP/1.1 304 Not Modified\r\n{lines}"


class Prepared:
    """A representation, ready to be sent any number of times."""

    __slots__ = ("_common", "_form", "_head", "_head_304", "_tag")

    def __init__(self, form: Representation, common: Common) -> None:
        """Take a representation and the headers that come with each of its kind."""
        self._form = form
        self._common = common
        self._tag = form.tag
        self._head = b""  # both when first asked for
        self._head_304 = b""

    @property
    def size(self) -> int:
        """About how many bytes it takes to keep: the headers stand in the representation and in both heads."""
        return self._form.size + 3 * len(self._form.lines) + 4096

    @property
    def digest(self) -> bytes | None:
        """What stands for what it says."""
        return self._form.digest

    def is_known(self, tags: str | None) -> bool:
        """Tell whether it is what a caller has who says so, as `known_tags` has it."""
        if tags is None or self._form.digest is None:
            return False
        return tags == self._tag or not_modified(tags, self._form.digest)

    def response(self, request: web.BaseRequest, headers: Mapping[str, str]) -> web.Response:
        """Answer a GET or HEAD in aiohttp's way, with more headers."""
        whole = CIMultiDict({**self._form.headers, **self._common.headers})
        whole.update(headers)
        if self.is_known(known_tags(request.headers)):
            for name in _ABSENT_FROM_304:
                whole.pop(name, None)
            return web.Response(status=304, headers=whole)
        return web.Response(body=self._form.body, headers=whole)

    def written(self, method: str, tags: str | None, lines: bytes) -> tuple[int, bytes]:
        """Return the status and the bytes of the answer to a GET or HEAD of a caller who has what `known_tags` says.

        lines: more headers, each with its line break.
        """
        if self.is_known(tags):
            if not self._head_304:
                self._head_304 = f"{self._common.head_304}ETag: {self._tag}\r\n{self._form.lines}".encode()
            return 304, b"%s%s%s" % (self._head_304, lines, dated())
        if not self._head:
            self._head = self._head_200().encode()
        head = b"%s%s%s" % (self._head, lines, dated())
        return 200, head if method == hdrs.METH_HEAD else self._form.behind(head)

    def _head_200(self) -> str:
        encoding = "Content-Encoding: gzip\r\n" if self._form.is_compressed else ""
        tag = "" if self._tag is None else f"ETag: {self._tag}\r\n"
        return f"{self._common.head}{encoding}{tag}{self._form.lines}Content-Length: {self._form.size}\r\n"


class _Date:
    """The Date header, which changes once a second (RFC 9110, section 6.6.1), and the empty line behind it."""

    def __init__(self) -> None:
        self._second = -1  # no second of a clock that begins with the epoch
        self._line = b""

    def __call__(self) -> bytes:
        second = int(time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n\r\n".encode()
        return self._line


dated = _Date()
"""What ends the head of an answer that is sent now."""

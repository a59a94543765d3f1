"""Answers to reads, written out beforehand: status line, headers and body as bytes.

Putting headers together takes longer than all else that answering a poll needs. What differs between two answers of the
same bytes, such as the date, is a few lines at the end of the head.
"""

from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from time import time

from aiohttp import hdrs, web
from multidict import CIMultiDict, MultiMapping

from segsvc.web.conditional import not_modified
from segsvc.web.representation import Representation

_ABSENT_FROM_304 = frozenset({hdrs.CONTENT_TYPE, hdrs.CONTENT_ENCODING})


class Prepared:
    """A representation, ready to be sent any number of times."""

    __slots__ = ("_form", "_head", "_head_304", "_headers", "_tag")

    def __init__(self, form: Representation, headers: Mapping[str, str]) -> None:
        """Take a representation and the headers that come with each of its kind."""
        self._form = form
        self._headers = {**form.headers, **headers}
        self._tag = form.headers.get("ETag")
        self._head = b""  # both when first asked for
        self._head_304 = b""

    @property
    def size(self) -> int:
        """About how many bytes it takes to keep."""
        return len(self._form.body) + 4096

    @property
    def digest(self) -> bytes | None:
        """What stands for what it says."""
        return self._form.digest

    def is_known(self, asked: MultiMapping[str]) -> bool:
        """Tell whether whoever sends these headers has it already."""
        if hdrs.IF_NONE_MATCH not in asked or self._form.digest is None:
            return False
        return asked[hdrs.IF_NONE_MATCH] == self._tag or not_modified(asked, self._form.digest)

    def response(self, request: web.BaseRequest, headers: Mapping[str, str]) -> web.Response:
        """Answer a GET or HEAD in aiohttp's way, with more headers."""
        whole = CIMultiDict(self._headers)
        whole.update(headers)
        if self.is_known(request.headers):
            for name in _ABSENT_FROM_304:
                whole.pop(name, None)
            return web.Response(status=304, headers=whole)
        return web.Response(body=self._form.body, headers=whole)

    def written(self, method: str, asked: MultiMapping[str], lines: bytes) -> tuple[int, bytes]:
        """Return the status and the bytes of the answer to a GET or HEAD with these headers.

        lines: more headers, each with its line break.
        """
        if self.is_known(asked):
            if not self._head_304:
                kept = {name: text for name, text in self._headers.items() if name not in _ABSENT_FROM_304}
                self._head_304 = _head(HTTPStatus.NOT_MODIFIED, kept)
            return 304, b"%s%s%s" % (self._head_304, lines, dated())
        if not self._head:
            self._head = _head(HTTPStatus.OK, {**self._headers, hdrs.CONTENT_LENGTH: str(len(self._form.body))})
        return 200, b"%s%s%s%s" % (self._head, lines, dated(), b"" if method == hdrs.METH_HEAD else self._form.body)


class _Date:
    """The Date header, which changes once a second (RFC 9110, section 6.6.1), and the empty line behind it."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def __call__(self) -> bytes:
        second = int(time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n\r\n".encode()
        return self._line


dated = _Date()
"""What ends the head of an answer that is sent now."""


def _head(status: HTTPStatus, headers: Mapping[str, str]) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{''.join(lines)}".encode()

"""Request bodies: from bytes to one JSON object, refusing what JSON parsers differ about."""

import asyncio
import json
from itertools import chain
from typing import Any

import orjson
from aiohttp import HttpVersion11, StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import BaseRequest

from segsvc.domain.errors import InvalidParameters, Problem
from segsvc.web.errors import HttpError, bad_header, bad_parameters, echo, unavailable

MAX_BODY = 2**20
BODY_SECONDS = 30.0
"""How long a body may take to come in."""
BODIES_BUDGET = 64 * 2**20
"""How many bytes of bodies are held at a time that have not come in to their end."""
SMALL_BODY = 16 * 2**10
"""A body that is no longer comes in even then: most segments are smaller, and nobody is to keep others from writing."""
MAX_DEPTH = 32
MAX_VALUES = 2**17
"""How many values a body may hold. More fit into one, but not into a segment: annotations have 256 KiB in all, and the
names in ``env`` are all different. To look at each takes time, in which everyone else waits."""


async def heed_expectation(request: BaseRequest) -> None:
    """Refuse what ``Expect`` may not say; a route's ``expect_handler``. Who expects a 100 has it of `json_object`.

    Raises HTTPExpectationFailed.
    """
    if request.version == HttpVersion11 and request.headers[hdrs.EXPECT].lower() != "100-continue":
        raise web.HTTPExpectationFailed


async def json_object(request: BaseRequest) -> dict[str, Any]:
    """Read the request's body; a caller who waits to be invited to send it (RFC 9110, section 10.1.1) is only now.

    It must be ``application/json``, not compressed (415), at most `MAX_BODY` bytes (413), and one JSON object
    (RFC 8259) in UTF-8 without duplicate keys, NaN or infinities, nested at most `MAX_DEPTH` deep and of at most
    `MAX_VALUES` values (400).
    Raises HttpError, InvalidParameters.
    """
    _check_content_type(request)
    _check_content_coding(request)
    return parse(await _read(request))


def parse(body: bytes) -> dict[str, Any]:
    """Parse the bytes of a body. Raises InvalidParameters."""
    if not body.strip():
        raise _bad("must not be empty")
    outside = _outside_strings(body)
    if sum(map(outside.count, (b",", b"[", b"{"))) > MAX_VALUES:  # where values begin
        raise _bad(f"must not hold more than {MAX_VALUES} values")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _bad(f"is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise _bad("must be a JSON object")
    if _keys(document) != outside.count(b":"):  # orjson keeps the last of equal keys without a word
        json.loads(body, object_pairs_hook=_refuse_duplicates, parse_int=len, parse_float=len)
    return document


def _check_content_type(request: BaseRequest) -> None:
    if request.content_type != "application/json" or "Content-Type" not in request.headers:
        sent = request.headers.get("Content-Type")
        told = f"but is '{echo(sent)}'" if sent is not None else "but is missing"
        raise bad_header(f"Header 'Content-Type' must be 'application/json' {told}.", status=415)
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise bad_header("Header 'Content-Type' must not name a charset other than utf-8.", status=415)


def _check_content_coding(request: BaseRequest) -> None:
    codings = ",".join(request.headers.getall("Content-Encoding", []))
    if any(coding.strip().lower() not in ("", "identity") for coding in codings.split(",")):
        # https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3: the answer tells what would be taken
        message = f"Header 'Content-Encoding' must be 'identity' or missing but is '{echo(codings)}'."
        raise HttpError(415, "bad_header_value", message, {"Accept-Encoding": "identity"})


class _Coming:
    """How many bytes have come in of bodies that are still coming in, all of the process's."""

    def __init__(self) -> None:
        self.size = 0


_coming = _Coming()


async def _read(request: BaseRequest) -> bytes:
    if request.content_length is not None and request.content_length > MAX_BODY:
        raise _too_large()
    content: StreamReader = request.content
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            await _invite(request)
            async for chunk in content.iter_any():
                size += len(chunk)
                _coming.size += len(chunk)
                if size > MAX_BODY:
                    raise _too_large()
                if _coming.size > BODIES_BUDGET and size > SMALL_BODY:
                    raise unavailable("Too many bodies are coming in.", None)
                chunks.append(chunk)
    except TimeoutError:
        problem = Problem("body", f"must come in within {BODY_SECONDS:g} seconds")
        raise bad_parameters([problem], status=408) from None
    except asyncio.CancelledError as error:
        if content.exception() is not error:  # then it is the task that ends
            raise
        # aiohttp has a body that takes longer than a stop may fail so; there is time to say why
        raise unavailable("The service is stopping.", None) from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        # broken chunks, or a caller who left: then the answer is for the log alone
        raise _bad("could not be read to its end") from None
    finally:
        _coming.size -= size
    return b"".join(chunks)


async def _invite(request: BaseRequest) -> None:
    if request.headers.get(hdrs.EXPECT) and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # what counts is the answer, of which nothing has been sent


def _too_large() -> HttpError:
    return bad_parameters([Problem("body", f"must not be larger than {MAX_BODY} bytes")], status=413)


def _bad(reason: str) -> InvalidParameters:
    return InvalidParameters([Problem("body", reason)])


def _outside_strings(body: bytes) -> bytes:
    """Return what stands outside the strings of a text that is JSON, and something or other for one that is not."""
    return b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def _keys(document: dict[str, Any]) -> int:
    """Return how many keys all objects have together. Raises InvalidParameters for what is nested too deep."""
    keys = 0
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        objects = [value for value in level if type(value) is dict]
        keys += sum(map(len, objects))
        members = chain.from_iterable(value.values() if type(value) is dict else value for value in level)
        level = [member for member in members if type(member) is dict or type(member) is list]
        if not level:
            return keys
    raise _bad(f"must not be nested deeper than {MAX_DEPTH}")


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) == len(pairs):
        return
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _bad(f"has the key '{echo(key)}' twice in one object")
        seen.add(key)

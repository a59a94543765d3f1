"""What the service says, and what it logs, about requests that are refused before anything is done for them."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from segsvc.web.body import MAX_BODY
from segsvc.web.surroundings import LOGGED_PARAMETERS
from tests.api.bodies import body, unique
from tests.api.client import raw, request_bytes
from tests.api.test_process import ONE_CLUSTER, serving, settings
from tests.api.waiting import PATIENCE, until

if TYPE_CHECKING:
    import aiohttp

    from segsvc.devcluster.issuer import TokenIssuer
    from tests.api.client import Client
    from tests.api.conftest import Deployment

__all__ = ["settings"]

KIB = 1024
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")
JSON = [("Content-Type", "application/json")]
LONG = ("X-Long", "x" * 40 * KIB)


class TestHeadersAltogether:
    """96 KiB, whatever the number of fields."""

    async def test_one_long_field_is_no_problem(self, service: Deployment) -> None:
        answer = await raw(service.url, request_bytes("GET", "/segments", [("X-Long", "x" * 63 * KIB)]))
        assert answer.status == 401

    @pytest.mark.parametrize("path", ["/segments", "/nowhere"])
    async def test_more_than_that_is_400(self, service: Deployment, path: str) -> None:
        answer = await raw(service.url, request_bytes("GET", path, [LONG] * 3))
        assert answer.status == 400
        assert answer.json["type"] == "bad_header_value"
        assert "98304" in answer.json["message"]

    async def test_many_short_fields_count_as_well(self, service: Deployment) -> None:
        answer = await raw(service.url, request_bytes("GET", "/segments", [("X-Short", "x" * 500)] * 220))
        assert answer.status == 400
        assert answer.json["type"] == "bad_header_value"

    async def test_nobody_waits_for_the_end_of_what_is_too_long(self, service: Deployment) -> None:
        unfinished = request_bytes("GET", "/segments", [LONG] * 3).removesuffix(b"\r\n")
        answer = await raw(service.url, unfinished)
        assert answer.status == 400
        assert "98304" in answer.json["message"]

    async def test_trailers_are_no_way_round(self, service: Deployment) -> None:
        headers = [
            ("Authorization", f"Bearer {service.editor.token}"),
            ("Content-Type", "application/json"),
            ("Transfer-Encoding", "chunked"),
        ]
        unfinished = b"2\r\n{}\r\n0\r\n" + b"X-Long: %s\r\n" % LONG[1].encode() * 12
        answer = await raw(service.url, request_bytes("POST", "/segments", headers, unfinished))
        assert answer.status == 400

    async def test_bodies_do_not_count(self, editor: Client) -> None:
        sent = json.dumps(body()).encode() + b" " * 500 * KIB
        assert (await editor.request("POST", "/segments", body=sent)).status == 200

    async def test_requests_in_a_row_do_not_add_up(self, service: Deployment) -> None:
        one = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n" % LONG[1].encode()
        answer = await raw(service.url, one * 30)
        assert answer.status == 404


class TestContentCodings:
    """Bodies come as they are."""

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "x-unknown", "identity, gzip"])
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_any_coding_is_415(self, editor: Client, method: str, coding: str) -> None:
        sent = json.dumps(body()).encode()
        if coding == "gzip":
            sent = gzip.compress(sent)
        answer = await editor.request(method, "/segments/some-segment", body=sent, headers={"Content-Encoding": coding})
        assert answer.status == 415
        assert answer.json["type"] == "bad_header_value"
        assert "Content-Encoding" in answer.json["message"]
        assert answer.headers["Accept-Encoding"] == "identity"

    @pytest.mark.parametrize("coding", ["identity", "Identity", ""])
    async def test_none_is_none(self, editor: Client, coding: str) -> None:
        answer = await editor.create(body(), unique(), headers={"Content-Encoding": coding})
        assert answer.status == 200


class TestExpectations:
    """100 for a body that will be read, 417 for what is not known."""

    @pytest.mark.parametrize("path", ["/segments", "/segments/some-segment", "/openapi.json", "/nowhere"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_an_unknown_one_is_refused(self, service: Deployment, method: str, path: str) -> None:
        answer = await raw(service.url, request_bytes(method, path, [("Expect", "a-secret"), TRACEPARENT]))
        assert answer.status == 417
        assert answer.json["type"] == "bad_header_value"
        assert answer.json["traceId"] == answer.headers["X-Trace-Id"] == TRACE
        assert answer.headers["Content-Type"].startswith("application/json")

    @ONE_CLUSTER
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_a_client_that_expects_a_100_gets_one_before_it_sends(self, service: Deployment, method: str) -> None:
        answer = await raw(service.url, expecting(method, [*JSON, authorised(service), ("Content-Length", "2")]))
        assert answer.status == 100

    @ONE_CLUSTER
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    @pytest.mark.parametrize(
        ("status", "headers", "has_token"),
        [
            (401, [("Content-Length", "2")], False),
            (413, [("Content-Length", str(MAX_BODY + 1))], True),
            (415, [("Content-Length", "2"), ("Content-Encoding", "gzip")], True),
        ],
    )
    async def test_nobody_is_invited_to_send_what_is_refused(
        self, service: Deployment, method: str, status: int, headers: list[tuple[str, str]], has_token: bool
    ) -> None:
        credentials = [authorised(service)] if has_token else []
        answer = await raw(service.url, expecting(method, [*JSON, *credentials, *headers]))
        assert answer.status == status
        assert answer.headers["Connection"] == "close"

    @ONE_CLUSTER
    async def test_an_empty_expectation_is_none(self, service: Deployment) -> None:
        headers = [*JSON, authorised(service), ("Expect", ""), ("Content-Length", "2")]
        answer = await raw(service.url, request_bytes("POST", "/segments", headers, b"{}"))
        assert answer.status == 400

    @ONE_CLUSTER
    async def test_a_body_that_was_invited_leaves_the_connection_open(self, service: Deployment) -> None:
        sent = json.dumps(body()).encode()
        address = urlsplit(service.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        async with asyncio.timeout(PATIENCE):
            for _ in range(2):
                writer.write(expecting("POST", [*JSON, authorised(service), ("Content-Length", str(len(sent)))]))
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
                writer.write(sent)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
        writer.close()
        await writer.wait_closed()


def expecting(method: str, headers: list[tuple[str, str]]) -> bytes:
    request = request_bytes(method, f"/segments/{unique()}", [("Expect", "100-Continue"), *headers])
    return request.replace(b"Connection: close\r\n", b"")


def authorised(service: Deployment) -> tuple[str, str]:
    return "Authorization", f"Bearer {service.editor.token}"


ANONYMOUS = (
    ([("Content-Encoding", "gzip"), ("Content-Length", "2")], b"{}"),
    ([("Content-Encoding", "gzip"), ("Content-Length", "8"), ("Authorization", "Bearer a-secret")], b"a-secret"),
    ([("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")], b"8\r\na-secret\r\n0\r\n\r\n"),
    ([("Content-Encoding", "br"), ("Content-Length", "8")], b"a-secret"),
    ([("Transfer-Encoding", "chunked")], b"a-secret\r\n{}\r\n"),
    ([("Transfer-Encoding", "chunked")], b"2\r\n{}a-secret\r\n"),
    ([("Transfer-Encoding", "chunked")], b"2\r\n{}\r\n0\r\n" + b"X-Long: %s\r\n" % (b"a-secret" * 5 * KIB) * 3),
    ([("Expect", "a-secret")], b""),
    ([("X-Long", "a-secret" * 5 * KIB)] * 3, b""),
    ([("X-Long", "a-secret" * 9 * KIB)], b""),
)


@ONE_CLUSTER
async def test_garbage_without_a_token_is_one_line_in_the_log_at_info_that_repeats_nothing(
    settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession
) -> None:
    async with serving(settings, issuer, http) as served:
        await until(served.is_ready)
        for headers, content in ANONYMOUS:
            await raw(served.url, request_bytes("POST", "/segments", headers, content))
        await raw(served.url, request_bytes("GET", "/segments?access_token=a-secret"))
        await raw(served.url, b"a-secret\r\n\r\n")
        served.process.tell(signal.SIGTERM)
        assert await served.process.ended() == 0
    events = served.process.events
    assert {event["level"] for event in events} == {"info"}
    assert len([event for event in events if event["event"] in {"request", "malformed_request"}]) == len(ANONYMOUS) + 2
    assert "a-secret" not in "".join(served.process.err)


@ONE_CLUSTER
async def test_of_a_query_the_log_has_the_parameters_that_there_are_and_of_texts_the_beginning(
    settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession
) -> None:
    async with serving(settings, issuer, http) as served:
        await until(served.is_ready)
        for target in (
            "/segments?label=a&access_token=a-secret&label=b&search=%C3%A9&pagesize=3",
            "/segments?search=" + "x" * 5000,
            "/segments/" + "x" * 5000 + "?a-secret",
            "/segments/%ff?search=%ff",
        ):
            await served.editor.get(target)
        served.process.tell(signal.SIGTERM)
        assert await served.process.ended() == 0
    first, second, third, fourth = [event for event in served.process.events if event["event"] == "request"]
    assert (first["path"], first["query"]) == ("/segments", {"label": "a,b", "search": "é", "pagesize": "3"})
    assert len(second["query"]["search"]) < 300
    assert len(third["path"]) < 300
    assert third["query"] == {}
    assert set(fourth["query"]) == {"search"}
    assert "a-secret" not in "".join(served.process.err)


async def test_the_parameters_of_the_log_are_those_of_the_description(editor: Client) -> None:
    parameters = (await editor.get("/openapi.json")).json["components"]["parameters"].values()
    assert set(LOGGED_PARAMETERS) == {parameter["name"] for parameter in parameters if parameter["in"] == "query"}


async def test_a_caller_that_leaves_while_sending_is_no_error_of_ours(service: Deployment) -> None:
    token = service.editor.token
    head = request_bytes(
        "POST",
        "/segments",
        [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"), ("Content-Length", "100")],
    )
    address = urlsplit(service.url)

    async def logged() -> bool:
        return any(line["event"] == "request" for line in lines)

    with capture_logs() as lines:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(head + b'{"metadata":')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await until(logged)

    assert [line["status"] for line in lines if line["event"] == "request"] == [400]
    assert not [line for line in lines if line["log_level"] == "error"]

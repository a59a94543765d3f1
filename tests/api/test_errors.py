"""What an error looks like, bodies that are none, paths and methods that there are not."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.api.bodies import SCHEDULE, body, unique
from tests.api.client import raw, request_bytes

if TYPE_CHECKING:
    from tests.api.client import Answer, Client
    from tests.api.conftest import Deployment

MIB = 2**20
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class TestTheErrorObject:
    """One form for all errors."""

    async def test_it_has_a_timestamp_with_offset_a_message_a_type_and_a_trace_id(self, editor: Client) -> None:
        answer = await editor.read("no-such-segment")
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        error = answer.json
        assert set(error) == {"timestamp", "message", "type", "traceId"}
        timestamp = datetime.fromisoformat(error["timestamp"])
        assert timestamp.tzinfo is not None
        assert abs(datetime.now(UTC) - timestamp) < timedelta(seconds=30)

    async def test_invalid_params_are_there_only_where_parameters_are_the_reason(self, editor: Client) -> None:
        answer = await editor.list(pagesize="x", offset="y")
        assert set(answer.json) == {"timestamp", "message", "type", "traceId", "invalidParams"}
        assert all(set(problem) == {"name", "reason"} for problem in answer.json["invalidParams"])

    async def test_texts_of_the_caller_are_repeated_in_moderation(self, editor: Client) -> None:
        answer = await editor.get("/segments?pagesize=" + "x" * 5000)
        assert answer.status == 400
        assert len(answer.body) < 2000

    async def test_large_errors_are_compressed_too(self, editor: Client) -> None:
        labels = list(range(100))
        answer = await editor.create(body(labels=labels), headers={"Accept-Encoding": "gzip"})
        assert answer.status == 400
        assert answer.headers["Content-Encoding"] == "gzip"
        assert len(answer.json["invalidParams"]) == 100


class TestTraceIds:
    """traceId, X-Trace-Id and traceparent."""

    @pytest.mark.parametrize("path", ["/segments", "/segments/no-such-segment", "/nowhere", "/segments?x=y"])
    async def test_the_trace_id_of_the_caller_is_used(self, editor: Client, path: str) -> None:
        answer = await editor.get(path, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
        assert answer.headers["X-Trace-Id"] == TRACE
        if answer.status >= 400:
            assert answer.json["traceId"] == TRACE

    @pytest.mark.parametrize(
        "traceparent",
        [
            None,
            "",
            "nonsense",
            f"00-{'0' * 32}-00f067aa0ba902b7-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"ff-{TRACE}-00f067aa0ba902b7-01",
            f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
            f"00-{TRACE}-00f067aa0ba902b7",
            f"00-{TRACE}-00f067aa0ba902b7-01\t<script>",
        ],
    )
    async def test_without_a_valid_one_it_is_made_here(self, editor: Client, traceparent: str | None) -> None:
        headers = {} if traceparent is None else {"traceparent": traceparent}
        first, second = [await editor.read("no-such-segment", headers=headers) for _ in range(2)]
        assert re.fullmatch("[0-9a-f]{32}", first.json["traceId"])
        assert first.headers["X-Trace-Id"] == first.json["traceId"]
        assert len({TRACE, first.json["traceId"], second.json["traceId"]}) == 3

    async def test_a_401_has_one_in_its_header(self, editor: Client) -> None:
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        assert (await editor.anonymous().list(headers=headers)).headers["X-Trace-Id"] == TRACE


class TestPathsAndMethods:
    """404 and 405."""

    @pytest.mark.parametrize(
        "path",
        ["/", "/nowhere", "/segments/a/b", "/Segments", "//segments", "/livez", "/readyz", "/metrics", "/segment"],
    )
    async def test_an_unknown_path_is_entity_not_found(self, editor: Client, path: str) -> None:
        answer = await editor.get(path)
        assert answer.status == 404
        assert answer.json["type"] == "entity_not_found"

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/segments", {"GET", "HEAD", "POST"}),
            ("DELETE", "/segments", {"GET", "HEAD", "POST"}),
            ("PATCH", "/segments", {"GET", "HEAD", "POST"}),
            ("OPTIONS", "/segments", {"GET", "HEAD", "POST"}),
            ("PATCH", "/segments/some-segment", {"GET", "HEAD", "POST", "PUT", "DELETE"}),
            ("TRACE", "/segments/some-segment", {"GET", "HEAD", "POST", "PUT", "DELETE"}),
            ("POST", "/openapi.json", {"GET", "HEAD"}),
        ],
    )
    async def test_a_method_that_there_is_not_is_405_with_allow(
        self, editor: Client, method: str, path: str, allowed: set[str]
    ) -> None:
        answer = await editor.request(method, path)
        assert answer.status == 405
        assert answer.json["type"] == "method_not_allowed"
        assert set(re.split(r",\s*", answer.headers["Allow"])) == allowed

    async def test_the_description_needs_no_token(self, editor: Client) -> None:
        answer = await editor.anonymous().get("/openapi.json")
        assert answer.status == 200
        assert answer.json["openapi"].startswith("3.1")


def nested(depth: int) -> bytes:
    """A document of that many levels."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


class TestBodiesThatAreNone:
    """One JSON object, and no tricks."""

    @pytest.mark.parametrize(
        "sent",
        [
            b"",
            b" \n ",
            b"{",
            b"}",
            b"[]",
            b"[{}]",
            b"null",
            b"5",
            b'"text"',
            b"{} {}",
            b"{}x",
            b"{'metadata': {}}",
            b'{"metadata": {},}',
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b'{"a": -Infinity}',
            b'{"a": 01}',
            b'{"a": .5}',
            b'{"a": tru}',
            b'{"a": "line\nbreak"}',
            b'{"a": "\\ud800"}',
            b'{"a": "\\udc00\\ud800"}',
            b'{"\\ud83d": 1}',
            b'{"a": "\xff"}',
            b'{"a": "\xed\xa0\x80"}',
            b"\xef\xbb\xbf{}",
            b"\xff\xfe{\x00}\x00",
            b'{"a": 1, "a": 1}',
            b'{"a": {"b": [{"c": 1, "d": 2, "c": 3}]}}',
            b'{"a": 1, "\\u0061": 2}',
            nested(33),
            nested(100_000),
            b"[" * 500_000,
            b'{"a":' + b"[" * 100_000,
            b"// comment\n{}",
            b"\x00",
        ],
    )
    async def test_anything_else_is_400(self, editor: Client, sent: bytes) -> None:
        answer = await editor.request("POST", "/segments", body=sent)
        assert answer.status == 400
        assert answer.json["type"] == "bad_parameter_value"
        assert list(answer.problems) == ["body"]

    async def test_the_duplicate_key_is_named(self, editor: Client) -> None:
        sent = json.dumps(body()).replace('"displayName"', '"displayName": "First", "displayName"').encode()
        answer = await editor.request("POST", "/segments", body=sent)
        assert answer.status == 400
        assert "displayName" in answer.json["message"]

    async def test_32_levels_are_no_problem_of_their_own(self, editor: Client) -> None:
        answer = await editor.request("POST", "/segments", body=nested(32))
        assert answer.status == 400
        assert "body" not in answer.problems

    async def test_long_numbers_are_a_problem_of_their_own_place(self, editor: Client) -> None:
        sent = json.dumps(body()).replace(
            json.dumps(SCHEDULE), json.dumps(SCHEDULE) + ', "failedJobsHistoryLimit": ' + "9" * 5000
        )
        answer = await editor.request("POST", "/segments", body=sent.encode())
        assert answer.status == 400
        assert list(answer.problems) in (["data.cronjob.failedJobsHistoryLimit"], ["body"])

    async def test_a_put_is_read_as_strictly(self, editor: Client) -> None:
        segment_id = unique()
        await editor.create(body(), segment_id)
        for sent in (b"", b"[]", b'{"a": NaN}', b'{"a": 1, "a": 1}', nested(33)):
            answer = await editor.request("PUT", f"/segments/{segment_id}", body=sent)
            assert (answer.status, list(answer.problems)) == (400, ["body"])


class TestContentTypes:
    """415."""

    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonx",
            "application/merge-patch+json",
            "text/json",
            "application/json, text/plain",
            "json",
            "application/",
            "",
            "application/json; charset=latin-1",
            "application/json; charset=utf-16",
            "application/json; charset=rot13",
            "application/json; charset=no-such-charset",
        ],
    )
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_a_body_of_another_type_or_charset_is_refused(
        self, editor: Client, method: str, content_type: str
    ) -> None:
        answer = await editor.request(
            method, "/segments/some-segment", body=json.dumps(body()).encode(), headers={"Content-Type": content_type}
        )
        assert answer.status == 415
        assert answer.json["type"] == "bad_header_value"

    @pytest.mark.parametrize(
        "content_type",
        ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"',
         "application/json; profile=x"],
    )  # fmt: skip
    async def test_json_is_json_however_it_is_spelled(self, editor: Client, content_type: str) -> None:
        answer = await editor.create(body(), unique(), headers={"Content-Type": content_type})
        assert answer.status == 200

    async def test_a_body_without_a_type_is_refused(self, service: Deployment) -> None:
        sent = json.dumps(body()).encode()
        headers = [("Authorization", f"Bearer {service.editor.token}"), ("Content-Length", str(len(sent)))]
        answer = await raw(service.url, request_bytes("POST", "/segments", headers, sent))
        assert answer.status == 415

    async def test_a_compressed_body_is_never_unpacked_beyond_the_limit(self, editor: Client) -> None:
        sent = gzip.compress(b'{"a": "' + b"x" * (20 * MIB) + b'"}')
        answer = await editor.request("POST", "/segments", body=sent, headers={"Content-Encoding": "gzip"})
        assert answer.status in {400, 413, 415}


class TestSize:
    """1 MiB, with and without Content-Length."""

    @staticmethod
    def padded(size: int) -> bytes:
        sent = json.dumps(body()).encode()
        return sent + b" " * (size - len(sent))

    async def test_exactly_1_mib_is_taken(self, editor: Client) -> None:
        assert (await editor.request("POST", "/segments", body=self.padded(MIB))).status == 200

    async def test_a_byte_more_is_413(self, editor: Client) -> None:
        answer = await editor.request("POST", "/segments", body=self.padded(MIB + 1))
        assert answer.status == 413
        assert answer.json["type"] == "bad_parameter_value"

    async def test_an_announced_length_is_believed_before_anything_is_read(self, service: Deployment) -> None:
        answer = await raw(service.url, self.head(service, ("Content-Length", str(10**9))))
        assert answer.status == 413

    async def test_chunks_are_counted(self, service: Deployment) -> None:
        sent = self.padded(MIB + 1)
        chunked = b"".join(
            b"%x\r\n%s\r\n" % (len(part), part) for part in (sent[i : i + 65536] for i in range(0, len(sent), 65536))
        )
        answer = await raw(service.url, self.head(service, ("Transfer-Encoding", "chunked")) + chunked + b"0\r\n\r\n")
        assert answer.status == 413

    async def test_chunks_within_the_limit_are_taken(self, service: Deployment) -> None:
        sent = self.padded(1000)
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(sent), sent)
        answer = await raw(service.url, self.head(service, ("Transfer-Encoding", "chunked")) + chunked)
        assert answer.status == 200

    async def test_broken_chunks_store_nothing(self, alone: Deployment) -> None:
        chunked = b"zz\r\n{}\r\n0\r\n\r\n"
        answer = await raw(alone.url, self.head(alone, ("Transfer-Encoding", "chunked")) + chunked)
        assert answer.status == 400
        assert await alone.resources.names() == []

    async def test_a_caller_that_leaves_within_the_body_stores_nothing(self, alone: Deployment) -> None:
        sent = json.dumps(body()).encode()
        _, writer = await asyncio.open_connection(*alone.url.removeprefix("http://").split(":"))
        writer.write(self.head(alone, ("Content-Length", str(len(sent) + 1))) + sent)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await alone.editor.list()).json["totalCount"] == 0
        assert await alone.resources.names() == []

    @staticmethod
    def head(deployment: Deployment, header: tuple[str, str]) -> bytes:
        headers = [
            ("Authorization", f"Bearer {deployment.editor.token}"),
            ("Content-Type", "application/json"),
            header,
        ]
        return request_bytes("POST", "/segments", headers)


class TestMalformedRequests:
    """What is no HTTP, and what nobody would send: never a 500, and nothing of it repeated."""

    @pytest.mark.parametrize(
        "sent",
        [
            b"GARBAGE\r\n\r\n",
            b"BREW /segments HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /segments HTTP/9.9\r\nHost: x\r\n\r\n",
            b"GET /seg ments HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /segments HTTP/1.1\r\nHost: x\r\nBad Header: secret-value\r\n\r\n",
            b"GET /segments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-value\x00\r\n\r\n",
            b"POST /segments HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
            b"POST /segments HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET /segments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-value" + b"x" * 70_000 + b"\r\n\r\n",
            b"GET /segments?search=\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /segments?" + b"x=secret-value&" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
    )
    async def test_they_get_an_error_object_that_repeats_nothing(self, service: Deployment, sent: bytes) -> None:
        answer = await raw(service.url, sent)
        assert 400 <= answer.status < 500
        assert b"secret-value" not in answer.body
        if answer.status not in {401, 403}:
            assert answer.json["type"] in {"bad_header_value", "bad_parameter_value"}
            assert answer.json["traceId"] == answer.headers["X-Trace-Id"]

    @pytest.mark.parametrize("host", [b"", b"a b", b"x<script>", b"\xff", b"a:b:c", b"example.com:99999999"])
    async def test_a_host_that_is_none_is_400_and_in_no_link(self, service: Deployment, host: bytes) -> None:
        token = service.viewer.token or ""
        request = b"GET /segments HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n" % (host, token.encode())
        answer = await raw(service.url, request)
        assert answer.status == 400

    async def test_a_client_that_expects_a_100_gets_one(self, editor: Client) -> None:
        answer = await editor.create(body(), unique(), headers={"Expect": "100-continue"})
        assert answer.status == 200


async def test_parallel_requests_keep_their_answers_apart(editor: Client) -> None:
    answers: list[Answer] = await asyncio.gather(*(editor.read(f"no-such-{number}") for number in range(50)))
    for number, answer in enumerate(answers):
        assert answer.json["message"] == f"Segment with ID 'no-such-{number}' not found."

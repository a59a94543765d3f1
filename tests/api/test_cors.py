"""Browsers: CORS where it is configured, and silence where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.api.bodies import body, unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.conftest import Deploy, Deployment

ORIGIN = "https://dash.example.com"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization",
}


def names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


@pytest_asyncio.fixture(scope="module")
async def open_to_browsers(deploy: Deploy) -> AsyncIterator[Deployment]:
    async with deploy(cors_origins=frozenset({ORIGIN, "https://other.example.com"})) as deployment:
        yield deployment


@pytest.mark.parametrize("path", ["/segments", "/segments/some-segment", "/openapi.json"])
async def test_a_preflight_is_answered_without_a_token(open_to_browsers: Deployment, path: str) -> None:
    answer = await open_to_browsers.editor.anonymous().request("OPTIONS", path, headers=PREFLIGHT)
    assert answer.status in {200, 204}
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"get", "post", "put", "delete"} <= names(answer.headers["Access-Control-Allow-Methods"])
    needed = {"authorization", "authentication", "content-type", "if-match", "if-none-match", "traceparent"}
    assert needed <= names(answer.headers["Access-Control-Allow-Headers"])
    assert "origin" in names(answer.headers["Vary"])
    assert len(answer.headers["X-Trace-Id"]) == 32


async def test_a_script_of_that_origin_may_read_answer_and_headers(open_to_browsers: Deployment) -> None:
    answer = await open_to_browsers.editor.list(headers={"Origin": ORIGIN})
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    exposed = names(answer.headers["Access-Control-Expose-Headers"])
    assert {
        "etag",
        "link",
        "location",
        "x-revision",
        "x-index-age",
        "x-total-count",
        "x-trace-id",
        "retry-after",
    } <= exposed
    assert names(answer.headers["Vary"]) == {"authorization", "authentication", "accept-encoding", "origin"}
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("authorised", [True, False])
async def test_it_may_read_errors_too(open_to_browsers: Deployment, *, authorised: bool) -> None:
    caller = open_to_browsers.editor if authorised else open_to_browsers.editor.anonymous()
    answer = await caller.read("no-such-segment", headers={"Origin": ORIGIN})
    assert answer.status == (404 if authorised else 401)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_writes_and_304s_too(open_to_browsers: Deployment) -> None:
    segment_id = unique()
    created = await open_to_browsers.editor.create(body(), segment_id, headers={"Origin": ORIGIN})
    cached = await open_to_browsers.editor.read(segment_id, headers={"Origin": ORIGIN, "If-None-Match": created.etag})
    gone = await open_to_browsers.editor.delete(segment_id, headers={"Origin": ORIGIN})
    assert [answer.status for answer in (created, cached, gone)] == [200, 304, 204]
    assert {answer.headers["Access-Control-Allow-Origin"] for answer in (created, cached, gone)} == {ORIGIN}


@pytest.mark.parametrize("origin", ["https://evil.example.com", "http://dash.example.com", f"{ORIGIN}:444", "null"])
async def test_another_origin_gets_no_permission(open_to_browsers: Deployment, origin: str) -> None:
    answer = await open_to_browsers.editor.list(headers={"Origin": origin})
    assert answer.status == 200
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert "origin" in names(answer.headers["Vary"])
    preflight = await open_to_browsers.editor.anonymous().request(
        "OPTIONS", "/segments", headers={**PREFLIGHT, "Origin": origin}
    )
    assert "Access-Control-Allow-Origin" not in preflight.headers


async def test_a_request_without_an_origin_gets_none_either(open_to_browsers: Deployment) -> None:
    answer = await open_to_browsers.editor.list()
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "origin" in names(answer.headers["Vary"])


async def test_all_origins_can_be_let_in(deploy: Deploy) -> None:
    async with deploy(cors_origins=frozenset({"*"})) as deployment:
        answer = await deployment.editor.list(headers={"Origin": "https://anything.example.com"})
        assert answer.headers["Access-Control-Allow-Origin"] in {"*", "https://anything.example.com"}


async def test_unset_nothing_of_it_is_sent(service: Deployment) -> None:
    answer = await service.editor.list(headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert answer.headers["Vary"] == "Authorization, Authentication, Accept-Encoding"
    preflight = await service.editor.anonymous().request("OPTIONS", "/segments", headers=PREFLIGHT)
    assert preflight.status == 405

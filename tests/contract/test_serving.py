"""GET /openapi.json: the document for anyone, once."""

import gzip

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from segsvc.web.openapi import build_document
from tests.contract.application import bare_application

Caller = TestClient[aiohttp.web.Request, aiohttp.web.Application]


@pytest.fixture
async def caller(aiohttp_client: AiohttpClient) -> Caller:
    return await aiohttp_client(bare_application(), auto_decompress=False, skip_auto_headers=["Accept-Encoding"])


async def test_needs_no_token(caller: Caller) -> None:
    response = await caller.get("/openapi.json")

    assert response.status == 200
    assert await response.json() == build_document()


async def test_may_be_kept_but_must_be_asked_for(caller: Caller) -> None:
    response = await caller.get("/openapi.json")

    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["Vary"] == "Authorization, Authentication, Accept-Encoding"
    assert len(response.headers["X-Trace-Id"]) == 32
    assert response.headers["X-Revision"] == "0"
    assert response.headers["X-Index-Age"] == "0"


async def test_takes_no_parameters(caller: Caller) -> None:
    response = await caller.get("/openapi.json?pagesize=1")

    assert response.status == 400
    assert (await response.json())["invalidParams"][0]["name"] == "pagesize"


async def test_is_compressed_for_callers_who_accept_it(caller: Caller) -> None:
    plain = await caller.get("/openapi.json")
    response = await caller.get("/openapi.json", headers={"Accept-Encoding": "gzip"})

    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["ETag"] == plain.headers["ETag"][:-1] + '-gzip"'
    assert gzip.decompress(await response.read()) == await plain.read()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accepted", ["gzip", "identity"])
async def test_is_not_sent_again_to_who_has_it(caller: Caller, method: str, accepted: str) -> None:
    tag = (await caller.get("/openapi.json")).headers["ETag"]
    headers = {"If-None-Match": tag, "Accept-Encoding": accepted}
    response = await caller.request(method, "/openapi.json", headers=headers)

    assert response.status == 304
    assert response.headers["ETag"].startswith(tag[:-1])
    assert await response.read() == b""


async def test_head_tells_the_length_alone(caller: Caller) -> None:
    whole = await (await caller.get("/openapi.json")).read()
    response = await caller.head("/openapi.json")

    assert response.status == 200
    assert int(response.headers["Content-Length"]) == len(whole)
    assert await response.read() == b""


async def test_can_only_be_read(caller: Caller) -> None:
    response = await caller.post("/openapi.json", json={})

    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"

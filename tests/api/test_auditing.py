"""Every write that an authenticated caller asks for leaves exactly one line, whatever becomes of it."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.api.bodies import body
from tests.api.client import Client
from tests.api.process import running
from tests.api.waiting import until

if TYPE_CHECKING:
    import aiohttp

    from tests.api.conftest import Deployment

# what has nothing to do with which cluster it is
ONE_CLUSTER = pytest.mark.parametrize("cluster", ["emulator"], indirect=True, scope="session")

VERBS = {"POST": "create", "PUT": "replace", "DELETE": "delete"}


def written(lines: list[Any]) -> list[tuple[str, str | None, str, str]]:
    return [
        (line["verb"], line["segment_id"], line["caller"], line["outcome"])
        for line in lines
        if line["event"] == "segment_write"
    ]


@ONE_CLUSTER
async def test_a_create_by_a_viewer_leaves_one_line(service: Deployment) -> None:
    with capture_logs() as lines:
        assert (await service.viewer.create(body(), "some-segment")).status == 403
        assert (await service.viewer.create(body())).status == 403

    assert written(lines) == [
        ("create", "some-segment", "Vera", "AccessDenied"),
        ("create", None, "Vera", "AccessDenied"),
    ]


@ONE_CLUSTER
@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("sent", "content_type", "status"),
    [
        (b"no json", "application/json", 400),
        (json.dumps(body()).encode(), "text/plain", 415),
        (b" " * (2**20 + 1), "application/json", 413),
    ],
)
async def test_a_body_that_is_refused_unread_leaves_one_line(
    service: Deployment, method: str, sent: bytes, content_type: str, status: int
) -> None:
    headers = {"Content-Type": content_type}
    with capture_logs() as lines:
        answer = await service.editor.request(method, "/segments/some-segment", body=sent, headers=headers)
        assert answer.status == status

    assert [line[:3] for line in written(lines)] == [(VERBS[method], "some-segment", "Edda")]


@ONE_CLUSTER
@pytest.mark.parametrize("method", VERBS)
async def test_a_query_that_is_refused_leaves_one_line(service: Deployment, method: str) -> None:
    with capture_logs() as lines:
        answer = await service.editor.request(method, "/segments/some-segment?dryRun=maybe", body=body())
        assert answer.status == 400

    assert written(lines) == [(VERBS[method], "some-segment", "Edda", "InvalidParameters")]


@ONE_CLUSTER
@pytest.mark.parametrize("method", VERBS)
async def test_nobody_known_leaves_no_line(service: Deployment, method: str) -> None:
    with capture_logs() as lines:
        answer = await service.editor.anonymous().request(method, "/segments/some-segment", body=body())
        assert answer.status == 401

    assert written(lines) == []


async def test_no_level_leaves_the_lines_out(http: aiohttp.ClientSession) -> None:
    async with running("dev", "--port=0", "--ops-port=0", "--segments=0", SEGSVC_LOG_LEVEL="error") as process:
        await process.line(lambda line: "Ctrl-C" in line)
        said = "".join(process.out)
        url, token = re.search(r"http://\S+(?=/segments )", said), re.search(r"VIEWER_TOKEN=(\S+)", said)
        assert url
        assert token
        viewer = Client(http, url[0], token[1])

        async def filled() -> bool:
            return (await viewer.list()).status == 200

        await until(filled)
        assert (await viewer.create(body(), "some-segment")).status == 403
        process.tell(signal.SIGTERM)
        assert await process.ended() == 0
    assert ["segment_write" in line and "AccessDenied" in line for line in process.err] == [True]

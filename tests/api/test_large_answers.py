"""What takes long to make keeps nobody else waiting, however few segments it is of."""

from __future__ import annotations

import asyncio
import threading
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from segsvc.web.reads import MAX_BYTES_COMPRESSED_AT_ONCE, MAX_BYTES_RENDERED_AT_ONCE
from tests.api.bodies import body, with_env
from tests.api.test_polling import is_at_once

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.conftest import Deployment

# what has nothing to do with which cluster it is
pytestmark = pytest.mark.parametrize("cluster", ["emulator"], indirect=True, scope="session")

GZIP = {"Accept-Encoding": "gzip"}
SLOW = 3


def large(size: int = MAX_BYTES_COMPRESSED_AT_ONCE + 1) -> dict[str, Any]:
    return body(data=with_env(LONG="x" * size))


@asynccontextmanager
async def compressing_held(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Let whatever is compressed within take until the end; come in once that has begun."""
    begun, proceed = threading.Event(), threading.Event()
    compress = zlib.compress

    def slowly(data: bytes, **options: int) -> bytes:
        begun.set()
        assert proceed.wait(SLOW), "nobody else was served meanwhile"
        return compress(data, **options)

    monkeypatch.setattr("segsvc.web.representation.zlib.compress", slowly)
    assert await asyncio.to_thread(begun.wait, SLOW)
    try:
        yield
    finally:
        proceed.set()


@pytest.mark.parametrize("path", ["/segments", "/segments/some-segment", "/segments/some-segment?export=true"])
async def test_others_are_served_while_a_read_is_compressed(
    alone: Deployment, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    await alone.editor.create(large(), "some-segment")
    plain = await alone.viewer.get(path)
    reading = [asyncio.create_task(alone.viewer.get(path, headers=GZIP)) for _ in range(2)]
    async with compressing_held(monkeypatch):
        assert (await alone.viewer.get("/segments/some-segment")).status == 200
    for answer in await asyncio.gather(*reading):
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.json == plain.json


async def test_others_are_served_while_the_answer_to_a_write_is_compressed(
    alone: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = asyncio.create_task(alone.editor.create(large(), "some-segment", headers=GZIP))
    async with compressing_held(monkeypatch):
        assert (await alone.viewer.get("/segments/some-segment")).status == 200
    written = await writing
    assert written.headers["Content-Encoding"] == "gzip"
    assert written.json == (await alone.viewer.get("/segments/some-segment")).json


async def test_a_large_page_of_few_segments_is_not_rendered_while_others_wait(alone: Deployment) -> None:
    for number in range(3):
        await alone.editor.create(large(MAX_BYTES_RENDERED_AT_ONCE // 2), f"segment-{number}")
    answers = [await alone.viewer.list() for _ in range(3)]
    assert [answer.ids for answer in answers] == [["segment-0", "segment-1", "segment-2"]] * 3
    assert [is_at_once(answer) for answer in answers] == [False, False, True]  # it is kept when asked for again

"""A provider, a way to reach it, and clocks that tests move."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.auth.provider import Clock, Provider


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def clock() -> Clock:
    """Seconds since the epoch."""
    return Clock()


@pytest.fixture
def monotonic() -> Clock:
    return Clock(1000.0)

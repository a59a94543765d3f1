"""Connections to the ops port have a bound, so that the API's callers find descriptors; probes get through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from segsvc.app import OPS_CONNECTIONS
from tests.api.waiting import PATIENCE

if TYPE_CHECKING:
    from tests.api.conftest import Deployment

# what has nothing to do with which cluster it is
pytestmark = pytest.mark.parametrize("cluster", ["emulator"], indirect=True, scope="session")


async def test_who_connects_and_asks_nothing_makes_room(alone: Deployment) -> None:
    address = urlsplit(alone.ops_url)
    connections = [await asyncio.open_connection(address.hostname, address.port) for _ in range(OPS_CONNECTIONS + 8)]
    try:
        reader, writer = connections[-1]
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert b" 200 " in await reader.readline()
            assert await connections[0][0].read() == b""  # ended
    finally:
        for _, writer in connections:
            writer.transport.abort()
    assert await alone.metric('segsvc_connections_dropped_total{reason="crowded"}') >= 8

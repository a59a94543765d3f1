"""Waiting for what comes in its own time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATIENCE = 15.0


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once this holds; fail when it does not in `PATIENCE` seconds."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 (what is waited for is in another process, or behind a socket)
            await asyncio.sleep(0.005)

from __future__ import annotations

import asyncio

import pytest

from tests.api.clusters import Cluster
from tests.chaos.mischief import Mischief
from tests.support.faults import Relay

NOWHERE = Cluster("none", "http://127.0.0.1:1")


async def timers() -> None:
    """Let what is due be done."""
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
def relay() -> Relay:
    return Relay(NOWHERE)


async def test_a_freeze_lasts_as_long_as_the_last_one_says(relay: Relay) -> None:
    mischief = Mischief(relay)
    await mischief.freeze(0)
    await mischief.freeze(60)
    await timers()
    assert not relay.flowing.is_set()
    await mischief.freeze(0)
    await timers()
    assert relay.flowing.is_set()


async def test_nothing_of_a_freeze_is_left_once_all_is_healed(relay: Relay) -> None:
    mischief = Mischief(relay)
    await mischief.freeze(0)
    await mischief.heal()
    assert relay.flowing.is_set()
    relay.flowing.clear()
    await timers()
    assert not relay.flowing.is_set()


async def test_what_is_cut_is_mended_though_nobody_waits_for_it_any_more() -> None:
    async with Relay(NOWHERE) as relay:
        mischief = Mischief(relay)
        await mischief.cut(0.01)
        healing = asyncio.create_task(mischief.heal())
        await timers()
        healing.cancel()
        await asyncio.wait([healing])
        await mischief.heal()
        _, writer = await asyncio.open_connection("127.0.0.1", int(relay.url.rpartition(":")[2]))
        writer.close()
        await writer.wait_closed()

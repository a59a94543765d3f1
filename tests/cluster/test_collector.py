"""While a list is taken in, the garbage collector looks at what is young only; afterwards, at what came later."""

from __future__ import annotations

import asyncio
import gc
import platform
import resource
import weakref
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from segsvc.cluster.collector import collector_at_ease, settle_collector, tend_collector
from segsvc.domain.segment import Roles, Segment
from segsvc.index.entry import Version, entry
from segsvc.index.query import Query, Selector
from segsvc.index.store import SegmentStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _collector_as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_has_been_imported_is_looked_through_no_more_and_what_is_kept_seldom() -> None:
    young, middle, _ = gc.get_threshold()
    settle_collector()
    assert gc.get_freeze_count() > len(gc.get_objects())
    assert gc.get_threshold()[:2] == (young, middle)
    assert gc.get_threshold()[2] > 10**9


async def test_what_comes_where_caches_are_full_is_looked_through_before_there_is_much_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segsvc.cluster.collector.LOOK_SECONDS", 0)
    cache = deque([[number] for number in range(20_000)], maxlen=20_000)
    gc.collect()
    most = 0
    async with asyncio.timeout(30):
        tending = asyncio.create_task(tend_collector())
        for _ in range(200):
            await asyncio.sleep(0)
            cache.extend([number] for number in range(100))  # one goes for each that comes
            most = max(most, len(gc.get_objects(generation=0)) + len(gc.get_objects(generation=1)))
        tending.cancel()
    assert most < 2_000


class Circular:
    """What only the collector frees."""

    def __init__(self) -> None:
        self.me = self


async def test_all_that_there_is_is_looked_through_seldom_and_not_while_a_list_comes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segsvc.cluster.collector.LOOK_SECONDS", 0)
    monkeypatch.setattr("segsvc.cluster.collector.LOOKS_PER_FULL", 10)
    old = Circular()
    gone = weakref.ref(old)
    gc.collect()  # it is old now
    gc.set_threshold(10**6, 10**6, 10**6)
    tending = asyncio.create_task(tend_collector())
    await asyncio.sleep(0)
    del old
    with collector_at_ease():
        left = Circular()
        gone_meanwhile = weakref.ref(left)
        for _ in range(20):
            await asyncio.sleep(0)
        del left
    assert gone_meanwhile() is None
    kept = Circular()
    gone = weakref.ref(kept)
    gc.collect()
    del kept
    for _ in range(5):
        await asyncio.sleep(0)
    assert gone() is not None
    for _ in range(10):
        await asyncio.sleep(0)
    assert gone() is None
    tending.cancel()


def test_what_is_there_in_the_end_is_looked_through_no_more() -> None:
    before = gc.get_threshold()

    with collector_at_ease():
        assert gc.get_threshold() != before
        kept = [[number] for number in range(30_000)]

    assert gc.get_threshold() == before
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(kept)
    assert len(gc.get_objects()) < len(kept)


def test_young_garbage_is_collected_meanwhile() -> None:
    class Circular:
        alive = 0

        def __init__(self) -> None:
            self.me = self
            Circular.alive += 1

        def __del__(self) -> None:
            Circular.alive -= 1

    with collector_at_ease():
        for _ in range(30_000):
            Circular()
        assert Circular.alive < 20_000


def test_a_list_that_fails_leaves_the_collector_as_it_was() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()

    with pytest.raises(ValueError, match="broke off"), collector_at_ease():
        raise ValueError("broke off")

    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == frozen


def test_what_a_list_takes_the_place_of_is_freed_though_it_is_out_of_sight() -> None:
    store = SegmentStore()
    selector = Selector(store)
    caller = Roles().readers
    gone = []
    for revision in range(1, 4):
        with collector_at_ease():
            relist = store.relist()
            for number in range(10):
                segment = Segment(f"seg-{number}", f"Name {number}", "", Roles(), ("a",), {})
                relist.add(segment.id, Version(f"uid-{number}", number + 1), entry(segment, Version("u", number + 1)))
            store.finish(relist, revision)
            gone.append(weakref.ref(relist.contents))
            del relist
        for labels in ((), ("a",)):
            for search, sort in ((None, "displayName"), ("name", None), (None, "-modifiedAt")):
                query = Query(0, 5, search, sort, labels)
                assert len(selector.select(store.view(caller, labels), query).bodies) == 5

    assert [contents() is None for contents in gone] == [True, True, False]


def test_what_callers_leave_just_before_the_end_of_a_list_is_freed() -> None:
    class Left:
        pass

    with collector_at_ease():
        left = Left()
        left.itself = left  # type: ignore[attr-defined]
        gone = weakref.ref(left)
        meanwhile: list[object] = [[] for _ in range(3_000)]  # it lives through a look
        del left, meanwhile
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its malloc_trim")
def test_what_a_list_has_taken_of_the_heap_is_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()

    with collector_at_ease():
        passing = [bytes(2000) for _ in range(20_000)]
        staying = bytes(2000)  # behind them: the heap does not end where they were
        taken = resident()
        del passing
    assert resident() < taken - 20 * 2**20
    del staying

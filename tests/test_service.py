"""What the service promises of writes whose callers do not wait for them, at the seam to its writer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from segsvc.auth.principal import Principal
from segsvc.domain.errors import AccessDenied
from segsvc.index.entry import Entry, Version, entry
from segsvc.index.store import SegmentStore
from segsvc.service import SegmentService
from segsvc.telemetry import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from segsvc.domain.segment import Segment

BODY = {"metadata": {"displayName": "Demo"}, "data": {"cronjob": {"schedule": "@daily"}, "env": {"SECRET": "hunter2"}}}
EDITOR = Principal(name="Editor", email="editor@example.com", roles=frozenset({"segment_job_edit"}))
NOBODY = Principal(name="Nobody", email="", roles=frozenset())


class HeldWriter:
    """A cluster that has committed at once and answers when released."""

    def __init__(self, store: SegmentStore) -> None:
        self.store = store
        self.asked = asyncio.Event()
        self.released = asyncio.Event()

    async def create(self, segment: Segment, *, dry_run: bool) -> Entry:
        self.asked.set()
        await self.released.wait()
        stored = entry(segment, Version("uid", 7))
        self.store.written(segment.id, stored.version, stored)
        return stored

    async def update(self, segment_id: str, change: Callable[[Segment], Segment], *, dry_run: bool) -> Entry:
        raise NotImplementedError

    async def delete(self, segment_id: str, check: Callable[[Segment], None], *, dry_run: bool) -> int | None:
        raise NotImplementedError


@pytest.fixture
def writer() -> HeldWriter:
    return HeldWriter(SegmentStore())


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def service(writer: HeldWriter, metrics: Metrics) -> SegmentService:
    return SegmentService(
        writer.store, writer, metrics=metrics, now=lambda: datetime(2026, 1, 2, tzinfo=UTC), draw=lambda: "abcde"
    )


def counted(metrics: Metrics, **labels: str) -> float:
    return metrics.registry.get_sample_value("segsvc_writes_total", labels) or 0


async def test_a_write_and_its_line_in_the_log_are_finished_for_a_caller_that_leaves(
    service: SegmentService, writer: HeldWriter, metrics: Metrics
) -> None:
    with capture_logs() as lines:
        creating = asyncio.create_task(service.create(EDITOR, BODY, ids=["demo"], dry_run=False))
        await writer.asked.wait()
        creating.cancel()
        await asyncio.wait([creating])
        assert creating.cancelled()
        assert lines == []

        writer.released.set()
        await service.drain(10)

    assert writer.store.get("demo") is not None
    (line,) = lines
    assert line == {
        "event": "segment_write",
        "log_level": "info",
        "verb": "create",
        "segment_id": "demo",
        "outcome": "stored",
        "resource_version": 7,
        "caller": "Editor",
        "caller_email": "editor@example.com",
        "dry_run": False,
    }
    assert counted(metrics, verb="create", outcome="stored") == 1


async def test_a_refused_write_leaves_its_line_too(service: SegmentService, metrics: Metrics) -> None:
    with capture_logs() as lines, pytest.raises(AccessDenied):
        await service.create(NOBODY, BODY, ids=["demo"], dry_run=False)

    fields: dict[str, Any] = {"event": "segment_write", "outcome": "AccessDenied", "caller": "Nobody"}
    assert fields.items() <= lines[0].items()
    assert counted(metrics, verb="create", outcome="AccessDenied") == 1


async def test_draining_waits_no_longer_than_told(service: SegmentService, writer: HeldWriter) -> None:
    creating = asyncio.create_task(service.create(EDITOR, BODY, ids=["demo"], dry_run=False))
    await writer.asked.wait()

    with capture_logs() as lines:
        await service.drain(0.01)

    assert {"event": "writes_abandoned", "count": 1}.items() <= lines[0].items()
    writer.released.set()
    await creating
    await service.drain(0.01)

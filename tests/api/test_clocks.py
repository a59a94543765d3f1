"""A wall clock that leaps: what is told by the time of day follows it, and nothing else heeds it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import time_machine

from tests.api.bodies import EDITOR, VIEWER, body, unique
from tests.api.clusters import revision_of
from tests.api.waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.conftest import Deploy, Deployment
    from tests.support.faults import Call, Relay

LEAPS = [
    pytest.param(datetime(1970, 1, 1, tzinfo=UTC), id="to the epoch"),
    pytest.param(datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC), id="far back"),
    pytest.param(datetime(2101, 2, 3, 4, 5, 6, tzinfo=UTC), id="a lifetime on"),
    pytest.param(datetime(9999, 12, 31, 22, tzinfo=UTC), id="to the end of time"),
]
TROUBLES = ("segsvc_relists_total", "segsvc_watch_failures_total", "segsvc_key_fetches_total")


@pytest_asyncio.fixture(scope="module")
async def steady(deploy: Deploy) -> AsyncIterator[Deployment]:
    """A service that nothing happens to but for its clock."""
    async with deploy() as deployment:
        yield deployment


@pytest.mark.parametrize("moment", LEAPS)
async def test_a_leap_shows_in_dates_and_in_what_tokens_are_good_for(steady: Deployment, moment: datetime) -> None:
    caller, segment_id = steady.editor, unique()
    assert (await caller.list()).status == 200
    troubles = [await steady.metric(name) for name in TROUBLES]

    with time_machine.travel(moment, tick=False):
        assert (await caller.list()).status == 403
        later = steady.caller(EDITOR, VIEWER, jti="issued by the new time")
        created = await later.create(body(), segment_id)
        assert created.status == 200
        assert created.json["metadata"]["createdAt"] == moment.isoformat(timespec="milliseconds").removesuffix("+00:00")
        polls = [await later.read(segment_id) for _ in range(3)]
        assert [poll.status for poll in polls] == [200] * 3
        assert {parsedate_to_datetime(each.headers["Date"]) for each in (created, *polls)} == {moment}
        assert {poll.etag for poll in polls} == {created.etag}

        # the watch is the same, and alive
        noted = await steady.resources.create(unique())
        answer = await later.list(minRevision=revision_of(noted))
        assert (answer.status, int(answer.headers["X-Index-Age"])) == (200, 0)

    assert (await later.list()).status == 403
    replaced = await caller.replace(segment_id, body("Changed"), headers={"If-Match": created.etag})
    assert replaced.status == 200
    assert replaced.json["metadata"]["createdAt"] == created.json["metadata"]["createdAt"]
    modified = datetime.fromisoformat(replaced.json["metadata"]["modifiedAt"]).replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - modified) < timedelta(seconds=PATIENCE)
    assert [await steady.metric(name) for name in TROUBLES] == troubles


async def test_a_leap_while_the_cluster_is_away_shortens_no_pause_and_ages_nothing(
    deploy: Deploy, relay: Relay
) -> None:
    async with deploy(relay=relay) as deployment:
        with time_machine.travel(datetime.now(UTC)) as traveller:
            await relay.cut()

            async def failed() -> bool:
                return await deployment.metric("segsvc_watch_failures_total") >= 1

            await until(failed)
            for days in (-10_000, 20_000):
                traveller.shift(timedelta(days=days))
                caller = deployment.caller(EDITOR, VIEWER, jti=f"{days} days on")
                read, write = await caller.list(), await caller.create(body(), unique())
                assert (read.status, write.status) == (200, 503)
                assert 0 <= int(read.headers["X-Index-Age"]) < PATIENCE
                assert 1 <= int(write.headers["Retry-After"]) < PATIENCE
            assert await deployment.metric("segsvc_watch_failures_total") < 10

            await relay.mend()
            noted = await deployment.resources.create(unique())

            async def followed() -> bool:
                return (await caller.list()).revision >= revision_of(noted)

            await until(followed)


@pytest.mark.parametrize("days", [-10_000, 10_000])
async def test_a_write_has_its_time_though_the_clock_leaps_in_its_midst(
    relayed: Deployment, relay: Relay, days: int
) -> None:
    segment_id = unique()
    assert (await relayed.editor.create(body(), segment_id)).status == 200
    with time_machine.travel(datetime.now(UTC)) as traveller:

        async def leap(_: Call) -> None:
            traveller.shift(timedelta(days=days))

        relay.before = leap
        assert (await relayed.editor.replace(segment_id, body("Changed"))).status == 200

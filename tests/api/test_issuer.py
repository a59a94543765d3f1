"""An issuer that is down, slow, wrong or changing its keys, as callers of the service meet it."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import time_machine

from segsvc.auth.jwks import Timing
from tests.api.bodies import EDITOR, VIEWER, body, unique
from tests.api.client import Client
from tests.api.waiting import PATIENCE, until
from tests.auth.provider import CLIENT, TROUBLE, Provider, claims, key, public, sign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from joserfc.jwk import Key

    from tests.api.conftest import Deploy, Deployment

OLD, NEW, STRANGE = key("old"), key("new"), key("strange")
QUICK = Timing(refresh=0.1, backoff_first=0.02, backoff_limit=0.05)
UNHURRIED = Timing(refresh=3600, timeout=PATIENCE, patience=PATIENCE)
"""No fetch is made unless somebody needs it, and that one outlasts a test."""

# what has nothing to do with which cluster it is
ONE_CLUSTER = pytest.mark.parametrize("cluster", ["emulator"], indirect=True, scope="session")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A service, and the provider that says whom it lets in."""

    deployment: Deployment
    provider: Provider

    def caller(self, key: Key = OLD, **changes: Any) -> Client:
        """An editor whose token is signed with this key."""
        now = time.time()
        access = {CLIENT: {"roles": [EDITOR, VIEWER]}}
        given = {"iat": now, "exp": now + 3600, "resource_access": access, **changes}
        token = sign(claims(self.provider.issuer, **given), key)
        return Client(self.deployment.http, self.deployment.url, token)

    async def failed_fetches(self) -> float:
        samples = await self.deployment.samples("segsvc_key_fetches_total")
        return sum(count for labels, count in samples if "failed" in labels)

    async def has_failed_anew(self) -> None:
        """Wait until the service has met with the issuer's trouble twice more."""
        before = await self.failed_fetches()

        async def failed() -> bool:
            return await self.failed_fetches() >= before + 2

        await until(failed)

    async def is_healthy(self) -> bool:
        statuses = []
        for probe in ("/livez", "/readyz"):
            async with self.deployment.http.get(self.deployment.ops_url + probe) as response:
                statuses.append(response.status)
        return statuses == [200, 200]


@asynccontextmanager
async def guarding(deploy: Deploy, provider: Provider, **options: Any) -> AsyncIterator[Guarded]:
    async with deploy(oidc_issuer=provider.issuer, **options) as deployment:
        yield Guarded(deployment, provider)


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[Provider]:
    """An issuer with one key."""
    provider = Provider()
    provider.keys = [public(OLD)]
    await provider.start()
    yield provider
    await provider.stop()


async def is_let_in(caller: Client) -> bool:
    return (await caller.list()).status == 200


async def let_in(caller: Client) -> None:
    """Wait until this caller is."""
    await until(lambda: is_let_in(caller))


TOLD = [
    *(("keys", trouble) for trouble in ("500", "html", "keys that are no objects", "nested", "endless", "broken off")),
    *(("discovery", trouble) for trouble in ("404", "redirect loop", "list", "huge")),
]
"""Of the trouble that tests/auth goes through, what differs most."""


@ONE_CLUSTER
class TestTrouble:
    """Callers whose keys are known notice nothing of it."""

    @pytest.fixture(scope="class")
    @staticmethod
    async def shared(deploy: Deploy) -> AsyncIterator[Guarded]:
        provider = Provider()
        await provider.start()
        try:
            async with guarding(deploy, provider, key_timing=QUICK) as guarded:
                yield guarded
        finally:
            await provider.stop()

    @pytest.mark.parametrize(("where", "trouble"), TOLD)
    async def test_an_answer_that_is_none(self, shared: Guarded, where: str, trouble: str) -> None:
        provider = shared.provider
        provider.keys = [public(OLD)]
        known, unheard_of = shared.caller(), shared.caller(sub=f"{where}: {trouble}")
        await let_in(known)
        if where == "discovery":
            provider.answer_discovery = TROUBLE[trouble]
        else:
            provider.answer_jwks = TROUBLE[trouble]
        await shared.has_failed_anew()
        assert await is_let_in(known)
        assert await is_let_in(unheard_of)
        assert await shared.is_healthy()

        provider.answer_discovery = provider.answer_jwks = None
        provider.keys = [public(NEW)]
        await let_in(shared.caller(NEW))
        assert (await known.list()).status == 403

    async def test_no_answer(self, deploy: Deploy, provider: Provider) -> None:
        async with guarding(deploy, provider, key_timing=QUICK) as guarded:
            known, unheard_of, stranger = guarded.caller(), guarded.caller(sub="unheard of"), guarded.caller(STRANGE)
            await let_in(known)
            await provider.stop()
            await guarded.has_failed_anew()
            assert await is_let_in(known)
            assert await is_let_in(unheard_of)
            assert (await stranger.list()).status == 403
            assert await guarded.is_healthy()
            provider.keys = [public(NEW), public(OLD)]
            await provider.start()
            await let_in(guarded.caller(NEW))


async def test_a_slow_issuer_keeps_only_those_waiting_whom_no_key_lets_in(deploy: Deploy, provider: Provider) -> None:
    async with guarding(deploy, provider, key_timing=UNHURRIED) as guarded:
        known, unheard_of = guarded.caller(), guarded.caller(sub="unheard of")
        await let_in(known)
        provider.answer_jwks = provider.hang
        provider.asked.clear()
        asked = provider.jwks_requests
        strangers = [guarded.caller(STRANGE, sub=str(number)) for number in range(50)]
        waiting = [asyncio.create_task(stranger.list()) for stranger in strangers]
        await provider.asked.wait()
        segment_id = unique()
        for caller in (known, unheard_of, known):
            assert await is_let_in(caller)
        assert (await known.create(body(), segment_id)).status == 200
        assert (await known.read(segment_id)).status == 200
        assert await guarded.is_healthy()
        assert not any(task.done() for task in waiting)

        provider.answer_jwks = None
        provider.release.set()
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {403}
        assert provider.jwks_requests == asked + 1


@ONE_CLUSTER
async def test_whom_an_issuer_lets_in_that_comes_up_late(deploy: Deploy, provider: Provider) -> None:
    await provider.stop()
    async with guarding(deploy, provider, key_timing=QUICK) as guarded:
        caller = guarded.caller()
        refused = await caller.list()
        assert (refused.status, refused.json["type"]) == (503, "service_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await caller.anonymous().list()).status == 401
        assert await guarded.is_healthy()
        await provider.start()
        await let_in(caller)


@ONE_CLUSTER
async def test_callers_who_wait_for_keys_are_answered_when_the_service_stops(
    deploy: Deploy, provider: Provider
) -> None:
    async with AsyncExitStack() as stack:
        timing = Timing(refresh=3600, timeout=PATIENCE, patience=0.5)
        guarded = await stack.enter_async_context(guarding(deploy, provider, grace=2.0, key_timing=timing))
        await let_in(guarded.caller())
        provider.answer_jwks = provider.hang
        provider.asked.clear()
        waiting = asyncio.create_task(guarded.caller(STRANGE).list())
        await provider.asked.wait()
        began = time.monotonic()
        await stack.aclose()
        assert time.monotonic() - began < PATIENCE / 2
        assert (await waiting).status == 403


# --- the issuer's word


async def test_a_revoked_key_lets_in_no_longer_than_until_the_next_refresh(deploy: Deploy, provider: Provider) -> None:
    provider.keys = [public(OLD), public(NEW)]
    async with guarding(deploy, provider, key_timing=QUICK) as guarded:
        old, new, segment_id = guarded.caller(OLD), guarded.caller(NEW), unique()
        assert (await old.create(body(), segment_id)).status == 200
        polls = [await old.read(segment_id) for _ in range(3)]
        assert {poll.status for poll in polls} == {200}

        provider.keys = [public(NEW)]
        fetches = provider.jwks_requests

        async def refused() -> bool:
            return (await old.read(segment_id)).status != 200

        await until(refused)
        assert provider.jwks_requests <= fetches + 2  # one may have been under way
        for answer in (
            await old.read(segment_id),
            await old.list(),
            await old.replace(segment_id, body("Changed")),
            await old.delete(segment_id),
        ):
            assert (answer.status, answer.body) == (403, b"")
        assert (await new.read(segment_id)).etag == polls[0].etag


@ONE_CLUSTER
@pytest.mark.parametrize(
    "keys",
    [
        [],
        [public(OLD, use="enc")],
        [{"kty": "oct", "k": "c2VjcmV0", "kid": "old"}],
        [{**public(OLD), "x": "AAAA"}],
    ],
    ids=["none", "for encryption", "secret", "broken"],
)
async def test_a_set_without_a_usable_key_lets_nobody_in_until_there_is_one(
    deploy: Deploy, provider: Provider, keys: list[dict[str, Any]]
) -> None:
    async with guarding(deploy, provider, key_timing=QUICK) as guarded:
        caller = guarded.caller()
        await let_in(caller)
        provider.keys = keys

        async def shut_out() -> bool:
            return not await is_let_in(caller)

        await until(shut_out)
        refused = await caller.list()
        assert (refused.status, refused.json["type"]) == (503, "service_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert await guarded.is_healthy()
        provider.keys = [public(OLD)]
        await let_in(caller)


@ONE_CLUSTER
async def test_keys_that_move_to_another_address_are_followed(deploy: Deploy, provider: Provider) -> None:
    elsewhere = Provider()
    elsewhere.keys = [public(NEW)]
    await elsewhere.start()
    try:
        async with guarding(deploy, provider, key_timing=QUICK) as guarded:
            old, new = guarded.caller(OLD), guarded.caller(NEW)
            await let_in(old)
            provider.moved_to = f"{elsewhere.issuer}/keys"
            await let_in(new)
            assert (await old.list()).status == 403
    finally:
        await elsewhere.stop()


@ONE_CLUSTER
@pytest.mark.parametrize("moment", ["2001-02-03", "2101-02-03"])
async def test_a_leap_of_the_wall_clock_changes_nothing_about_when_keys_are_fetched(
    deploy: Deploy, provider: Provider, moment: str
) -> None:
    seldom = Timing(refresh=3600, demand_interval=0.3)
    async with guarding(deploy, provider, key_timing=seldom) as guarded:
        await let_in(guarded.caller())
        assert (await guarded.caller(STRANGE).list()).status == 403
        asked, began = provider.jwks_requests, time.monotonic()
        with time_machine.travel(moment):
            for number in range(20):
                assert (await guarded.caller(STRANGE, sub=str(number)).list()).status == 403
            intervals = (time.monotonic() - began) / seldom.demand_interval
            assert provider.jwks_requests <= asked + 1 + intervals
            provider.keys = [public(NEW)]
            await let_in(guarded.caller(NEW))

"""The issuer's keys over HTTP: found, kept, replaced, and never lost to an issuer in trouble."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from segsvc.auth.errors import KeysUnavailable, TokenInvalid
from segsvc.auth.jwks import FetchOutcome, KeySource, Timing
from segsvc.auth.verifier import TokenVerifier
from tests.auth.provider import CLIENT, TROUBLE, Clock, Provider, claims, encode, key, public, sign

OLD = key("old")
NEW = key("new")
FAST = Timing(refresh=0.01, backoff_first=0.01, backoff_limit=0.02)

MakeSource = Callable[..., KeySource]


@pytest.fixture
async def make_source(
    provider: Provider, session: aiohttp.ClientSession, monotonic: Clock
) -> AsyncIterator[MakeSource]:
    """Make key sources for the provider, on a clock that stands still."""
    made: list[KeySource] = []

    def make(
        *,
        jwks_url: str | None = None,
        timing: Timing | None = None,
        on_fetch: Callable[[FetchOutcome], None] | None = None,
    ) -> KeySource:
        source = KeySource(
            provider.issuer,
            session,
            jwks_url=jwks_url,
            timing=timing or Timing(),
            clock=monotonic,
            jitter=lambda: 0.0,
            on_fetch=on_fetch,
        )
        made.append(source)
        return source

    yield make
    for source in made:
        await source.close()


@pytest.fixture
def source(make_source: MakeSource, provider: Provider) -> KeySource:
    """A key source of a provider that has one key."""
    provider.keys = [public(OLD)]
    return make_source()


@pytest.fixture
def verifier(source: KeySource, provider: Provider, clock: Clock) -> TokenVerifier:
    return TokenVerifier(source, issuer=provider.issuer, audience=None, client=CLIENT, clock=clock)


@asynccontextmanager
async def running(source: KeySource) -> AsyncIterator[asyncio.Task[None]]:
    """Keep `source` fresh for the length of the block."""
    task: asyncio.Task[None] = asyncio.create_task(source.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def kids(source: KeySource) -> set[str | None]:
    return {key.kid for key in source.matching(None, "ES256")}


async def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(TokenInvalid) as caught:
        await verifier.verify(token)
    return caught.value.reason


# -- finding the keys


async def test_keys_are_found_by_discovery(verifier: TokenVerifier, source: KeySource, provider: Provider) -> None:
    before = source.ready
    principal = await verifier.verify(sign(claims(provider.issuer), OLD))
    assert principal.name == "Ada Example"
    assert (before, source.ready) == (False, True)
    assert (provider.discovery_requests, provider.jwks_requests) == (1, 1)


async def test_a_fixed_address_needs_no_discovery(make_source: MakeSource, provider: Provider) -> None:
    provider.keys = [public(OLD)]
    source = make_source(jwks_url=f"{provider.issuer}/keys")
    await source.refresh()
    assert kids(source) == {"old"}
    assert provider.discovery_requests == 0


async def test_a_few_redirects_are_followed(make_source: MakeSource, provider: Provider) -> None:
    provider.keys = [public(OLD)]
    source = make_source(jwks_url=f"{provider.issuer}/redirect/2")
    await source.refresh()
    assert kids(source) == {"old"}


@pytest.mark.parametrize("url", ["", "id.example.org", "ftp://id.example.org/", "file:///etc/passwd", "https://"])
async def test_an_address_that_is_no_http_url_is_refused_at_once(url: str, session: aiohttp.ClientSession) -> None:
    with pytest.raises(ValueError, match="http or https"):
        KeySource(url, session)
    with pytest.raises(ValueError, match="http or https"):
        KeySource("https://id.example.org", session, jwks_url=url)


@pytest.mark.parametrize(
    ("issuer", "warned"),
    [
        ("https://id.example.org/realms/x", False),
        ("http://127.0.0.1:9", False),
        ("http://[::1]:9", False),
        ("http://localhost:9", False),
        ("http://keycloak.auth.svc:8080/realms/x", True),
        ("http://192.0.2.1/", True),
    ],
)
async def test_an_issuer_without_tls_beyond_loopback_is_logged(
    issuer: str, session: aiohttp.ClientSession, *, warned: bool
) -> None:
    with capture_logs() as logs:
        KeySource(issuer, session)
    assert [entry["event"] for entry in logs] == ["issuer_keys_without_tls"] * warned


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://other.example.org"},
        {"issuer": None},
        {"issuer": "http://127.0.0.1/"},
        {"jwks_uri": None},
        {"jwks_uri": 7},
        {"jwks_uri": "/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://[::1"},
        {"jwks_uri": "http://127.0.0.1:99999/"},
    ],
)
async def test_a_discovery_document_that_is_wrong_leads_to_no_keys(
    changes: dict[str, object], source: KeySource, provider: Provider
) -> None:
    async def wrong(_: web.Request) -> web.Response:
        return web.json_response(provider.configuration(**changes))

    provider.answer_discovery = wrong
    with pytest.raises(KeysUnavailable):
        await source.refetch()
    assert provider.jwks_requests == 0


# -- trouble at the issuer


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("where", ["discovery", "keys"])
async def test_trouble_at_the_issuer_leaves_the_keys_as_they_are(
    where: str, trouble: str, source: KeySource, provider: Provider
) -> None:
    await source.refresh()
    generation = source.generation
    if where == "discovery":
        provider.answer_discovery = TROUBLE[trouble]
    else:
        provider.answer_jwks = TROUBLE[trouble]
    with capture_logs() as logs:
        await source.refresh()
    assert kids(source) == {"old"}
    assert source.generation == generation
    assert [entry["event"] for entry in logs] == ["issuer_keys_fetch_failed"]

    provider.answer_discovery = provider.answer_jwks = None
    provider.keys = [public(NEW)]
    await source.refresh()
    assert kids(source) == {"new"}
    assert source.generation == generation + 1


async def test_an_issuer_that_does_not_answer_in_time_has_failed(make_source: MakeSource, provider: Provider) -> None:
    provider.answer_jwks = provider.hang
    outcomes: list[FetchOutcome] = []
    source = make_source(timing=Timing(timeout=0.05), on_fetch=outcomes.append)
    await source.refresh()
    assert outcomes == ["failed"]


async def test_an_issuer_that_is_down_at_start_is_found_once_it_is_up(
    verifier: TokenVerifier, provider: Provider, monotonic: Clock
) -> None:
    await provider.stop()
    token = sign(claims(provider.issuer), OLD)
    with pytest.raises(KeysUnavailable) as caught:
        await verifier.verify(token)
    assert caught.value.retry_after == 1
    await provider.start()
    monotonic.now += caught.value.retry_after
    assert await verifier.verify(token) == verifier.cached(token)


async def test_while_the_issuer_is_down_callers_start_fetches_at_the_pace_of_the_backoff(
    verifier: TokenVerifier, provider: Provider, monotonic: Clock
) -> None:
    provider.answer_jwks = TROUBLE["500"]
    waits = []
    for expected_fetches in range(1, 8):
        for _ in range(20):
            with pytest.raises(KeysUnavailable) as caught:
                await verifier.verify(sign(claims(provider.issuer), OLD))
        assert provider.jwks_requests == expected_fetches
        waits.append(caught.value.retry_after)
        monotonic.now += caught.value.retry_after
    assert waits == [1, 2, 4, 8, 16, 30, 30]


async def test_an_issuer_that_goes_down_later_changes_nothing_for_the_keys_at_hand(
    source: KeySource, verifier: TokenVerifier, provider: Provider
) -> None:
    await source.refresh()
    await provider.stop()
    await source.refresh()
    assert (await verifier.verify(sign(claims(provider.issuer), OLD))).name == "Ada Example"
    assert await refusal(verifier, sign(claims(provider.issuer), NEW)) == "unknown_key"


async def test_a_key_set_without_a_signing_key_is_the_issuers_word_and_asked_for_with_backoff(
    source: KeySource, verifier: TokenVerifier, provider: Provider, monotonic: Clock
) -> None:
    await source.refresh()
    provider.keys = [public(OLD, use="enc")]
    await source.refresh()
    for _ in range(20):
        with pytest.raises(KeysUnavailable):
            await verifier.verify(sign(claims(provider.issuer), OLD))
    assert provider.jwks_requests == 2
    provider.keys = [public(OLD)]
    monotonic.now += 1
    assert (await verifier.verify(sign(claims(provider.issuer), OLD))).name == "Ada Example"


# -- rotation


async def test_a_new_key_is_fetched_when_a_token_names_it(
    source: KeySource, verifier: TokenVerifier, provider: Provider
) -> None:
    await source.refresh()
    provider.keys = [public(NEW), public(OLD)]
    assert (await verifier.verify(sign(claims(provider.issuer), NEW))).name == "Ada Example"
    assert (await verifier.verify(sign(claims(provider.issuer), OLD))).name == "Ada Example"
    assert provider.jwks_requests == 2


@pytest.mark.parametrize("kid", ["1", None])
async def test_a_new_key_under_the_id_of_the_old_one_is_fetched_too(
    kid: str | None, source: KeySource, verifier: TokenVerifier, provider: Provider
) -> None:
    provider.keys = [public(OLD, kid="1")]
    await source.refresh()
    provider.keys = [public(NEW, kid="1")]
    assert (await verifier.verify(sign(claims(provider.issuer), NEW, kid=kid))).name == "Ada Example"


async def test_a_revoked_key_is_out_of_use_after_a_refresh_even_for_tokens_seen_before(
    source: KeySource, verifier: TokenVerifier, provider: Provider
) -> None:
    provider.keys = [public(NEW), public(OLD)]
    token = sign(claims(provider.issuer), OLD)
    await verifier.verify(token)
    assert verifier.cached(token) is not None
    provider.keys = [public(NEW)]
    await source.refresh()
    assert verifier.cached(token) is None
    assert await refusal(verifier, token) == "unknown_key"


async def test_a_flood_of_unknown_keys_is_one_fetch_per_interval(
    source: KeySource, verifier: TokenVerifier, provider: Provider, monotonic: Clock
) -> None:
    await source.refresh()
    good = sign(claims(provider.issuer), OLD)

    async def flood() -> None:
        tokens = [sign(claims(provider.issuer), NEW, kid=f"random-{number}") for number in range(100)]
        assert set(await asyncio.gather(*(refusal(verifier, token) for token in tokens))) == {"unknown_key"}

    for expected_fetches in (2, 3, 4):
        await flood()
        await flood()
        assert provider.jwks_requests == expected_fetches
        monotonic.now += 9.9
        await flood()
        assert provider.jwks_requests == expected_fetches
        assert (await verifier.verify(good)).name == "Ada Example"
        monotonic.now += 0.1


async def test_tokens_that_no_key_could_sign_start_no_fetch(
    source: KeySource, verifier: TokenVerifier, provider: Provider
) -> None:
    await source.refresh()
    for token in ("", "a.b.c", f"{encode({'alg': 'none', 'kid': 'x'})}.e30.", f"{encode({'alg': 'HS256'})}.e30.e30"):
        await refusal(verifier, token)
    assert provider.jwks_requests == 1


async def test_the_generation_grows_with_changes_alone(make_source: MakeSource, provider: Provider) -> None:
    outcomes: list[FetchOutcome] = []
    source = make_source(on_fetch=outcomes.append)
    steps = [
        [public(OLD)],
        [public(OLD)],
        [public(OLD, x5c=["MIIB"])],
        [public(NEW), public(OLD)],
        [public(OLD), public(NEW), public(NEW)],
        [public(NEW)],
        [public(NEW, alg="ES256", use="sig")],
        [public(NEW, kid="other")],
        [public(OLD, kid="other")],
    ]
    generations = []
    for provider.keys in steps:
        await source.refresh()
        generations.append(source.generation)
    assert generations == [1, 1, 1, 2, 2, 3, 3, 4, 5]
    assert outcomes.count("changed") == 5
    assert "failed" not in outcomes


async def test_a_key_that_cannot_be_used_is_logged_once_and_harms_no_other(
    source: KeySource, provider: Provider
) -> None:
    provider.keys = [{"kty": "oct", "k": "c2VjcmV0", "kid": "weak"}, public(NEW, use="enc"), public(OLD)]
    with capture_logs() as logs:
        for _ in range(3):
            await source.refresh()
    assert kids(source) == {"old"}
    ignored = [entry for entry in logs if entry["event"] == "issuer_key_ignored"]
    assert [(entry["kid"], entry["reason"]) for entry in ignored] == [("weak", "unsupported key type")]
    assert "c2VjcmV0" not in json.dumps(logs)


# -- many callers, one fetch


async def test_callers_share_one_fetch(verifier: TokenVerifier, provider: Provider) -> None:
    provider.answer_jwks = provider.hang
    tokens = [sign(claims(provider.issuer, sub=str(number)), OLD) for number in range(50)]
    callers = [asyncio.create_task(verifier.verify(token)) for token in tokens]
    await provider.asked.wait()
    provider.release.set()
    assert {principal.name for principal in await asyncio.gather(*callers)} == {"Ada Example"}
    assert provider.jwks_requests == 1


async def test_a_caller_that_leaves_takes_the_fetch_from_nobody(verifier: TokenVerifier, provider: Provider) -> None:
    provider.answer_jwks = provider.hang
    first = asyncio.create_task(verifier.verify(sign(claims(provider.issuer), OLD)))
    await provider.asked.wait()
    second = asyncio.create_task(verifier.verify(sign(claims(provider.issuer, sub="2"), OLD)))
    first.cancel()
    await asyncio.wait({first})
    provider.release.set()
    assert (await second).name == "Ada Example"
    assert provider.jwks_requests == 1


async def test_callers_wait_for_a_slow_issuer_no_longer_than_their_patience(
    make_source: MakeSource, provider: Provider
) -> None:
    provider.keys = [public(OLD)]
    provider.answer_jwks = provider.hang
    fetched = asyncio.Event()
    source = make_source(timing=Timing(patience=0.01), on_fetch=lambda _: fetched.set())
    with pytest.raises(KeysUnavailable):
        await source.refetch()
    provider.release.set()
    await fetched.wait()
    assert kids(source) == {"old"}
    assert provider.jwks_requests == 1


async def test_known_keys_are_read_while_a_fetch_is_under_way(
    source: KeySource, verifier: TokenVerifier, provider: Provider
) -> None:
    await source.refresh()
    provider.asked.clear()
    provider.answer_jwks = provider.hang
    fetch = asyncio.create_task(source.refresh())
    await provider.asked.wait()
    assert (await verifier.verify(sign(claims(provider.issuer), OLD))).name == "Ada Example"
    assert not fetch.done()
    provider.release.set()
    await fetch


# -- in the background


def outcome_queue() -> tuple[asyncio.Queue[FetchOutcome], Callable[[FetchOutcome], None]]:
    queue: asyncio.Queue[FetchOutcome] = asyncio.Queue()
    return queue, queue.put_nowait


async def wait_for(queue: asyncio.Queue[FetchOutcome], outcome: FetchOutcome) -> None:
    while await queue.get() != outcome:
        pass


async def test_run_follows_the_issuer_without_being_asked(make_source: MakeSource, provider: Provider) -> None:
    queue, on_fetch = outcome_queue()
    source = make_source(timing=FAST, on_fetch=on_fetch)
    provider.keys = [public(OLD)]
    async with running(source):
        await wait_for(queue, "changed")
        provider.keys = [public(NEW)]
        await wait_for(queue, "changed")
        assert kids(source) == {"new"}


async def test_run_recovers_from_failures(make_source: MakeSource, provider: Provider) -> None:
    queue, on_fetch = outcome_queue()
    source = make_source(timing=FAST, on_fetch=on_fetch)
    provider.keys = [public(OLD)]
    provider.answer_discovery = TROUBLE["500"]
    async with running(source):
        await wait_for(queue, "failed")
        await wait_for(queue, "failed")
        provider.answer_discovery = None
        await wait_for(queue, "changed")
        assert kids(source) == {"old"}


async def test_run_that_is_cancelled_ends_its_fetch_and_leaves_nobody_hanging(
    source: KeySource, provider: Provider
) -> None:
    provider.answer_jwks = provider.hang
    async with running(source) as task:
        await provider.asked.wait()
        caller = asyncio.create_task(source.refetch())
        await asyncio.sleep(0)
    assert task.cancelled()
    with pytest.raises(KeysUnavailable):
        await caller

"""Random writes through the API and past it, among random faults: every answer is true, and the index ends up right.

A few sequences in the default run. CHAOS_SEQUENCES says how many instead.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.api.bodies import EDITOR, VIEWER
from tests.api.conftest import Surroundings, callers_session, deployed, embedded, issuing, serving_segments
from tests.chaos.mischief import Fault
from tests.chaos.scene import LABEL, TEAM, Look, Scene
from tests.support.faults import Lost, Refused, Relay, Torn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

    from tests.api.clusters import Cluster
    from tests.support.envtest import RealCluster

SEQUENCES = int(os.environ.get("CHAOS_SEQUENCES", "0"))
STEPS = 25 if SEQUENCES else 12

IDS = ["segment-a", "segment-b", "segment-c"]
HTML = b"<html><body>no healthy upstream</body></html>"

ids = st.sampled_from(IDS)
looks = st.builds(
    Look,
    description=st.sampled_from(["", "Ordered by sales"]),
    labels=st.sampled_from([(), (LABEL,), (LABEL, "weekly"), ("weekly",)]),
    roles=st.sampled_from(
        [
            None,
            {"editor": [EDITOR], "viewer": [VIEWER]},
            {"editor": [EDITOR], "viewer": [VIEWER, TEAM]},
            {"editor": [TEAM, EDITOR], "viewer": [VIEWER]},
            {"editor": [TEAM], "viewer": [VIEWER]},  # the writer may only look on from here
        ]
    ),
)


def refusals(*statuses: int) -> st.SearchStrategy[Refused]:
    return st.builds(
        Refused,
        st.sampled_from(statuses),
        st.sampled_from([None, HTML, b"", b'{"kind": "Status", "cod', b"\xff\xfe"]),
        st.sampled_from([{}, {"Retry-After": "0"}]),
    )


delays = st.floats(0.001, 0.3)


def faults(*kinds: str) -> st.SearchStrategy[Fault]:
    """What befalls calls of some of these kinds."""
    befallen = st.sets(st.sampled_from(kinds), min_size=1).map(frozenset)
    times = st.integers(1, 3)
    before = st.just(Lost()) | refusals(429, 500, 503, 504) | delays
    # a 429 says for certain that nothing was done
    after = st.sampled_from([Lost(), Torn()]) | refusals(500, 503, 504) | delays
    return st.one_of(
        st.builds(Fault, before, st.just("before"), befallen, times),
        st.builds(Fault, after, st.just("after"), befallen, times),
    )


committed_but_unanswered = Fault(Lost(), "after", frozenset({"write"}), 1)
trouble = st.lists(faults("write", "get"), max_size=2) | st.just([committed_but_unanswered])
expiry = st.just(Fault(Refused(410), "before", frozenset({"watch"}), 1))


@asynccontextmanager
async def surroundings(cluster: AbstractAsyncContextManager[Cluster], directory: Path) -> AsyncIterator[Surroundings]:
    async with (
        cluster as it,
        issuing() as issuer,
        callers_session() as http,
        aiohttp.ClientSession(connector=it.connector()) as admin,
    ):
        yield Surroundings(it, issuer, http, admin, directory)


@asynccontextmanager
async def begun(around: Surroundings) -> AsyncIterator[Scene]:
    async with Relay(around.cluster) as relay, deployed(around, relay=relay) as deployment:
        scene = Scene(relay, deployment)
        for segment_id in IDS[1:]:
            await scene.create(segment_id)
            await scene.read(segment_id)
        yield scene


class Sequence(RuleBasedStateMachine):
    """The steps are synchronous, as Hypothesis wants them; all that they do happens in the portal's event loop."""

    portal: BlockingPortal
    around: Surroundings

    def __init__(self) -> None:
        super().__init__()
        self._context = self.portal.wrap_async_context_manager(begun(self.around))
        self._scene = self._context.__enter__()

    def teardown(self) -> None:
        try:
            self.portal.call(self._scene.settle)
        finally:
            self._context.__exit__(None, None, None)

    @rule(segment_id=ids, look=looks, trouble=trouble)
    def create(self, segment_id: str, look: Look, trouble: list[Fault]) -> None:
        self._scene.mischief.arrange(*trouble)
        self.portal.call(self._scene.create, segment_id, look)

    @rule(segment_id=ids, look=looks, with_if_match=st.booleans(), trouble=trouble)
    def replace(self, segment_id: str, look: Look, with_if_match: bool, trouble: list[Fault]) -> None:
        self._scene.mischief.arrange(*trouble)
        self.portal.call(lambda: self._scene.replace(segment_id, look, with_if_match=with_if_match))

    @rule(segment_id=ids, with_if_match=st.booleans(), trouble=trouble)
    def delete(self, segment_id: str, with_if_match: bool, trouble: list[Fault]) -> None:
        self._scene.mischief.arrange(*trouble)
        self.portal.call(lambda: self._scene.delete(segment_id, with_if_match=with_if_match))

    @rule(segment_ids=st.lists(ids, min_size=1, max_size=2, unique=True), trouble=trouble)
    def storm(self, segment_ids: list[str], trouble: list[Fault]) -> None:
        self._scene.mischief.arrange(*trouble)
        self.portal.call(self._scene.storm, segment_ids)

    @rule(segment_id=ids)
    def read(self, segment_id: str) -> None:
        self.portal.call(self._scene.read, segment_id)

    @rule(segment_id=ids, look=looks)
    def create_past_it(self, segment_id: str, look: Look) -> None:
        self.portal.call(self._scene.create_past_it, segment_id, look)

    @rule(segment_id=ids, look=looks)
    def change_past_it(self, segment_id: str, look: Look) -> None:
        self.portal.call(self._scene.change_past_it, segment_id, look)

    @rule(segment_id=ids)
    def spoil_past_it(self, segment_id: str) -> None:
        self.portal.call(self._scene.spoil_past_it, segment_id)

    @rule(segment_id=ids)
    def delete_past_it(self, segment_id: str) -> None:
        self.portal.call(self._scene.delete_past_it, segment_id)

    @rule(fault=faults("watch", "list") | expiry)
    def hinder_reflector(self, fault: Fault) -> None:
        self._scene.mischief.arrange(fault)

    @rule()
    def hold_watch(self) -> None:
        self.portal.call(self._scene.mischief.hold_watch)

    @rule(fault=st.sampled_from([Lost(), Torn()]))
    def tear_watch(self, fault: Lost | Torn) -> None:
        self.portal.call(self._scene.mischief.tear_watch, fault)

    @rule(seconds=st.floats(0.01, 0.5))
    def freeze(self, seconds: float) -> None:
        self.portal.call(self._scene.mischief.freeze, seconds)

    @rule()
    def drop(self) -> None:
        self.portal.call(self._scene.mischief.drop)

    @rule(seconds=st.floats(0.01, 1))
    def cut(self, seconds: float) -> None:
        self.portal.call(self._scene.mischief.cut, seconds)

    @rule()
    def heal(self) -> None:
        self.portal.call(self._scene.mischief.heal)


@contextmanager
def happening(cluster: AbstractAsyncContextManager[Cluster], directory: Path) -> Iterator[type[Sequence]]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(surroundings(cluster, directory)) as it:
        yield type("Sequence", (Sequence,), {"portal": portal, "around": it})


def check(sequence: type[Sequence]) -> None:
    chosen = settings(
        max_examples=SEQUENCES or 3,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=not SEQUENCES,
        phases=[Phase.generate],  # a sequence that fails takes too long, and too much chance, to be made shorter
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(sequence, settings=chosen)


@asynccontextmanager
async def real(cluster: RealCluster) -> AsyncIterator[Cluster]:
    yield serving_segments(cluster)


@pytest.mark.timeout(7200)
def test_on_the_emulator(tmp_path: Path) -> None:
    with happening(embedded(), tmp_path) as sequence:
        check(sequence)


@pytest.mark.timeout(7200)
@pytest.mark.real_cluster
def test_on_a_real_api_server(real_cluster: RealCluster, tmp_path: Path) -> None:
    with happening(real(real_cluster), tmp_path) as sequence:
        check(sequence)

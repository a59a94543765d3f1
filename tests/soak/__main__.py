"""The command: see the package."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp

from segsvc.devcluster.samples import sample_segments
from tests.api.bodies import EDITOR, VIEWER, body
from tests.api.client import Client
from tests.api.clusters import DISPLAY_NAME, Cluster, Resources
from tests.api.conftest import callers_session, embedded, issuing, serving_segments
from tests.api.process import running
from tests.chaos.mischief import Fault, Mischief
from tests.chaos.scene import SETTLE_PATIENCE, WRITE_PATIENCE
from tests.support.envtest import RealCluster, assets_directory, unique_namespace
from tests.support.faults import Lost, Refused, Relay, Torn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.api.client import Answer
    from tests.api.process import Running

SEGMENTS = 20_000
READERS, SEARCHERS, WRITERS = 8, 2, 4
PAUSE = 0.05
"""Seconds between an answer and its caller's next request."""
PAGE = 20
SAMPLE = 2.0
REPORT = 30.0
ROLES = "segment.grnry.io/roles"
START_PATIENCE = 120.0

GAUGES = {"rss": "process_resident_memory_bytes", "descriptors": "process_open_fds", "tasks": "segsvc_tasks"}
ALLOWED = {"rss": (1.10, 8 * 2**20), "descriptors": (1.0, 10), "tasks": (1.0, 10)}
"""By which factor, and by how much besides, each may be more at the end than after the warm-up."""


class Sample(NamedTuple):
    """What the process looked like at a time."""

    at: float
    rss: float
    descriptors: float
    tasks: float


class Soak:
    """The load, the faults, and what was seen."""

    def __init__(self, client: Client, resources: Resources, ops_url: str, relay: Relay, dice: random.Random) -> None:
        self._client = client
        self._resources = resources
        self._ops_url = ops_url
        self._mischief = Mischief(relay)
        self._dice = dice
        self._ids: list[str] = []
        self.answers: Counter[tuple[str, int | str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.slowest: dict[str, float] = {}
        self.samples: list[Sample] = []

    async def run(self, seconds: float, ids: list[str], session: aiohttp.ClientSession) -> None:
        """Keep it up for so long, then end all faults."""
        self._ids = ids
        words = ["summer", "customers berlin", "vip", "churn", "newsletter", "loyal", "premium", "kunden"]

        async def read() -> None:
            if self._dice.random() < 0.5:
                offset = self._dice.randrange(0, len(ids), PAGE)
                await self._ask("list", {200}, self._client.list(offset=offset, pagesize=PAGE))
            else:
                await self._ask("read", {200, 404}, self._client.read(self._dice.choice(ids)))

        async def search() -> None:
            text = f"{self._dice.choice(words)} {self._dice.choice('abcdefghij')}"
            await self._ask("search", {200}, self._client.list(search=text))

        async def write() -> None:
            own = f"soak-{self._dice.randrange(200)}"
            name = f"Soaked {self._dice.randrange(10**6)}"
            match self._dice.randrange(4):
                case 0:
                    await self._ask("create", {200, 409, 503}, self._client.create(body(name), own))
                case 1:
                    await self._ask("replace", {200, 404, 409, 503}, self._client.replace(own, body(name)))
                case 2:
                    await self._ask("delete", {204, 404, 409, 503}, self._client.delete(own))
                case _:
                    await self._resources.annotate(self._dice.choice(ids), description=name)

        over = asyncio.Event()

        async def again(call: Callable[[], Awaitable[None]]) -> None:
            while not over.is_set():
                await call()
                await asyncio.sleep(PAUSE)

        callers = [*[read] * READERS, *[search] * SEARCHERS, *[write] * WRITERS]
        asking = [asyncio.create_task(again(caller)) for caller in callers]
        beside = [asyncio.create_task(self._interfere()), asyncio.create_task(self._watch(session))]
        done, _ = await asyncio.wait([*asking, *beside], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
        over.set()
        await asyncio.gather(*asking)  # no write is under way when the cluster is looked at
        await self._mischief.heal()

    async def warm_up(self, ids: list[str]) -> None:
        """Ask for everything that will be asked for, so that what the service keeps of answers is kept by then."""
        pages = range(0, len(ids), PAGE)
        paths = [f"/segments/{segment_id}" for segment_id in ids]
        paths += [f"/segments?offset={offset}&pagesize={PAGE}" for offset in pages] * 2  # kept when asked for again
        waiting = iter(paths)

        async def ask() -> None:
            for path in waiting:
                assert (await self._client.get(path)).status == 200, path

        await asyncio.gather(*(ask() for _ in range(8)))

    async def _ask(self, what: str, expected: set[int], asked: Awaitable[Answer]) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(WRITE_PATIENCE):
                status: int | str = (await asked).status
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is one
            status = type(error).__name__
        self.slowest[what] = max(self.slowest.get(what, 0), time.monotonic() - began)
        self.answers[what, status] += 1
        if status not in expected:
            self.unexpected.append(f"{what}: {status}")

    async def _interfere(self) -> None:
        """Make a fault every few seconds, each over before long."""
        mischief, dice = self._mischief, self._dice
        everything = frozenset({"write", "get", "list", "watch"})

        async def befall() -> None:
            troubles: list[Lost | Torn | Refused | float] = [Lost(), Torn(), 0.3]
            troubles += [Refused(503), Refused(429), Refused(500, b"<html>")]
            what = dice.choice(troubles)
            mischief.arrange(Fault(what, dice.choice(["before", "after"]), everything, dice.randint(1, 20)))

        async def expire() -> None:
            mischief.arrange(Fault(Refused(410), "before", frozenset({"watch"}), 1))
            await mischief.drop()

        faults: dict[str, Callable[[], Awaitable[None]]] = {
            "calls that fail": befall,
            "history expired": expire,
            "watch torn": lambda: mischief.tear_watch(Lost() if dice.random() < 0.5 else Torn()),
            "watch held": mischief.hold_watch,
            "frozen": lambda: mischief.freeze(dice.uniform(0.2, 3)),
            "connections dropped": mischief.drop,
            "unreachable": lambda: mischief.cut(dice.uniform(0.2, 3)),
        }
        while True:
            await asyncio.sleep(dice.uniform(1, 4))
            name = dice.choice(list(faults))
            self.faults[name] += 1
            await faults[name]()
            await asyncio.sleep(dice.uniform(0.5, 2))
            await mischief.heal()

    async def _watch(self, session: aiohttp.ClientSession) -> None:
        """Take samples, and print one now and then."""
        began = told = time.monotonic()
        while True:
            async with session.get(f"{self._ops_url}/metrics") as response:
                text = await response.text()
            found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
            now = time.monotonic()
            self.samples.append(Sample(now - began, *(float(found[gauge]) for gauge in GAUGES.values())))
            if now - told > REPORT:
                told = now
                print(f"{_shown(self.samples[-1])}; {sum(self.answers.values())} answers", flush=True)
            await asyncio.sleep(SAMPLE)

    async def difference(self) -> str | None:
        """Say how the index differs from the cluster, once there has been time to settle; None if it does not."""
        expected = {
            each["metadata"]["name"]: each["metadata"]["annotations"].get(DISPLAY_NAME)
            for each in await self._resources.all()
        }
        until = time.monotonic() + SETTLE_PATIENCE
        while True:
            shown: dict[str, str] = {}
            total = 1
            while len(shown) < total:
                page = (await self._client.list(offset=len(shown), pagesize=1000)).json
                total = page["totalCount"]
                shown |= {item["id"]: item["metadata"]["displayName"] for item in page["items"]}
                if not page["items"]:
                    break
            if shown == expected:
                return None
            if time.monotonic() > until:
                wrong = sorted(set(shown.items()) ^ set(expected.items()))
                return f"{len(shown)} segments are shown, of {len(expected)}; {len(wrong)} differ: {wrong[:6]}"
            await asyncio.sleep(0.2)

    def verdict(self) -> list[str]:
        """Say what is wrong with what was seen."""
        wrong = [f"unexpected answer: {what}, {count} times" for what, count in Counter(self.unexpected).items()]
        last = self.samples[-1].at if self.samples else 0
        early = [sample for sample in self.samples if last * 0.25 <= sample.at < last * 0.5]
        late = [sample for sample in self.samples if sample.at >= last * 0.75]
        if len(early) < 5 or len(late) < 5:
            return [*wrong, "too few samples to tell anything from"]
        for gauge, (factor, slack) in ALLOWED.items():
            before, after = (median(getattr(sample, gauge) for sample in part) for part in (early, late))
            print(f"{gauge}: {_amount(gauge, before)} after the warm-up, {_amount(gauge, after)} at the end")
            if after > before * factor + slack:
                wrong.append(f"{gauge} grew from {_amount(gauge, before)} to {_amount(gauge, after)}")
        return wrong


def _amount(gauge: str, value: float) -> str:
    return f"{value / 2**20:.1f} MiB" if gauge == "rss" else f"{value:.0f}"


def _shown(sample: Sample) -> str:
    return f"{sample.at:5.0f} s: " + ", ".join(f"{gauge} {_amount(gauge, getattr(sample, gauge))}" for gauge in GAUGES)


@asynccontextmanager
async def some_cluster() -> AsyncIterator[Cluster]:
    assets = assets_directory()
    if assets is None:
        async with embedded() as cluster:
            yield cluster
    else:
        with RealCluster(assets) as real:
            yield serving_segments(real)


async def fill(
    admin: aiohttp.ClientSession, cluster: Cluster, namespace: str, count: int
) -> tuple[list[str], set[str]]:
    """Create samples; return their ids, and every role that any of them names."""
    samples = list(sample_segments(count, namespace=namespace))
    roles = {EDITOR, VIEWER}
    for sample in samples:
        named = json.loads(sample["metadata"]["annotations"].get(ROLES, "{}"))
        roles.update(*named.values())
    url = f"{cluster.url}/apis/{samples[0]['apiVersion']}/namespaces/{namespace}/segments"
    waiting = iter(samples)

    async def create() -> None:
        for sample in waiting:
            async with admin.post(url, json=sample, headers=cluster.headers) as response:
                assert response.status == 201, await response.text()

    await asyncio.gather(*(create() for _ in range(16)))
    return [sample["metadata"]["name"] for sample in samples], roles


async def until_ready(process: Running, session: aiohttp.ClientSession) -> dict[str, Any]:
    """Return where the process serves, once it is ready."""
    started = await process.event("started")
    async with asyncio.timeout(START_PATIENCE):
        while True:
            async with session.get(f"{started['ops_url']}/readyz") as response:
                if response.status == 200:
                    return started
            await asyncio.sleep(0.1)


async def soak(minutes: float, segments: int, seed: int) -> list[str]:
    """Run it; return what is wrong."""
    namespace = unique_namespace("soak")
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segsvc-soak-")))
        cluster = await stack.enter_async_context(some_cluster())
        issuer = await stack.enter_async_context(issuing())
        session = await stack.enter_async_context(callers_session())
        admin = await stack.enter_async_context(aiohttp.ClientSession(connector=cluster.connector()))
        ids, roles = await fill(admin, cluster, namespace, segments)
        print(f"{segments} segments in {cluster.kind}, seed {seed}", flush=True)
        relay = await stack.enter_async_context(Relay(cluster))
        kubeconfig = cluster.write_kubeconfig(directory / "kubeconfig", namespace=namespace, url=relay.url)
        settings = {
            "KUBECONFIG": str(kubeconfig),
            "SEGSVC_NAMESPACE": namespace,
            "SEGSVC_OIDC_ISSUER": issuer.issuer,
            "SEGSVC_HOST": "127.0.0.1",
            "SEGSVC_PORT": "0",
            "SEGSVC_OPS_PORT": "0",
        }
        process = await stack.enter_async_context(running("serve", **settings))
        urls = await until_ready(process, session)
        token = issuer.issue(name="Sophie", email="sophie@example.com", roles=sorted(roles))
        resources = Resources(admin, cluster, namespace)
        it = Soak(Client(session, urls["url"], token), resources, urls["ops_url"], relay, random.Random(seed))
        await it.warm_up(ids)
        await it.run(minutes * 60, ids, session)
        wrong = [difference] if (difference := await it.difference()) else []
        print(f"faults: {dict(it.faults)}")
        print(
            "answers: "
            + ", ".join(f"{what} {status}: {n}" for (what, status), n in sorted(it.answers.items(), key=str))
        )
        print("slowest: " + ", ".join(f"{what} {seconds:.2f} s" for what, seconds in sorted(it.slowest.items())))
        unforeseen = [line for line in process.err if '"level":"error"' in line or "Traceback" in line]
        return [*wrong, *it.verdict(), *(f"logged: {line.strip()}" for line in unforeseen[:5])]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="The service under load, among faults.")
    parser.add_argument("--minutes", type=float, default=15, help="default: %(default)s")
    parser.add_argument("--segments", type=int, default=SEGMENTS, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of load and faults; default: any")
    options = parser.parse_args()
    wrong = asyncio.run(soak(options.minutes, options.segments, options.seed))
    for each in wrong:
        print(f"soak: {each}")
    print("verdict: " + ("FAILED" if wrong else "passed"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

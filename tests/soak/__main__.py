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
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import aiohttp

from tests.api.bodies import EDITOR, body, with_env
from tests.api.client import Client
from tests.api.clusters import Cluster, Resources
from tests.api.conftest import callers_session, embedded, issuing, serving_segments
from tests.api.process import running
from tests.chaos.filled import fill
from tests.chaos.mischief import Fault, Mischief
from tests.chaos.scene import SETTLE_PATIENCE, WRITE_PATIENCE
from tests.chaos.shown import content, document
from tests.soak.growth import trend
from tests.soak.record import Record
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
WORDS = ["summer", "customers berlin", "vip", "churn", "newsletter", "loyal", "premium", "kunden"]
SEARCHES = [f"{word} {letter}" for word in WORDS for letter in "abcdefghij"]
SAMPLE = 2.0
REPORT = 30.0
START_PATIENCE = 120.0

GAUGES = {"rss": "process_resident_memory_bytes", "descriptors": "process_open_fds", "tasks": "segsvc_tasks"}
SLACK = {"rss": 4 * 2**20, "descriptors": 3, "tasks": 3}
"""By how much each may rise within the last three quarters, besides what its noise could make of nothing."""


class Sample(NamedTuple):
    """What the process looked like at a time."""

    at: float
    rss: float
    descriptors: float
    tasks: float


class Soak:
    """The load, the faults, and what was seen."""

    def __init__(
        self,
        client: Client,
        resources: Resources,
        record: Record,
        *,
        ops_url: str,
        mischief: Mischief,
        dice: random.Random,
    ) -> None:
        self._client = client
        self._resources = resources
        self._record = record
        self._ops_url = ops_url
        self._mischief = mischief
        self._dice = dice
        self.answers: Counter[tuple[str, int | str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.slowest: dict[str, float] = {}
        self.samples: list[Sample] = []

    async def run(self, seconds: float, ids: list[str], roles: list[str], session: aiohttp.ClientSession) -> None:
        """Keep it up for so long, then end all faults. The caller has all of these roles."""
        dice, client, record = self._dice, self._client, self._record

        async def read() -> None:
            if dice.random() < 0.5:
                await show("list", client.list(offset=dice.randrange(0, len(ids), PAGE), pagesize=PAGE))
            else:
                answer = await self._ask("read", {200, 404}, client.read(dice.choice(ids)))
                if answer is not None and answer.status == 200:
                    record.shown(answer.json)

        async def search() -> None:
            await show("search", client.list(search=dice.choice(SEARCHES)))

        async def show(what: str, asked: Awaitable[Answer]) -> None:
            answer = await self._ask(what, {200}, asked)
            if answer is not None and answer.status == 200:
                for item in answer.json["items"]:
                    record.shown(item)

        async def write() -> None:
            own = f"soak-{dice.randrange(200)}"
            mark = f"Soaked {dice.randrange(10**6)}"
            sent = body(mark, data=with_env(MARK=mark), description=mark, labels=[mark])
            since = record.reached
            match dice.randrange(4):
                case 0:
                    answer = await self._ask("create", {200, 409, 503}, client.create(sent, own))
                case 1:
                    answer = await self._ask("replace", {200, 404, 409, 503}, client.replace(own, sent))
                case 2:
                    answer = await self._ask("delete", {204, 404, 409, 503}, client.delete(own))
                case _:
                    await alter(dice.choice(ids), mark)
                    return
            if answer is not None and answer.status == 200:
                record.stored(answer)
            elif answer is not None and answer.status == 204:
                record.deleted(own, answer, since=since)

        async def alter(segment_id: str, mark: str) -> None:
            """Change one thing of a segment past the service."""
            match dice.randrange(5):
                case 0:
                    await self._resources.annotate(segment_id, display_name=mark)
                case 1:
                    await self._resources.annotate(segment_id, description=mark)
                case 2:
                    await self._resources.annotate(segment_id, labels=json.dumps([mark]))
                case 3:
                    named = {"editor": [EDITOR], "viewer": dice.sample(roles, 2)}
                    await self._resources.annotate(segment_id, roles=json.dumps(named))
                case _:
                    await self._resources.patch(segment_id, {"spec": {"env": {"MARK": mark}}})

        await record.begin()
        over = asyncio.Event()

        async def again(call: Callable[[], Awaitable[None]]) -> None:
            while not over.is_set():
                await call()
                await asyncio.sleep(PAUSE)

        callers = [*[read] * READERS, *[search] * SEARCHERS, *[write] * WRITERS]
        asking = [asyncio.create_task(again(caller)) for caller in callers]
        beside = [asyncio.create_task(each) for each in (self._interfere(), self._watch(session), record.follow())]
        done, _ = await asyncio.wait([*asking, *beside], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        over.set()
        await asyncio.gather(*asking)  # no write is under way when the cluster is looked at
        await record.complete()
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
        await self._mischief.heal()

    async def warm_up(self, ids: list[str]) -> None:
        """Ask for all that will be asked for, and for more: what is kept of answers is to be full before it begins."""
        paths = [f"/segments/{segment_id}" for segment_id in ids]
        pages = [f"/segments?offset={offset}&pagesize={PAGE}" for offset in range(0, len(ids), PAGE // 4)]
        pages += [f"/segments?search={quote(text)}" for text in SEARCHES]
        paths += pages * 2  # a page is kept when asked for again
        waiting = iter(paths)

        async def ask() -> None:
            for path in waiting:
                assert (await self._client.get(path)).status == 200, path

        await asyncio.gather(*(ask() for _ in range(8)))

    async def _ask(self, what: str, expected: set[int], asked: Awaitable[Answer]) -> Answer | None:
        """Wait for an answer, and return it if there is one."""
        began, answer = time.monotonic(), None
        try:
            async with asyncio.timeout(WRITE_PATIENCE):
                answer = await asked
            status: int | str = answer.status
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is one
            status = type(error).__name__
        self.slowest[what] = max(self.slowest.get(what, 0), time.monotonic() - began)
        self.answers[what, status] += 1
        if status not in expected:
            self.unexpected.append(f"{what}: {status}")
        return answer

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
        expected = {each["metadata"]["name"]: document(each) for each in await self._resources.all()}
        until = time.monotonic() + SETTLE_PATIENCE
        while True:
            shown: dict[str, Any] = {}
            total = 1
            while len(shown) < total:
                page = (await self._client.list(offset=len(shown), pagesize=1000)).json
                total = page["totalCount"]
                shown |= {item["id"]: content(item) for item in page["items"]}
                if not page["items"]:
                    break
            if shown == expected:
                return None
            if time.monotonic() > until:
                ids = sorted(key for key in shown.keys() | expected if shown.get(key) != expected.get(key))
                first = f"{shown.get(ids[0])} is shown of {expected.get(ids[0])}"
                return f"{len(shown)} segments are shown, of {len(expected)}; {len(ids)} differ: {first}"
            await asyncio.sleep(0.2)

    def verdict(self) -> list[str]:
        """Say what is wrong with what was seen."""
        wrong = [f"unexpected answer: {what}, {count} times" for what, count in Counter(self.unexpected).items()]
        last = self.samples[-1].at if self.samples else 0
        late = [sample for sample in self.samples if sample.at >= last * 0.25]
        if len(late) < 20:
            return [*wrong, "too few samples to tell anything from"]
        for gauge, slack in SLACK.items():
            line = trend([(sample.at, getattr(sample, gauge)) for sample in late])
            allowed = line.allowed(slack)
            told = f"{_amount(gauge, line.end)} at the end, {_amount(gauge, line.per_hour)} an hour more"
            unseen = f"up to {_amount(gauge, allowed)} would pass, by a noise of {_amount(gauge, line.noise)}"
            print(f"{gauge}: {told}; {unseen}")
            if line.per_hour > allowed:
                wrong.append(f"{gauge} grows: {told}")
        return wrong


def _amount(gauge: str, value: float) -> str:
    return f"{value / 2**20:.1f} MiB" if gauge == "rss" else f"{value:.1f}"


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
        client, record = Client(session, urls["url"], token), Record(cluster, namespace, resources)
        dice = random.Random(seed)
        it = Soak(client, resources, record, ops_url=urls["ops_url"], mischief=Mischief(relay), dice=dice)
        await it.warm_up(ids)
        await it.run(minutes * 60, ids, sorted(roles), session)
        wrong = [difference] if (difference := await it.difference()) else []
        untrue = record.untrue()
        wrong += untrue[:5] + ([f"and {len(untrue) - 5} more like these"] if len(untrue) > 5 else [])
        print(f"held against the cluster: {record}")
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

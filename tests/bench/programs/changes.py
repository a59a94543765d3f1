"""A program: changes descriptions at a rate, through the API or in the cluster itself, whether or not answers come.

Fetches what it will change, prints a line, and waits. Each SIGUSR1 begins a run, which prints a line too, or ends it,
which prints what came of it as a line of JSON. Ends with SIGTERM.
"""

import argparse
import asyncio
import json
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.bench.programs import client

KNOWN = 1000
"""How many segments are changed in turns."""
DESCRIPTION = "segment.grnry.io/description"
MERGE = {"Content-Type": "application/merge-patch+json"}


@dataclass
class Run:
    """What came of a run."""

    began: float = field(default_factory=time.perf_counter)
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def told(self) -> str:
        """Return it as JSON."""
        ordered = sorted(self.seconds) or [0.0]
        return json.dumps(
            {
                "changes": len(self.seconds),
                "failures": self.failures[:3],
                "rate": len(self.seconds) / (time.perf_counter() - self.began),
                "p50_ms": ordered[len(ordered) // 2] * 1e3,
                "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
            }
        )


async def main() -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", help="URL of the service's API, whose segments are changed")
    client.add_options(parser, required=False)
    parser.add_argument("--rate", type=float, required=True, help="changes in a second")
    options = parser.parse_args()
    loop = asyncio.get_running_loop()
    stop, toggled = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, toggled.set)
    async with client.session(options) as session:
        change = await (_through_api(session, options.api) if options.api else _in_cluster(session, options.cluster))
        print("ready", flush=True)
        runs = asyncio.create_task(_runs(toggled, change, options.rate))
        await stop.wait()
        runs.cancel()
        await asyncio.gather(runs, return_exceptions=True)


async def _runs(toggled: asyncio.Event, change: Callable[[], Awaitable[str]], rate: float) -> None:
    while True:
        await toggled.wait()
        toggled.clear()
        print("begun", flush=True)
        run = Run()
        paced = asyncio.create_task(_paced(run, change, rate))
        await toggled.wait()
        toggled.clear()
        paced.cancel()
        await asyncio.gather(*run.tasks)
        print(run.told(), flush=True)


async def _paced(run: Run, change: Callable[[], Awaitable[str]], rate: float) -> None:
    async def once() -> None:
        began = time.perf_counter()
        try:
            failure = await change()
        except (aiohttp.ClientError, OSError) as error:
            failure = repr(error)
        run.seconds.append(time.perf_counter() - began)
        if failure:
            run.failures.append(failure)

    number = 0
    while True:
        task = asyncio.create_task(once())
        run.tasks.add(task)
        task.add_done_callback(run.tasks.discard)
        number += 1
        await asyncio.sleep(max(run.began + number / rate - time.perf_counter(), 0))


async def _through_api(session: aiohttp.ClientSession, url: str) -> Callable[[], Awaitable[str]]:
    """Return what changes a segment by a PUT of all of it and says what went wrong, if anything did."""
    async with session.get(f"{url}/segments", params={"pagesize": 1}) as response:
        total = (await response.json())["totalCount"]
    known: list[dict[str, Any]] = []
    for offset in range(0, total, max(total // (KNOWN // 20), 20)):
        async with session.get(f"{url}/segments", params={"pagesize": 20, "offset": offset}) as response:
            known += (await response.json())["items"]

    async def change() -> str:
        segment = random.choice(known)
        segment["metadata"]["description"] = f"Changed at {time.time():.6f}."
        async with session.put(f"{url}/segments/{segment['id']}", json=segment) as response:
            return "" if response.status == 200 else f"{response.status}: {await response.text()}"

    return change


async def _in_cluster(session: aiohttp.ClientSession, collection: str) -> Callable[[], Awaitable[str]]:
    """Return what patches a resource and says what went wrong, if anything did."""
    async with session.get(collection, params={"limit": KNOWN}) as response:
        known = [resource["metadata"]["name"] for resource in (await response.json())["items"]]

    async def change() -> str:
        body = {"metadata": {"annotations": {DESCRIPTION: f"Changed at {time.time():.6f}."}}}
        async with session.patch(f"{collection}/{random.choice(known)}", json=body, headers=MERGE) as response:
            return "" if response.status == 200 else f"{response.status}: {await response.text()}"

    return change


if __name__ == "__main__":
    asyncio.run(main())

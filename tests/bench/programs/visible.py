"""A program: how long a change made with another client takes to become visible in the service.

Changes descriptions in the cluster at a rate. After each, asks the service for the segment with ``minRevision``, the
revision that the cluster has just told of, and checks that the answer holds the change. Prints the milliseconds of
each, counted from the change's request and from its answer, with those of the same read right after.
"""

import argparse
import asyncio
import json
import time

import aiohttp

from tests.bench.programs import client
from tests.bench.programs.changes import DESCRIPTION, KNOWN, MERGE


async def main() -> None:
    """Measure for a while."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", required=True)
    parser.add_argument("--api-token", required=True)
    client.add_options(parser)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    caller = {"Authorization": f"Bearer {options.api_token}"}
    found: dict[str, list[float]] = {"from_answer": [], "from_request": [], "read": []}
    async with (
        client.session(options) as cluster,
        aiohttp.ClientSession(headers=caller) as api,
    ):
        known = await _visible(cluster, api, options)

        async def once(number: int) -> None:
            name = known[number % len(known)]  # so that no two changes of one are under way at a time
            text = f"Changed as number {number} at {time.time():.6f}."
            patch = {"metadata": {"annotations": {DESCRIPTION: text}}}
            requested = time.perf_counter()
            async with cluster.patch(f"{options.cluster}/{name}", json=patch, headers=MERGE) as response:
                response.raise_for_status()
                raw = await response.read()
                answered = time.perf_counter()
            revision = json.loads(raw)["metadata"]["resourceVersion"]
            shown = await _read(api, options.api, name, revision=revision)
            seen = time.perf_counter()
            if shown != text:
                raise SystemExit(f"revision {revision} does not show what it holds: {shown!r}, not {text!r}")
            await _read(api, options.api, name, revision="0")
            read = time.perf_counter()
            found["from_answer"].append((seen - answered) * 1e3)
            found["from_request"].append((seen - requested) * 1e3)
            found["read"].append((read - seen) * 1e3)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(round(options.rate * options.seconds)):
                await asyncio.sleep(max(began + number / options.rate - time.perf_counter(), 0))
                tasks.create_task(once(number))
        took = time.perf_counter() - began
    print(json.dumps({"seconds": took, **found}), flush=True)


async def _visible(
    cluster: aiohttp.ClientSession, api: aiohttp.ClientSession, options: argparse.Namespace
) -> list[str]:
    """Return names of resources that the caller may read."""
    async with cluster.get(options.cluster, params={"limit": KNOWN}) as response:
        response.raise_for_status()
        listed = [resource["metadata"]["name"] for resource in (await response.json())["items"]]
    known = []
    for name in listed:
        async with api.get(f"{options.api}/segments/{name}") as response:
            if response.status == 200:
                known.append(name)
    return known


async def _read(api: aiohttp.ClientSession, url: str, name: str, *, revision: str) -> str:
    async with api.get(f"{url}/segments/{name}", params={"minRevision": revision}) as response:
        response.raise_for_status()
        return str(json.loads(await response.read())["metadata"]["description"])


if __name__ == "__main__":
    asyncio.run(main())

"""A program: what a user might write instead, as the original was: each request lists the cluster.

A small aiohttp handler on uvloop, with aiohttp's client and its pool of connections to the cluster, rapidfuzz, orjson.
It checks no token and shows every caller everything. Prints its URL, and ends with SIGTERM.
"""

import argparse
import asyncio
import signal
from typing import Any

import orjson
import uvloop
from aiohttp import web
from rapidfuzz import fuzz, process, utils

from tests.bench.programs import client

ANNOTATIONS = "segment.grnry.io/"
SCORE = 80


async def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    client.add_options(parser)
    options = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with client.session(options) as session:

        async def handler(request: web.Request) -> web.Response:
            async with session.get(options.cluster) as response:
                response.raise_for_status()
                resources = orjson.loads(await response.read())["items"]
            segments = [_segment(resource) for resource in resources]
            search = request.query.get("search")
            if search:
                names = [segment["metadata"]["displayName"] for segment in segments]
                found = process.extract(
                    search,
                    names,
                    scorer=fuzz.WRatio,
                    processor=utils.default_process,
                    score_cutoff=SCORE,
                    limit=None,
                )
                segments = [segments[place] for _, _, place in found]
            offset, count = int(request.query.get("offset", "0")), int(request.query.get("pagesize", "20"))
            page = {"items": segments[offset : offset + count], "totalCount": len(segments)}
            return web.Response(body=orjson.dumps(page), content_type="application/json")

        application = web.Application()
        application.router.add_get("/segments", handler)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await stop.wait()
        await runner.cleanup()


def _segment(resource: dict[str, Any]) -> dict[str, Any]:
    annotations = resource["metadata"]["annotations"]

    def parsed(name: str) -> Any:
        text = annotations.get(ANNOTATIONS + name)
        return orjson.loads(text) if text else None

    return {
        "id": resource["metadata"]["name"],
        "metadata": {
            "displayName": annotations.get(f"{ANNOTATIONS}display-name", ""),
            "description": annotations.get(f"{ANNOTATIONS}description", ""),
            "createdAt": annotations.get(f"{ANNOTATIONS}created-at", ""),
            "modifiedAt": annotations.get(f"{ANNOTATIONS}modified-at", ""),
            "createdBy": parsed("created-by"),
            "modifiedBy": parsed("modified-by"),
        },
        "roles": parsed("roles"),
        "data": resource["spec"],
        "labels": parsed("labels") or [],
    }


if __name__ == "__main__":
    uvloop.run(main())

"""A program: fetch a cluster's whole list and parse it, with as little around it as can be. Prints JSON, and ends."""

import argparse
import json
import time

import orjson
import uvloop

from tests.bench.programs import client


async def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser()
    client.add_options(parser)
    options = parser.parse_args()
    async with client.session(options) as session:
        began = time.perf_counter()
        async with session.get(options.cluster) as response:
            response.raise_for_status()
            body = await response.read()
        fetched = time.perf_counter() - began
        segments = len(orjson.loads(body)["items"])
        took = time.perf_counter() - began
    print(json.dumps({"wall": took, "fetched": fetched, "segments": segments, "bytes": len(body)}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())

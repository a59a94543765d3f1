"""A program: fetch a cluster's whole list and parse it, with as little around it as can be. Prints JSON, and ends."""

import argparse
import json
import ssl
import time

import aiohttp
import orjson
import uvloop


async def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cluster", required=True, help="URL of the collection")
    parser.add_argument("--token")
    parser.add_argument("--ca-file")
    options = parser.parse_args()
    context = ssl.create_default_context(cafile=options.ca_file) if options.ca_file else True
    # a compressed list takes the API server many times as long
    headers = {"Accept-Encoding": "identity"}
    if options.token:
        headers["Authorization"] = f"Bearer {options.token}"
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=context)) as session:
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

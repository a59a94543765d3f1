"""A program: aiohttp and nothing else on uvloop, the reference that reads are held against.

One handler, which returns the same bytes every time: no middleware, no headers but those that aiohttp sends anyway.
Prints its URL, and ends with SIGTERM.
"""

import argparse
import asyncio
import signal
from pathlib import Path

import uvloop
from aiohttp import web


async def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--path", required=True)
    parser.add_argument("--status", type=int, required=True)
    parser.add_argument("--body", type=Path, required=True, help="a file with the bytes to return")
    options = parser.parse_args()
    body, status = options.body.read_bytes(), options.status

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type="application/json")

    async def bodiless(_: web.Request) -> web.Response:
        return web.Response(status=status)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    application = web.Application()
    application.router.add_get(options.path, handler if body else bodiless)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())

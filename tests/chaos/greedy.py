"""The command of a caller who asks at full speed: on so many connections, on each for several things in a row.

It asks each path in turn, with a number in place of ``{}``, reads nothing but how many answers there are, and prints
their number whenever a line comes in. In a process of its own, for else it would hold up who measures.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from urllib.parse import urlsplit

IN_A_ROW = 8
BEGINNING = b"HTTP/1.1 200 "


class Greedy(asyncio.Protocol):
    """A connection."""

    answers = 0
    """On all."""

    def __init__(self, requests: itertools.chain[bytes] | map[bytes]) -> None:
        self._requests = requests
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask(IN_A_ROW)

    def data_received(self, data: bytes) -> None:
        seen = self._rest + data
        answers = seen.count(BEGINNING)
        self._rest = seen[1 - len(BEGINNING) :]  # too short to be counted again
        Greedy.answers += answers
        self._ask(answers)

    def _ask(self, count: int) -> None:
        assert self._transport is not None
        self._transport.writelines(itertools.islice(self._requests, count))


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    head = f"Host: localhost\r\nAuthorization: Bearer {options.token}\r\n\r\n"
    requests = map(f"GET {options.path} HTTP/1.1\r\n{head}".format, itertools.count())
    encoded = map(str.encode, requests)
    address = urlsplit(options.url)
    loop = asyncio.get_running_loop()
    for _ in range(options.connections):
        await loop.create_connection(lambda: Greedy(encoded), address.hostname, address.port)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(Greedy.answers, flush=True)


if __name__ == "__main__":
    asyncio.run(main())

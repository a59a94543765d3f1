"""The whole service on the embedded cluster, in a thread of its own: the callers here are synchronous."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp

from segsvc.app import run
from segsvc.dev import DevOptions, settings_for, surroundings

PATIENCE = 30


@dataclass(frozen=True, slots=True)
class RunningService:
    """Where the service is, and a token of an editor."""

    url: str
    token: str

    def clear(self) -> None:
        """Delete every segment that the editor sees."""
        for segment in json.loads(self._call("GET", "?pagesize=1000"))["items"]:
            self._call("DELETE", f"/{segment['id']}")

    def _call(self, method: str, path: str) -> bytes:
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.url}/segments{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            body: bytes = response.read()
            return body


@contextmanager
def running_service() -> Iterator[RunningService]:
    """Run the service, without any segments, until the context ends."""
    ready: Future[RunningService] = Future()
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(ready, stop)), name="service")
    thread.start()
    try:
        yield ready.result(timeout=PATIENCE)
    finally:
        stop.set()
        thread.join()


async def _serve(ready: Future[RunningService], stop: threading.Event) -> None:
    options = DevOptions(port=0, ops_port=0, segments=0)
    try:
        async with surroundings(options) as around, run(settings_for(options, around)) as application:
            await _until_ready(application.ops_url)
            ready.set_result(RunningService(application.url, around.editor_token))
            await asyncio.to_thread(stop.wait)
    except Exception as error:  # whatever it is, the waiting thread is told
        if ready.done():
            raise
        ready.set_exception(error)


async def _until_ready(ops_url: str) -> None:
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{ops_url}/readyz") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.01)

"""A program: the service, as `segsvc serve` runs it, with a heartbeat in its event loop.

Answers each SIGUSR1 with a line of JSON on the beats since the last: by how many milliseconds they were late, which is
for how long something else had the loop for itself; up to one of them is due to the loop's clock. Tells the most CPU
time between two beats, too: what was late without it waited for its core. Ends with SIGTERM.
"""

import asyncio
import json
import os
import signal
import time

import uvloop

from segsvc.app import run
from segsvc.cluster.collector import settle_collector
from segsvc.settings import Settings
from segsvc.telemetry import configure_logging

BEAT = 0.001
"""Seconds between two beats: the least that uvloop's timers know."""


class Heart:
    """Beats in a loop, and keeps how late each beat was."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late: list[float] = []
        self._busy: list[float] = []
        self._last, self._last_cpu = time.perf_counter(), time.thread_time()

    def beat(self) -> None:
        """Beat now, and again in a moment."""
        now, cpu = time.perf_counter(), time.thread_time()
        self._late.append(now - self._last - BEAT)
        self._busy.append(cpu - self._last_cpu)
        self._last, self._last_cpu = now, cpu
        self._loop.call_later(BEAT, self.beat)

    def tell(self) -> None:
        """Print what there was since last time."""
        late, self._late = sorted(self._late), []
        busy, self._busy = max(self._busy), []
        told = {
            "beats": len(late),
            "max_ms": late[-1] * 1e3,
            "max_cpu_ms": busy * 1e3,
            "p999_ms": late[int(len(late) * 0.999)] * 1e3,
            "p99_ms": late[int(len(late) * 0.99)] * 1e3,
        }
        print(json.dumps(told), flush=True)


async def main() -> None:
    """Run until told to stop."""
    settings = Settings.from_environment(os.environ)
    configure_logging(settings.log_level, settings.log_format)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with run(settings):
        heart = Heart()
        loop.add_signal_handler(signal.SIGUSR1, heart.tell)
        heart.beat()
        await stop.wait()


if __name__ == "__main__":
    settle_collector()
    uvloop.run(main())

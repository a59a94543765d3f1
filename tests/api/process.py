"""The command as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.api.waiting import PATIENCE

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Callable, Sequence

Event = dict[str, Any]


def environment(**settings: str) -> dict[str, str]:
    """The environment with these settings, and none of the ones that happen to be set here."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("SEGSVC_") and key != "KUBECONFIG"}
    return {**kept, **settings}


SEGSVC = ("-m", "segsvc")


async def spawn(*arguments: str, program: Sequence[str] = SEGSVC, **settings: str) -> asyncio.subprocess.Process:
    """Start the command, or another program that Python is told to run."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *program,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**settings),
    )


async def outcome(*arguments: str, **settings: str) -> tuple[int | None, str, str]:
    """Run the command to its end; return exit status, stdout and stderr."""
    process = await spawn(*arguments, **settings)
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


class Running:
    """A process that runs, and what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._news = asyncio.Condition()
        self.out: list[str] = []
        self.err: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(process.stdout, self.out)),
            asyncio.create_task(self._read(process.stderr, self.err)),
        ]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def events(self) -> list[Event]:
        """What it has logged as JSON; every line must be."""
        return [json.loads(line) for line in self.err]

    async def event(self, name: str, holds: Callable[[Event], bool] = lambda _: True) -> Event:
        """Wait for this event in its log."""

        def found() -> list[Event]:
            return [event for event in self.events if event["event"] == name and holds(event)]

        await self._wait(lambda: bool(found()))
        return found()[0]

    async def line(self, holds: Callable[[str], bool]) -> str:
        """Wait for such a line on stdout."""
        await self._wait(lambda: any(map(holds, self.out)))
        return next(filter(holds, self.out))

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop_reading_its_log(self) -> None:
        """Close our end of its stderr: it can write no more there."""
        pipe = self._process._transport.get_pipe_transport(2)  # type: ignore[attr-defined]
        pipe.close()

    async def ended(self) -> int:
        """Wait for its end; return the exit status."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._readers)
            return await self._process.wait()

    async def end(self) -> None:
        """End it, whatever it does."""
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()

    async def _wait(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            while not holds():
                assert not all(reader.done() for reader in self._readers), [*self.out, *self.err]
                await self._news.wait()

    async def _read(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        async for line in stream:
            async with self._news:
                lines.append(line.decode())
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()


@asynccontextmanager
async def running(*arguments: str, program: Sequence[str] = SEGSVC, **settings: str) -> AsyncIterator[Running]:
    process = Running(await spawn(*arguments, program=program, **settings))
    try:
        yield process
    finally:
        await process.end()

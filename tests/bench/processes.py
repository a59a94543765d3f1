"""Processes on cores of their own: what is measured on one, everything else on another."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

STOP_PATIENCE = 30.0
"""Seconds that a program has to end in when told to."""

_TICKS = os.sysconf("SC_CLK_TCK")
_MEMORY = {"Rss": "rss", "Pss": "pss", "Private_Clean": "uss", "Private_Dirty": "uss"}


class BenchError(Exception):
    """A figure would mean nothing, or cannot be had; the text says why."""


@dataclass(frozen=True)
class Cores:
    """The core of what is measured, and the core of all else."""

    measured: int
    load: int

    @classmethod
    def available(cls) -> "Cores":
        """Take the first two that this process may use. Raises BenchError."""
        if sys.platform != "linux":
            raise BenchError("the benchmarks pin processes to cores, which takes Linux")
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise BenchError("the benchmarks need two cores: one to measure on, and one to put load on it from")
        return cls(cores[0], cores[1])

    @property
    def both(self) -> frozenset[int]:
        """For what is only prepared."""
        return frozenset({self.measured, self.load})


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Start processes on cores: they inherit them, with every thread they will have."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def going_first() -> Iterator[bool]:
    """Start processes that run before all others on their cores, if that is allowed; yield whether it is.

    What shares a core with others may wait for a tick of the clock, 4 ms, though they are to give way. What runs under
    SCHED_FIFO does not: sched(7). That is for root, and for who has CAP_SYS_NICE.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@dataclass(frozen=True)
class Process:
    """A program that runs."""

    popen: subprocess.Popen[str]
    log: Path
    """What it writes to stderr."""

    def first_line(self) -> str:
        """Wait for the first line on stdout, which says that the program is ready. Raises BenchError."""
        return self.line()

    def line(self) -> str:
        """Wait for a line on stdout. Raises BenchError when the program ends without one."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline().strip()
        if not line:
            self.popen.wait(STOP_PATIENCE)
            self.check()
            raise BenchError(f"{self.popen.args!r} ended without a word")
        return line

    def ask(self) -> str:
        """Send SIGUSR1, to which some programs answer with a line, and return the line."""
        self.popen.send_signal(signal.SIGUSR1)
        return self.line()

    def ended(self, patience: float) -> None:
        """Wait for the end of a program that ends by itself. Raises BenchError unless it ends well."""
        try:
            self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.popen.args!r} took more than {patience:g} s") from None
        if self.popen.returncode:
            self.check()

    @property
    def cpu_seconds(self) -> float:
        """The CPU time that it and its children have taken so far, outside the kernel and within."""
        return sum(map(_cpu_seconds, self._family()))

    @property
    def memory(self) -> dict[str, int]:
        """Its memory in bytes: ``rss``, ``pss`` (what it shares counted in part) and ``uss`` (only what is its own)."""
        found = dict.fromkeys(_MEMORY.values(), 0)
        for line in Path(f"/proc/{self.popen.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name in _MEMORY:
                found[_MEMORY[name]] += int(rest.split()[0]) * 1024
        return found

    def pin(self, core: int) -> None:
        """Move it and its children, with all of their threads, to a core."""
        for pid in self._family():
            for path in Path(f"/proc/{pid}/task").iterdir():
                thread = int(path.name)
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread, {core})

    def check(self) -> None:
        """Raise BenchError, with the end of its log, when it has ended."""
        if self.popen.poll() is not None:
            end = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
            raise BenchError(f"{self.popen.args!r} ended with {self.popen.returncode}\n{end}")

    def _family(self) -> list[int]:
        family = [self.popen.pid]
        for pid in family:  # which grows meanwhile
            with suppress(OSError):
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    family += map(int, (thread / "children").read_text(encoding="ascii").split())
        return family


@contextmanager
def python(
    arguments: Sequence[str], *, cores: frozenset[int], environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run Python with these arguments on cores until the context ends; an environment replaces this process's."""
    with tempfile.TemporaryDirectory(prefix="segsvc-bench-") as directory:
        log = Path(directory) / "stderr"
        with log.open("w") as stderr, on_cores(cores):
            popen = subprocess.Popen(
                [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
            )
        try:
            yield Process(popen, log)
        finally:
            popen.terminate()
            try:
                popen.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
            if popen.stdout is not None:
                popen.stdout.close()


def _cpu_seconds(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS

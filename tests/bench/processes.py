"""Processes on cores of their own: what is measured on one, everything else on another."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STOP_PATIENCE = 20.0
"""Seconds that a program has to end in when told to."""

_TICKS = os.sysconf("SC_CLK_TCK")


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


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Start processes on a core: they inherit it, with every thread they will have."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Process:
    """A program that runs."""

    popen: subprocess.Popen[str]
    log: Path
    """What it writes to stderr."""

    def first_line(self) -> str:
        """Wait for a line on stdout. Raises BenchError when the program ends without one."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline().strip()
        if not line:
            self.popen.wait(STOP_PATIENCE)
            self.check()
        return line

    @property
    def cpu_seconds(self) -> float:
        """The CPU time that it has taken so far, outside the kernel and within."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def check(self) -> None:
        """Raise BenchError, with the end of its log, when it has ended."""
        if self.popen.poll() is not None:
            end = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
            raise BenchError(f"{self.popen.args!r} ended with {self.popen.returncode}\n{end}")


@contextmanager
def python(arguments: Sequence[str], *, core: int, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run Python with these arguments on a core until the context ends; an environment replaces this process's."""
    with tempfile.TemporaryDirectory(prefix="segsvc-bench-") as directory:
        log = Path(directory) / "stderr"
        with log.open("w") as stderr, on_core(core):
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
            if popen.stdout is not None:
                popen.stdout.close()

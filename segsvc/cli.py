"""The command line: ``segsvc serve`` and ``segsvc dev``. What keeps it from starting is one line on stderr, exit 2."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypeVar

from segsvc import __version__
from segsvc.app import Application, CannotListen, TaskEnded, run
from segsvc.cluster.collector import settle_collector
from segsvc.cluster.errors import ClusterConfigInvalid
from segsvc.settings import SettingError, Settings, host_name, log_level, port_number, whole_number
from segsvc.telemetry import configure_logging, request_log

LEAVE_SECONDS = 0.4
"""How long a process that has stopped may take to be gone."""

_Value = TypeVar("_Value")


class CannotStart(Exception):
    """What a command needs is not to be had; the text says what and why."""


def process() -> NoReturn:
    """Be the process that runs a command, and end."""
    settle_collector()
    status = main(done=_end_soon)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    # the interpreter's own end has nothing left to do, and makes another status of it if nobody reads the log
    os._exit(status)


def main(arguments: Sequence[str] | None = None, *, done: Callable[[int], None] = lambda _: None) -> int:
    """Run a command; return the exit status: 0 after a signal to stop, 1 when something broke, 2 for a bad start.

    `done` hears of the status once there is nothing left to do but to close the event loop.
    """
    options = _parser().parse_args(arguments)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        status = _status(runner, _serve() if options.command == "serve" else _dev(options))
        done(status)
    return status


def _status(runner: asyncio.Runner, work: Coroutine[None, None, None]) -> int:
    try:
        runner.run(work)
    except (SettingError, CannotStart) as error:
        print(f"segsvc: {error}", file=sys.stderr)
        return 2
    except TaskEnded:  # which the log tells of
        return 1
    return 0


def _end_soon(status: int) -> None:
    """End the process in `LEAVE_SECONDS`, if it has not ended by itself.

    Closing the event loop waits for threads that look up a name, and that takes a minute where no name server answers.
    """
    request_log.flush()
    timer = threading.Timer(LEAVE_SECONDS, os._exit, (status,))
    timer.daemon = True
    timer.start()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segsvc", description="REST API for segment jobs in Kubernetes.")
    parser.add_argument("--version", action="version", version=f"segsvc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve a cluster's segments; settings come from the environment")
    dev = commands.add_parser("dev", help="serve sample segments from an embedded cluster; needs nothing")
    dev.add_argument(
        "--host",
        type=_argument(host_name),
        default="127.0.0.1",
        help="address of the API and the ops port (default: %(default)s)",
    )
    dev.add_argument(
        "--port", type=_argument(port_number), default=8080, help="port of the API; 0: any (default: %(default)s)"
    )
    dev.add_argument(
        "--ops-port",
        type=_argument(port_number),
        default=8081,
        help="port of health and metrics (default: %(default)s)",
    )
    dev.add_argument(
        "--cluster-port", type=_argument(port_number), default=0, help="port of the embedded cluster (default: any)"
    )
    dev.add_argument("--data", type=Path, metavar="FILE", help="keep the cluster in this file (default: in memory)")
    dev.add_argument(
        "--segments",
        type=_argument(whole_number),
        default=12,
        metavar="N",
        help="how many samples a new cluster gets (default: %(default)s)",
    )
    return parser


def _argument(parse: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """Let an option be read as the setting is, with the reason in what argparse says."""

    def check(text: str) -> _Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"'{text}' {error}") from None

    return check


async def _serve() -> None:
    settings = Settings.from_environment(os.environ)
    configure_logging(settings.log_level, settings.log_format)
    try:
        async with run(settings) as application:
            await _until_told(application)
    except CannotListen as error:
        raise CannotStart(f"SEGSVC_{error.setting.upper()} {error}") from error
    except ClusterConfigInvalid as error:
        raise CannotStart(f"KUBECONFIG: {error}") from error


async def _dev(options: argparse.Namespace) -> None:
    # not at the top: `serve` is to load nothing of the emulator, which takes as long to import as all of the service
    from segsvc.dev import DevOptions, StartError, settings_for, surroundings  # noqa: PLC0415

    configure_logging(log_level(os.environ, "warning"), "console")
    chosen = DevOptions(
        host=options.host,
        port=options.port,
        ops_port=options.ops_port,
        cluster_port=options.cluster_port,
        data=options.data,
        segments=options.segments,
    )
    try:
        async with surroundings(chosen) as around, run(settings_for(chosen, around)) as application:
            print(around.greeting(application.url, application.ops_url), flush=True)
            await _until_told(application)
    except StartError as error:
        raise CannotStart(str(error)) from error
    except CannotListen as error:
        raise CannotStart(f"--{error.setting.replace('_', '-')} {error}") from error


async def _until_told(application: Application) -> None:
    """Wait for SIGTERM or SIGINT, or for the end of a task that must not end."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    stop = asyncio.create_task(told.wait())
    ended = asyncio.create_task(application.ended())
    await asyncio.wait((stop, ended), return_when=asyncio.FIRST_COMPLETED)
    for task in (stop, ended):
        task.cancel()
    if ended.done() and not ended.cancelled():
        ended.result()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 (not to be had on every platform)
    except ImportError:
        return None
    return uvloop.new_event_loop

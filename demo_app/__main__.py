"""``python -m demo_app``: the command line, and what the demo prints when it starts."""

from __future__ import annotations

import argparse
import asyncio
import errno
import ipaddress
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from aiohttp_jobs import InterpreterName, JobsError

from .api_key import FILE_NAME, curl_commands, demo_api_key
from .application import create_app
from .keys import CONFIG
from .once import run_once
from .pages import allowed_modes
from .server import address_of, listen, serving
from .users import DEMO_ACCOUNTS, Account


@dataclass(frozen=True)
class Demo:
    """The demo, ready to be served."""

    app: web.Application
    listening: socket.socket
    data_dir: Path
    api_key: str | None

    @property
    def address(self) -> str:
        return address_of(self.listening)

    @property
    def api(self) -> str:
        return f"{self.address}{self.app[CONFIG].prefix}/api/v1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    options = _parser().parse_args(arguments)
    with ExitStack() as stack:
        try:
            demo = _prepare(options, stack)
        except (OSError, JobsError) as error:
            print(f"demo_app: {error}", file=sys.stderr)
            return 1
        try:
            return asyncio.run(_run(demo, once=options.once))
        except JobsError as error:  # what is found only when the application starts, such as a shared folder
            print(f"demo_app: {error}", file=sys.stderr)
            return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo_app",
        description="A small web application with aiohttp-jobs mounted in it.",
        epilog="The plugin's settings may be given as AIOHTTP_JOBS_* variables, "
        "such as AIOHTTP_JOBS_MAINLOOP_TIMEOUT=5.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, help="port to listen on; 0 picks a free one (default: 8080; with --once: 0)"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="folder that holds apps/WebHostTaskManagement/ "
        "(default: ./demo_data; with --once: a temporary folder)",
    )
    parser.add_argument(
        "--dsn",
        help="keep jobs in this PostgreSQL database, whose tables are made or brought up to date: "
        "postgresql://user@host/database",
    )
    parser.add_argument(
        "--interpreter",
        choices=[name.value for name in InterpreterName],
        help="what runs a command that names no interpreter; powershell: the specification's examples run as "
        "they are written there (default: shell)",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="submit a job in each mode over HTTP, run a function, print the results, and end; "
        "the exit code is not 0 if anything went wrong",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535")
    return int(text)


def _prepare(options: argparse.Namespace, stack: ExitStack) -> Demo:
    """Raises ``OSError`` or `JobsError`, with a sentence that says what to do."""
    port = options.port if options.port is not None else 0 if options.once else 8080
    listening = stack.enter_context(_listen(options.host, port))
    data_dir: Path | None = options.data_dir
    if data_dir is None and options.once:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aiohttp-jobs-demo-")))
    data_dir = (data_dir or Path("demo_data")).absolute()
    try:
        app = create_app(data_dir, interpreter=options.interpreter, dsn=options.dsn)
        return Demo(app, listening, data_dir, demo_api_key(app[CONFIG]))
    except OSError as error:
        raise OSError(
            f"The data folder {data_dir} cannot be used: {error.strerror}. Choose another with --data-dir."
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except (socket.gaierror, UnicodeError):
        raise OSError(f"There is no address {host!r} to listen on. Choose another with --host.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            problem = f"Port {port} on {host} is taken"
        else:
            problem = f"Cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}"
        raise OSError(f"{problem}. Choose another with --port (0 picks a free one).") from None


async def _run(demo: Demo, *, once: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(demo.app, demo.listening):
        if once:
            return await _once(demo, stop)
        _say(_welcome(demo))
        await stop.wait()
        grace = demo.app[CONFIG].shutdown_grace
        _say(f"Stopping. Jobs that still run have {grace:g} seconds to end.")
    return 0


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Whoever read this has gone (`| head`); the server goes on, and Python must not fail on
        # the rest of its buffer when it ends.
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


async def _once(demo: Demo, stop: asyncio.Event) -> int:
    """The exit code of `run_once`; 1 when it was interrupted."""
    if demo.api_key is None:
        print(f"demo_app: {_dead_key(demo)}", file=sys.stderr)
        return 1
    running = asyncio.create_task(run_once(demo.address, demo.api, demo.api_key))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
    for task in (running, stopped):
        task.cancel()
    await asyncio.wait([running, stopped])
    return 1 if running.cancelled() else running.result()


def _welcome(demo: Demo) -> str:
    config = demo.app[CONFIG]
    lines = [
        f"The aiohttp-jobs demo is listening on {demo.address} (data in {demo.data_dir}).",
        *_exposure(demo),
        "",
        f"Sign in at {demo.address}/login as",
    ]
    for name, password, roles in DEMO_ACCOUNTS:
        modes = allowed_modes(config, Account(roles=roles, password_hash=""))
        may = f"runs jobs in {', '.join(modes)}" if modes else "reads results only"
        lines.append(f"  {name:<10}{password:<15}{', '.join(roles) or 'no elevated role':<22}{may}")
    lines += ["", *_key_lines(demo), "", "Press Ctrl+C to stop."]
    return "\n".join(lines)


def _exposure(demo: Demo) -> list[str]:
    if ipaddress.ip_address(demo.listening.getsockname()[0].partition("%")[0]).is_loopback:
        return []
    return [
        "WARNING: this address is open to other machines. Everybody who reaches it can sign in with the",
        "passwords below and run commands on this machine.",
    ]


def _key_lines(demo: Demo) -> list[str]:
    if demo.api_key is None:
        return [_dead_key(demo)]
    return [
        'Or use the API key "demo", which acts as admin. Paste this into another terminal; it submits a job,',
        "waits for its result, reads it and deletes it:",
        "",
        curl_commands(demo.api, demo.api_key),
        "",
        f"The key is kept in {demo.data_dir / FILE_NAME} (mode 0600), because the plugin itself keeps only",
        "its digest and could not show it again.",
    ]


def _dead_key(demo: Demo) -> str:
    return (
        f"The API key in {demo.data_dir / FILE_NAME} was disabled or deleted. "
        "Delete that file to have a new key made at the next start."
    )


if __name__ == "__main__":
    sys.exit(main())

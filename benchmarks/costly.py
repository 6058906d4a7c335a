"""``python -m benchmarks.costly``: how long the costliest request of each route holds up everybody else.

A real host in a process of its own gets, route by route, the costliest requests that are known; meanwhile
somebody else asks it for something small, over and over. Reported is the longest that they waited for an
answer, the best of several rounds, beside what they wait when nobody else asks. Not a part of ``make bench``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys

API = "/apps/WebHostTaskManagement/api/v1"
PAGE = "/apps/WebHostTaskManagement"
MEGABYTE = 1024 * 1024
_ROUNDS = 3
_ROLES = ("debug", "task_manager", "system_admin", "site_admin")
_HOST = """
import asyncio, sys
from pathlib import Path
from aiohttp import web
import aiohttp_jobs
from aiohttp_jobs import JobsConfig

async def login(request):
    await aiohttp_jobs.remember(request, request.query["user"], request.query.getall("role"))
    return web.Response()

async def main():
    app = web.Application()
    config = JobsConfig(data_dir=Path(sys.argv[1]), max_wrong_keys=10**9, max_streams_per_user=2000)
    aiohttp_jobs.setup(app, config)
    app.router.add_post("/login", login)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()

asyncio.run(main())
"""


@dataclass(frozen=True)
class Request:
    """One costly request: `what` it is, and how it is sent; `prepare` returns headers for each round.

    `streams` of it are opened at once, and closed when each has begun.
    """

    what: str
    method: str
    path: str
    body: bytes = b""
    headers: str = ""
    key: str | None = None
    prepare: Callable[[], str] | None = None
    streams: int = 0

    def encoded(self, secret: str) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if secret:
            lines.append(f"Authorization: Bearer {secret}")
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return "\r\n".join(lines).encode() + b"\r\n" + self.headers.encode() + b"\r\n" + self.body


class Host:
    """The host, and those who use it: somebody who may do everything, and a viewer."""

    def __init__(self, folder: Path, port: int, secret: str, viewer: str) -> None:
        self.folder, self.port, self.secret, self.viewer = folder, port, secret, viewer

    def ask(self, request: Request) -> tuple[int, bytes, float]:
        """Status, body and seconds."""
        secret = self.secret if request.key is None else request.key
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            started = time.perf_counter()
            connection.sendall(request.encoded(secret))
            pieces = []
            while piece := connection.recv(1 << 20):
                pieces.append(piece)
            seconds = time.perf_counter() - started
        head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
        return int(head.split(None, 2)[1]) if head else 0, body, seconds

    def open(self, request: Request) -> tuple[int, bytes, float]:
        """The status of the last of its streams, the beginning of its answer, and seconds until all began."""
        started = time.perf_counter()
        with ExitStack() as stack:
            streams = []
            for _ in range(request.streams):
                streams.append(
                    stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=120))
                )
                streams[-1].sendall(request.encoded(self.secret))
            for each in streams:
                head = each.recv(1 << 16)
            return int(head.split(None, 2)[1]), head, time.perf_counter() - started

    def cookie(self, user_id: str) -> str:
        """The header of a new session, of a user with all roles."""
        roles = "&".join(f"role={role}" for role in _ROLES)
        sign_in = Request(
            "", "POST", f"/login?user={user_id}&{roles}", headers="Content-Length: 0\r\n", key=""
        )
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            connection.sendall(sign_in.encoded(""))
            head = connection.recv(1 << 16).decode()
        value = re.search(r"Set-Cookie: ([^;]+)", head)
        assert value, head
        return f"Cookie: {value[1]}\r\n"

    def json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        text = b"" if body is None else json.dumps(body).encode()
        status, answer, _ = self.ask(Request("", method, API + path, text))
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return dict(json.loads(answer))


@contextmanager
def running(folder: Path) -> Iterator[Host]:
    """A host on `folder`."""
    keys = ApiKeys.in_data_dir(folder)
    _, secret = keys.create(name="costly", user_id="alice", roles=_ROLES)
    _, viewer = keys.create(name="viewer", user_id="eve", roles=[])
    process = subprocess.Popen(
        [sys.executable, "-c", _HOST, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield Host(folder, int(process.stdout.readline()), secret, viewer)
    finally:
        process.stdin.close()
        process.wait(60)


def longest_wait(host: Host, attack: Callable[[], object]) -> float:
    """The longest, in seconds, that somebody else waited for an answer while `attack` ran."""
    done, waits = threading.Event(), [0.0]
    small = (
        f"GET {API}/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {host.viewer}\r\n\r\n".encode()
    )

    def ask() -> None:
        with socket.create_connection(("127.0.0.1", host.port), timeout=120) as connection:
            while not done.is_set():
                started = time.perf_counter()
                connection.sendall(small)
                answer = connection.recv(1 << 16)
                head, _, body = answer.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                while len(body) < length:
                    body += connection.recv(1 << 16)
                waits.append(time.perf_counter() - started)
                time.sleep(0.001)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.05)
    try:
        attack()
        time.sleep(0.05)
    finally:
        done.set()
        thread.join()
    return max(waits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only requests whose description has this")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    arguments = parser.parse_args()
    from .costly_requests import prepare, requests  # noqa: PLC0415 - they need what is above

    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as host:
        made = prepare(host)
        idle = min(longest_wait(host, lambda: time.sleep(0.3)) for _ in range(arguments.rounds))
        print(f"load average {os.getloadavg()[0]:.1f}; nobody else asks: {idle * 1000:.0f} ms\n")
        print("| Request | Answer | Took (ms) | Others waited (ms) |\n|---|---:|---:|---:|")
        for request in requests(made, host):
            if arguments.only not in request.what:
                continue
            print(_row(host, request, arguments.rounds), flush=True)


def _row(host: Host, request: Request, rounds: int) -> str:
    answers: list[tuple[int, float]] = []
    waits = []
    for number in range(rounds):
        headers = request.headers if request.prepare is None else request.prepare()
        sent = replace(request, body=request.body.replace(b"@@", b"%02d" % number), headers=headers)

        def attack(sent: Request = sent) -> None:
            status, _, seconds = host.open(sent) if sent.streams else host.ask(sent)
            answers.append((status, seconds))

        waits.append(longest_wait(host, attack))
    took, waited = min(seconds for _, seconds in answers) * 1000, min(waits) * 1000
    return f"| {request.what} | {answers[-1][0]} | {took:.0f} | {waited:.0f}{' !' if waited > 50 else ''} |"


def unknown_ids(count: int) -> list[str]:
    return [str(uuid.UUID(int=number)) for number in range(count)]


if __name__ == "__main__":
    main()

"""Hosts in processes of their own, to be ended or killed, and what tests wait for in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from aiohttp import ClientSession

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys

from ..conftest import API, Caller
from ..gate import PATIENCE_SECONDS, until, until_answered
from ..prefork import ROOT, Program


class Process:
    """A host on `data_dir`, on `port` or a free one.

    `minutes_from` makes its schedules' clock run sixty times as fast as the real one since that time;
    `python` is the command line of the Python that it runs with; what it writes to its standard error goes to
    `log`, if given; the package and the tests are those below `root`. Where these are our own, it is forked.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        minutes_from: float | None = None,
        python: Sequence[str] = (sys.executable,),
        log: IO[bytes] | None = None,
        root: Path = ROOT,
    ) -> None:
        self._process: Program | subprocess.Popen[bytes]
        arguments = [str(data_dir), str(port)] + ([] if minutes_from is None else [str(minutes_from)])
        read_end, write_end = os.pipe()
        self._printed = os.fdopen(read_end)
        try:
            if root == ROOT and list(python) == [sys.executable]:
                errors = 2 if log is None else log.fileno()
                with open(os.devnull) as nothing:
                    streams = nothing.fileno(), write_end, errors
                    self._process = Program("tests.hosts.plain", arguments, streams)
            else:
                command = [*python, "-m", "tests.hosts.plain", *arguments]
                self._process = subprocess.Popen(command, stdout=write_end, stderr=log, cwd=root)
        finally:
            os.close(write_end)
        told = self._printed.readline()
        if not told:
            code = self.end(signal.SIGKILL)
            raise RuntimeError(f"the host did not start, and ended with exit code {code}")
        self.port = int(told)
        self.api = f"http://127.0.0.1:{self.port}{API}"

    @property
    def url(self) -> str:
        """What `JobsClient` takes."""
        return self.api.removesuffix("/api/v1")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    def end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        code = self._process.wait(PATIENCE_SECONDS)
        self._printed.close()
        return code

    def kill(self) -> None:
        assert self.end(signal.SIGKILL) == -9


@contextmanager
def running(
    data_dir: Path,
    port: int = 0,
    minutes_from: float | None = None,
    python: Sequence[str] = (sys.executable,),
    log: IO[bytes] | None = None,
    root: Path = ROOT,
) -> Iterator[Process]:
    process = Process(data_dir, port, minutes_from, python, log, root)
    try:
        yield process
    finally:
        if process.is_alive:
            process.kill()


def new_key(data_dir: Path, user_id: str = "alice", roles: Sequence[str] = ("debug",)) -> str:
    """A key of a user's, who is a debugger if nothing else is said."""
    return ApiKeys.in_data_dir(data_dir).create(name="t", user_id=user_id, roles=roles)[1]


def caller_of(host: Process, key: str, session: ClientSession) -> Caller:
    session.headers.update({"Authorization": f"Bearer {key}"})
    return Caller(host.api, session, "alice")


async def printed(caller: Caller, job_id: str, text: str) -> None:
    async def is_there() -> bool:
        return text in (await caller.request("GET", f"/jobs/{job_id}/output")).body

    await until_answered(is_there, f"printing of {text!r} by job {job_id}")


async def written(data_dir: Path, text: str, count: int) -> None:
    """Wait until the outputs of `count` running jobs that start with `text` are on disk."""

    def found() -> bool:
        logs = data_dir.glob("apps/*/Running/*/jobs/*/log/output.*")
        return sum(path.read_text().startswith(text) for path in logs) >= count

    await until(found, f"{count} outputs that start with {text!r} on disk")

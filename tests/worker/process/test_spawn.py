"""Both ways of starting a child do the same."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aiohttp_jobs.worker.process.spawn import spawn, spawn_by_popen

REPORT = (
    "import os, sys; "
    "print(sys.argv[1:], os.getcwd(), os.getsid(0) == os.getpid(), os.environ.get('MARK'), "
    "sys.stdin.read(), [fd for fd in range(3, 100) if os.path.exists(f'/proc/self/fd/{fd}')]); "
    "print('to stderr', file=sys.stderr)"
)
Spawn = Callable[..., int]


def run(start: Spawn, arguments: list[str], folder: Path, **more: object) -> tuple[int, str]:
    read_end, write_end = os.pipe()
    try:
        pid = start(
            arguments,
            **{
                "program": arguments[0],
                "environment": {"MARK": "grün", "PYTHONUTF8": "1"},
                "folder": folder,
                "output": write_end,
                **more,
            },
        )
    finally:
        os.close(write_end)
        with os.fdopen(read_end) as output:
            text = output.read() if sys.exc_info()[0] is None else ""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


@pytest.mark.parametrize("start", [spawn, spawn_by_popen])
def test_a_child_gets_what_it_is_given_and_nothing_else(start: Spawn, tmp_path: Path) -> None:
    leaked = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(leaked, True)
    passed = os.open(os.devnull, os.O_RDONLY)
    try:
        code, text = run(
            start, [sys.executable, "-c", REPORT, "a b", "ü"], tmp_path.resolve(), pass_fds=[passed]
        )
    finally:
        os.close(leaked)
        os.close(passed)

    assert code == 0
    assert f"['a b', 'ü'] {tmp_path.resolve()} True grün  [{passed}]\n" in text
    assert "to stderr" in text


@pytest.mark.parametrize("start", [spawn, spawn_by_popen])
def test_the_end_of_a_child_can_be_told(start: Spawn, tmp_path: Path) -> None:
    assert run(start, ["/bin/sh", "-c", "exit 3"], tmp_path)[0] == 3
    assert run(start, ["/bin/sh", "-c", "kill -9 $$"], tmp_path)[0] == -signal.SIGKILL


@pytest.mark.parametrize("start", [spawn, spawn_by_popen])
def test_what_cannot_be_started_is_an_error_and_leaves_nothing_open(start: Spawn, tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")

    with pytest.raises(FileNotFoundError):
        run(start, ["/no/such/program"], tmp_path)
    with pytest.raises(PermissionError):
        run(start, [str(tmp_path)], tmp_path)
    with pytest.raises(FileNotFoundError):
        run(start, ["/bin/true"], tmp_path / "gone")

    assert len(os.listdir("/proc/self/fd")) == len(before)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)

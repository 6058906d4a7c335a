"""Commands run without a shell do exactly what they would do with one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiohttp_jobs.model.job import InterpreterName
from aiohttp_jobs.worker.background import BackgroundExecutor
from aiohttp_jobs.worker.base import Execution
from aiohttp_jobs.worker.interpreters import find_interpreters, simple_command, understood_shell
from aiohttp_jobs.worker.output.log import OutputLog

from ..gate import PATIENCE_SECONDS

pytestmark = pytest.mark.skipif(not understood_shell(), reason="/bin/sh is not dash")

PATH = "/usr/local/bin:/usr/bin:/bin"
SHOW = f"{sys.executable} -c 'import sys; print(sys.argv)'"

Run = Callable[[str], tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command as a job does; its exit code and output."""

    async def run_job(command: str) -> tuple[int, str]:
        log = OutputLog(tmp_path / "log", 10_000)
        (tmp_path / "work").mkdir(exist_ok=True)
        executor = BackgroundExecutor(find_interpreters(), 0.5)
        environment = {"PATH": PATH, "FOO": "1", "not.a.name": "2"}
        job = Execution("id", "alice", command, InterpreterName.SHELL, tmp_path, environment, log)
        return (await executor.run(job)).exit_code, log.output().text

    return lambda command: asyncio.run(run_job(command))


def by_shell(folder: Path, command: str) -> tuple[int, str]:
    file = folder / "command"
    file.write_text(command)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    environment = {"PATH": PATH, "FOO": "1", "not.a.name": "2"}
    done = subprocess.run(
        ["/bin/sh", file],
        cwd=work,
        env=environment,
        stdout=-1,
        stderr=-2,
        check=False,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "/bin/true",
        "  /bin/false \n\n",
        "uname",
        "/usr/bin/env",
        "/bin/pwd -P",
        "ls -a",
        f"{SHOW} a=b 'c d' \"e 'f' #\" g'h'\"i\" '' --j=k,l",
        f"{sys.executable} -c 'import os; os.kill(os.getpid(), 15)'",
        f"{sys.executable} -c 'import os; os.kill(os.getpid(), 13)'",
        f"{sys.executable} -c 'raise SystemExit(7)'",
    ],
)
def test_a_simple_command_ends_as_in_a_shell(run: Run, tmp_path: Path, command: str) -> None:
    assert simple_command(command, PATH) is not None
    code, output = run(command)
    expected_code, expected = by_shell(tmp_path, command)
    assert (code, sorted(output.splitlines())) == (expected_code, sorted(expected.splitlines()))


@pytest.mark.parametrize("command", ["/no/such/program x", "/etc/passwd", "/tmp", "no-such-program"])
def test_what_cannot_be_started_is_explained_by_the_shell(run: Run, tmp_path: Path, command: str) -> None:
    assert run(command) == by_shell(tmp_path, command)


def test_a_script_without_a_first_line_is_read_by_the_shell(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo $0 $1\n")
    script.chmod(0o700)
    assert run(f"{script} x") == (0, f"{script} x\n")


@pytest.mark.parametrize(
    "command",
    r"""
    echo hi|test -e x|A=1 /bin/true|/bin/true; /bin/true|/bin/true & |/bin/ls *|/bin/ls ~|/bin/ls ?
    /bin/ls [a]|/bin/ls $HOME|/bin/ls "$HOME"|/bin/ls `ls`|/bin/ls \a|/bin/ls "a\b"|/bin/ls > x|/bin/ls 2>x
    /bin/ls {a,b}|/bin/ls # x|! /bin/true|( /bin/true )|cd /|exec /bin/true|if|time /bin/true|./x|'/bin/true'
    /bin/ls 'a|/bin/ls "ä"||-x|=x|/bin/ls "`"|/bin/ls;|/bin/ls <x|. /etc/profile
    """.strip()
    .replace("\n    ", "|")
    .split("|"),
)
def test_what_is_for_the_shell_goes_to_the_shell(command: str) -> None:
    assert simple_command(command, PATH) is None


def test_lines_after_the_first_go_to_the_shell() -> None:
    assert simple_command("/bin/true\n/bin/true", PATH) is None


@pytest.mark.parametrize("path", ["", "bin", "/usr/bin:.", "/x%func:/usr/bin"])
def test_a_doubtful_search_path_goes_to_the_shell(path: str) -> None:
    assert simple_command("no-such-program", path) is None
    assert simple_command("uname", path.replace("/usr/bin", "/nothing")) is None


@settings(
    max_examples=50,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.text(alphabet="ab=/-.@%:,+ '\"\t\n#~*?!$;&|<>(){}[]\\^`", max_size=14))
def test_words_are_those_that_the_shell_finds(tmp_path: Path, text: str) -> None:
    show = tmp_path / "show"
    if not show.exists():
        show.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
        show.chmod(0o700)
    simple = simple_command(f"{show} {text}", PATH)
    if simple is not None:
        expected = "".join(f"{word}\0" for word in simple.arguments[1:]) or "\0"
        assert by_shell(tmp_path, f"{show} {text}") == (0, expected)


async def test_a_simple_command_is_one_process(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1000)
    (tmp_path / "work").mkdir()
    started: list[int] = []
    environment = {"PATH": PATH}
    job = Execution(
        "id", "a", "/bin/sleep 1000", InterpreterName.SHELL, tmp_path, environment, log, started.append
    )
    task = asyncio.create_task(BackgroundExecutor(find_interpreters(), 0.5).run(job))
    while not started:
        await asyncio.sleep(0.01)
    process = psutil.Process(started[0])
    assert process.name() == "sleep"
    assert process.children() == []
    assert os.getsid(process.pid) == process.pid
    process.terminate()
    assert (await task).exit_code == 128 + signal.SIGTERM  # as a shell tells it

"""Both ways of starting a job's process do the same, on each event loop that they are for."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
import uvloop

from aiohttp_jobs.worker.process.orphans import Orphans
from aiohttp_jobs.worker.process.process import Process, Program
from aiohttp_jobs.worker.process.starting import (
    Endings,
    PopenProcess,
    can_watch_descriptors,
    start_process,
    start_with_asyncio,
    start_with_popen,
)
from aiohttp_jobs.worker.process.with_asyncio import AsyncioProcess

from ...gate import PATIENCE_SECONDS, until
from ...hosts.process import ROOT
from ...processes import printed_by, printed_by_new_python

REPORT = (
    "import os, sys; "
    "print(sys.argv[1:], os.getcwd(), os.getsid(0) == os.getpid(), os.environ.get('MARK'), "
    "sys.stdin.read(), [fd for fd in range(3, 100) if os.path.exists(f'/proc/self/fd/{fd}')]); "
    "print('to stderr', file=sys.stderr)"
)
MARK = "AIOHTTP_JOBS_TEST_MARK"
Start = Callable[[Program], Awaitable[Process]]
Test = Callable[[Start], Awaitable[None]]
Run = Callable[[Test], None]


@pytest.fixture(
    params=[
        pytest.param((way, loop), id=f"{way.__name__}-{loop.__module__}")
        for way, loop in (
            (start_with_asyncio, asyncio.SelectorEventLoop),
            (start_with_popen, asyncio.SelectorEventLoop),
            (start_with_popen, uvloop.Loop),
            (start_process, asyncio.SelectorEventLoop),
            (start_process, uvloop.Loop),
        )
    ]
)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test's code with one way of starting, on one loop in debug mode."""
    way, loop = request.param

    def run(test: Test) -> None:
        async def main() -> None:
            endings = Endings()
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await test(lambda program: way(program, endings))
            finally:
                endings.close()

        with asyncio.Runner(loop_factory=loop, debug=True) as runner:
            runner.run(main())

    return run


async def ended(start: Start, arguments: list[str], folder: Path, *pass_fds: int) -> tuple[int, str]:
    """The exit code and the output of a program that was started."""
    read_end, write_end = os.pipe()
    environment = {"MARK": "grün", "PYTHONUTF8": "1"}
    with os.fdopen(read_end) as output:
        try:
            process = await start(Program(arguments, environment, str(folder), write_end, pass_fds=pass_fds))
        finally:
            os.close(write_end)
        code = await process.wait()
        assert not process.is_running
        assert await process.wait() == code
        return code, output.read()


def test_a_child_gets_what_it_is_given_and_nothing_else(run: Run, tmp_path: Path) -> None:
    async def test(start: Start) -> None:
        leaked = os.open(os.devnull, os.O_RDONLY)
        os.set_inheritable(leaked, True)
        passed = os.open(os.devnull, os.O_RDONLY)
        try:
            program = [sys.executable, "-c", REPORT, "a b", "ü"]
            code, text = await ended(start, program, tmp_path, passed)
        finally:
            os.close(leaked)
            os.close(passed)
        assert code == 0
        assert f"['a b', 'ü'] {tmp_path.resolve()} True grün  [{passed}]\n" in text
        assert "to stderr" in text

    run(test)


def test_the_first_argument_is_only_a_name_when_the_file_is_given(run: Run, tmp_path: Path) -> None:
    async def test(start: Start) -> None:
        with (tmp_path / "output").open("wb") as output:
            program = Program(("sh", "-c", "echo $0 $1", "zero", "one"), {}, "/", output.fileno(), "/bin/sh")
            assert await (await start(program)).wait() == 0
        assert (tmp_path / "output").read_text() == "zero one\n"

    run(test)


def test_its_umask_and_its_limits_are_the_hosts(run: Run, tmp_path: Path) -> None:
    async def test(start: Start) -> None:
        show = ["/bin/sh", "-c", "umask; ulimit -n; ulimit -c"]
        as_host = subprocess.run(show, capture_output=True, text=True, check=True).stdout
        assert await ended(start, show, tmp_path) == (0, as_host)

    run(test)


def test_signals_that_python_ignores_reach_it(run: Run, tmp_path: Path) -> None:
    async def test(start: Start) -> None:
        assert await ended(start, ["/bin/sh", "-c", "kill -PIPE $$"], tmp_path) == (-signal.SIGPIPE, "")

    run(test)


def test_the_end_of_a_child_can_be_told(run: Run, tmp_path: Path) -> None:
    async def test(start: Start) -> None:
        assert (await ended(start, ["/bin/sh", "-c", "exit 3"], tmp_path))[0] == 3
        assert (await ended(start, ["/bin/sh", "-c", "kill -9 $$"], tmp_path))[0] == -signal.SIGKILL

    run(test)


def test_what_cannot_be_started_is_an_error_and_leaves_nothing_open(run: Run, tmp_path: Path) -> None:
    async def test(start: Start) -> None:
        await ended(start, ["/bin/true"], tmp_path)  # the first one opens what stays
        before, children = os.listdir("/proc/self/fd"), psutil.Process().children()
        with pytest.raises(FileNotFoundError):
            await ended(start, ["/no/such/program"], tmp_path)
        with pytest.raises(PermissionError):
            await ended(start, [str(tmp_path)], tmp_path)
        with pytest.raises(FileNotFoundError):
            await ended(start, ["/bin/true"], tmp_path / "gone")
        assert len(os.listdir("/proc/self/fd")) == len(before)
        assert psutil.Process().children() == children  # those that nobody waited for are among them

    run(test)


async def started(start: Start, script: str, output: Path) -> tuple[Process, list[int]]:
    """A shell that runs `script`, once it has printed a line of process ids; and these."""
    with output.open("wb") as file:
        program = Program(["/bin/sh", "-c", script], {MARK: str(output)}, "/", file.fileno())
        process = await start(program)
    await until(lambda: output.read_text().endswith("\n"), "the first line that it prints")
    return process, [int(word) for word in output.read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_a_child_leaves_in_its_group_ends_with_it(run: Run, tmp_path: Path) -> None:
    async def test(start: Start) -> None:
        process, (left,) = await started(start, "sleep 1000 & echo $!; exit 5", tmp_path / "output")
        assert await process.wait() == 5
        await until(lambda: is_gone(left), "the end of what is left")

    run(test)


def test_a_child_is_stopped_with_all_descendants(run: Run, tmp_path: Path) -> None:
    async def test(start: Start) -> None:
        # One that hears of SIGTERM, one in another session, one of no parent, and the shell does not mind.
        script = (
            "trap '' TERM; sleep 1000 & setsid sleep 1001 & a=$!; (setsid sleep 1002 & echo $a $!); "
            "while :; do sleep 0.1; done"
        )
        process, pids = await started(start, script, tmp_path / "output")
        assert await process.stop(0.3, {MARK: str(tmp_path / "output")}) == -signal.SIGKILL
        await until(lambda: all(map(is_gone, pids)), "the end of its descendants")

    run(test)


def test_one_that_minds_sigterm_is_not_killed_even_if_it_was_stopped(run: Run, tmp_path: Path) -> None:
    async def test(start: Start) -> None:
        script = "trap 'exit 7' TERM; echo $$; kill -STOP $$; while :; do sleep 0.1; done"
        process, (pid,) = await started(start, script, tmp_path / "output")
        await until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "its being stopped")
        assert await process.stop(30, {MARK: str(tmp_path / "output")}) == 7

    run(test)


def test_all_who_wait_are_told_and_who_gives_up_takes_nothing_from_the_others(
    run: Run, tmp_path: Path
) -> None:
    async def test(start: Start) -> None:
        process, _ = await started(start, "echo $$; exec sleep 1000", tmp_path / "output")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.01)
        waiting = [asyncio.create_task(process.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting.pop().cancel()
        process.kill()
        assert await asyncio.gather(*waiting) == [-signal.SIGKILL] * 2
        process.kill()  # does nothing any more

    run(test)


def test_an_end_is_told_where_no_more_descriptors_may_be_opened(run: Run, tmp_path: Path) -> None:
    async def test(start: Start) -> None:
        process, _ = await started(start, "echo $$; exec sleep 1000", tmp_path / "output")
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            waiting = asyncio.create_task(process.wait())
            await asyncio.sleep(0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        process.kill()
        assert await waiting == -signal.SIGKILL

    run(test)


def test_what_stops_jobs_is_loaded_with_the_first_job_and_not_before() -> None:
    code = (
        "import sys, threading\n"
        "from aiohttp_jobs.worker.process.process import be_ready_to_stop\n"
        "wanted = {'psutil', 'aiohttp_jobs.worker.process.descendants'}\n"
        "before = wanted & set(sys.modules)\n"
        "be_ready_to_stop()\n"
        "[each.join() for each in threading.enumerate() if each is not threading.main_thread()]\n"
        "print(before, wanted <= set(sys.modules))"
    )
    assert printed_by_new_python(code) == "set() True\n"


def test_on_linux_the_leaner_way_is_taken_on_each_loop() -> None:
    async def taken() -> type[Process]:
        endings = Endings()
        process = await start_process(Program(["/bin/true"], {}, "/", 1), endings)
        await process.wait()
        endings.close()
        return type(process)

    for loop in (asyncio.SelectorEventLoop, uvloop.Loop):
        with asyncio.Runner(loop_factory=loop) as runner:
            is_lean = can_watch_descriptors() or loop is uvloop.Loop
            assert runner.run(taken()) is (PopenProcess if is_lean else AsyncioProcess)


NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def may_choose_numbers() -> bool:
    """Whether the number of the next process can be set, in a namespace of its own."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    command = [*NAMESPACE, "sh", "-c", "echo 1000 > /proc/sys/kernel/ns_last_pid"]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=False).returncode == 0


@pytest.mark.skipif(not may_choose_numbers(), reason="only Linux lets root choose the next number")
async def test_a_stranger_who_got_the_number_of_a_job_that_has_ended_is_not_killed() -> None:
    process = await asyncio.create_subprocess_exec(
        *NAMESPACE, sys.executable, "-m", "tests.worker.process.same_number", cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await printed_by(process)
    assert out.decode() == "the number is a stranger's\nthe stranger lives\n"


async def test_nothing_is_reaped_as_an_orphan_while_a_number_is_not_known_yet() -> None:
    command = [*NAMESPACE, sys.executable, "-m", "tests.worker.process.early_end"]
    if not may_choose_numbers():
        pytest.skip("PID namespaces are Linux's, and not everybody may make one")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    out, _ = await printed_by(process)
    assert out.decode() == "3\n"


def test_the_orphans_of_an_ordinary_process_are_left_to_others() -> None:
    orphans = Orphans()
    orphans.open()
    program = Program(["/bin/true"], {}, "/", 1)
    assert orphans.marked(program) is program

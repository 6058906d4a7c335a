"""The dead man's switch ends a worker's commands once it is held no longer, and nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from aiohttp_jobs.worker.process.dead_mans_switch import DeadMansSwitch, boottime, started_before
from aiohttp_jobs.worker.process.process import INSTANCE_VARIABLE, kill_marked

from ...conftest import is_alive
from ...gate import PATIENCE_SECONDS, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel has no pidfd")
LONG = 3600.0
MINE = f"worker-{uuid.uuid4()}"
"""The mark of what is to be ended here: another run of these tests on the machine ends what has its own."""
_WORKER = """
import subprocess, sys, time
from aiohttp_jobs.worker.process.dead_mans_switch import DeadMansSwitch, boottime
switch = DeadMansSwitch(sys.argv[1])
switch.hold(boottime() + float(sys.argv[2]))
# It has no mark, as a command can take it away; its session is known.
child = subprocess.Popen(["env", "-i", "/bin/sleep", "600"], start_new_session=True)
switch.watch(child.pid)
print(switch.pid, child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def mine() -> Iterator[DeadMansSwitch]:
    switch = DeadMansSwitch(MINE)
    yield switch
    switch.close()


@pytest.fixture
def others() -> Iterator[subprocess.Popen[bytes]]:
    """What must not be touched: a process in its own session, and with another worker's mark."""
    child = sleeper(f"{MINE}0")
    yield child
    child.kill()
    child.wait()


def sleeper(mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "600"], env={INSTANCE_VARIABLE: mark}, start_new_session=True)


async def test_what_is_held_runs_and_is_ended_once_it_is_not(
    mine: DeadMansSwitch, others: subprocess.Popen[bytes]
) -> None:
    mine.hold(boottime() + LONG)
    child = sleeper(MINE)
    mine.watch(child.pid)
    mine.hold(boottime() - 1)
    assert child.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    assert others.poll() is None
    # Held again, it lets the next one run.
    mine.hold(boottime() + LONG)
    following = sleeper(MINE)
    mine.watch(following.pid)
    mine.close()
    assert following.poll() is None
    following.kill()
    following.wait()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_is_killed_or_stopped_leaves_nothing_that_runs(
    end: signal.Signals, others: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    seconds = "600" if end is signal.SIGKILL else "1"
    with subprocess.Popen([sys.executable, "-c", _WORKER, MINE, seconds], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        switch, child = map(int, worker.stdout.readline().split())
        worker.send_signal(end)
        await until(lambda: not is_alive(child), "the end of the command")
        worker.kill()
        await until(lambda: not is_alive(switch), "the end of the switch")
    assert others.poll() is None


async def test_another_is_started_when_it_is_gone_and_knows_what_it_knew(mine: DeadMansSwitch) -> None:
    mine.hold(boottime() + LONG)
    with subprocess.Popen(["env", "-i", "/bin/sleep", "600"], start_new_session=True) as child:
        mine.watch(child.pid)
        assert mine.pid is not None
        before = mine.pid
        os.kill(before, signal.SIGKILL)
        await until(lambda: not is_alive(before), "the end of the switch")
        mine.hold(boottime() + LONG)
        assert mine.pid not in {before, None}
        mine.hold(boottime() - 1)
        assert child.wait(PATIENCE_SECONDS) == -signal.SIGKILL


async def test_a_command_is_killed_before_what_it_has_started_and_so_cannot_go_on_without_it(
    mine: DeadMansSwitch, tmp_path: Path
) -> None:
    mine.hold(boottime() + LONG)
    script = f"for n in $(seq 100); do sleep 600 & done; : > {tmp_path}/up; sleep 600; : > {tmp_path}/went-on"
    with subprocess.Popen(
        ["/bin/sh", "-c", script], env={INSTANCE_VARIABLE: MINE}, start_new_session=True
    ) as command:
        mine.watch(command.pid)
        await until((tmp_path / "up").exists, "all that the command starts")
        mine.hold(boottime() - 1)
        assert command.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    assert not (tmp_path / "went-on").exists()


def test_what_a_process_begins_once_it_has_come_back_is_not_killed_for_what_it_had_left() -> None:
    marks = {INSTANCE_VARIABLE: f"worker-{uuid.uuid4()}"}
    with sleeper(marks[INSTANCE_VARIABLE]) as left:
        time.sleep(0.03)  # the kernel counts in hundredths
        lost_at = boottime()
        with sleeper(marks[INSTANCE_VARIABLE]) as begun:
            killed = kill_marked(marks, partial(started_before, moment=lost_at))
            alive = is_alive(left.pid), is_alive(begun.pid)
            kill_marked(marks)
    assert (killed, alive) == (1, (False, True))

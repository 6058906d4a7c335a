"""The door: ``ps``, which shows every user of the machine the command lines of all processes."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from ..conftest import Host
from ..gate import Gate

# In two halves, so that the process that looks does not find itself.
WORD = "a-password-" + "in-a-command"


def command_lines() -> dict[int, str]:
    """Of every process of this machine that can be seen."""
    return {
        each.pid: " ".join(each.info["cmdline"])
        for each in psutil.process_iter(["cmdline"])
        if each.info["cmdline"]
    }


@pytest.mark.parametrize("interpreter", ["shell", "python"])
@pytest.mark.parametrize("mode", ["MainLoop", "Runspace", "BackgroundJob"])
async def test_somebody_on_the_machine_reads_commands_while_they_run(
    host: Host, tmp_path: Path, mode: str, interpreter: str
) -> None:
    gate = Gate(tmp_path / "gate")
    is_shell = interpreter == "shell"
    waiting = gate.shell if is_shell else gate.awaiting_python
    caller = host.caller("debug")
    job_id = await caller.submit(f"word='{WORD}'\n{waiting}", mode, interpreter=interpreter)
    await gate.reached()
    shown = command_lines()
    gate.open()
    # It was looked at, and so were all others.
    assert gate.pids[0] in shown
    assert {pid: line for pid, line in shown.items() if WORD in line} == {}
    assert (await caller.result(job_id))["Success"] is True

"""Standard streams that are full, closed, no UTF-8, or read by nobody: no traceback, the right exit code."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from typing import Any

import pytest

from ..conftest import Host
from ..gate import Gate
from ..prefork import command_for
from ..processes import printed_by
from .command import access_to

FULL = "standard output cannot be written: no space left on the device"


async def shell(line: str, env: dict[str, str], **more: str) -> tuple[int, bytes, str]:
    """Exit code, stdout and stderr of a line for bash, in which ``JOBS`` is the command.

    ``FORKED`` is one in a Python that has started already, where it does not matter how one starts or ends.
    """
    line = line.replace("JOBS", f"{shlex.quote(sys.executable)} -m aiohttp_jobs")
    if "FORKED" in line:
        line = line.replace("FORKED", shlex.join(command_for("aiohttp_jobs.cli")))
    pipes: dict[str, Any] = {"stdin": -3, "stdout": -1, "stderr": -1}
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"set -o pipefail; {line}", env={**os.environ, **env, **more}, **pipes
    )
    out, err = await printed_by(process)
    assert b"Traceback" not in err, err
    assert b"Exception ignored" not in err, err
    return process.returncode or 0, out, err.decode("utf-8", "replace")


async def test_a_pipe_gets_the_lines_that_a_terminal_shows_and_output_every_byte(host: Host) -> None:
    env = access_to(host, "debug")
    printed = r"Start\r\n10%%\r50%%\r100%%\rerror: \033[31mdisk full\033[0m\nready\b\b"
    code, out, _ = await shell(
        f"FORKED submit --wait --name bar {shlex.quote(f'printf {shlex.quote(printed)}')}", env
    )
    assert (code, out) == (0, b"Start\nerror: disk full\nready")
    job_id = json.loads((await shell("FORKED results --json", env))[1])[0]["JobID"]
    assert (await shell(f"FORKED watch {job_id}", env))[1] == out
    assert (await shell(f"FORKED results show {job_id}", env))[1].endswith(b"\n\n" + out + b"\n")
    raw = b"Start\r\n10%\r50%\r100%\rerror: \033[31mdisk full\033[0m\nready\b\b"
    assert (await shell(f"FORKED output {job_id}", env))[1] == raw


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("JOBS submit --wait 'echo hi; exit 7' > /dev/full", 7, FULL),
        ("JOBS submit --wait 'echo hi' > /dev/full", 1, FULL),
        ("JOBS submit 'true' > /dev/full", 1, FULL),
        ("JOBS jobs > /dev/full", 1, FULL),
        ("JOBS jobs --json > /dev/full", 1, FULL),
        ("JOBS --help > /dev/full", 1, FULL),
        ("JOBS submit --wait 'echo hi; exit 7' 2> /dev/full", 7, ""),
        ("JOBS submit --wait 'echo hi; exit 7' 2>&-", 7, ""),
        ("JOBS submit --wait 'echo hi; exit 7' >&-", 7, ""),
        ("JOBS submit --wait 'echo hi; exit 7' <&- >&- 2>&-", 7, ""),
        ("JOBS cancel 00000000-0000-4000-8000-000000000000 2>&-", 1, ""),
        ("JOBS cancel 00000000-0000-4000-8000-000000000000 2> /dev/full", 1, ""),
        ("JOBS submit --wait 'seq 1 200000; exit 7' | head -n 1", 7, ""),
        ("JOBS submit --wait 'seq 1 200000' | head -n 1", 0, ""),
        ("JOBS jobs | true", 141, ""),
    ],
)
async def test_no_stream_leads_to_a_traceback_or_hides_the_jobs_exit_code(
    host: Host, line: str, code: int, says: str
) -> None:
    env = access_to(host, "debug")
    if line.startswith("JOBS jobs"):
        await host.caller("debug").run("true")
        line = line.replace("| true", "| (exec <&-; sleep 0.01; true)")
    found, _, err = await shell(line, env)
    assert found in (code, 0) if "| (exec" in line else found == code, err
    assert says in err


@pytest.mark.parametrize(
    ("prints", "reader", "read"),
    [
        ("yes | head -n 50000", "head -n 1", b"y\n"),
        # The reader goes while the watcher has nothing to write.
        ("echo y", "head -n 1", b"y\n"),
        (":", "true", b""),
    ],
)
async def test_a_reader_that_goes_away_does_not_hold_the_watcher(
    host: Host, gate: Gate, prints: str, reader: str, read: bytes
) -> None:
    env = access_to(host, "debug")
    code, out, _ = await shell(f"JOBS submit --wait '{prints}; {gate.shell}' | {reader}", env)
    assert (code, out) == (141, read)
    gate.open()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
async def test_any_character_is_shown_whatever_the_encoding_is(host: Host, encoding: str) -> None:
    env = access_to(host, "debug")
    job_id = (await host.caller("debug").run("printf 'größe €'", jobName="größe € 🙂"))["JobID"]
    for command in (f"watch {job_id}", f"output {job_id}"):
        code, out, _ = await shell(f"JOBS {command}", env, PYTHONIOENCODING=encoding)
        assert (code, out.decode()) == (0, "größe €"), command  # the job's own bytes
    code, out, _ = await shell("JOBS jobs", env, PYTHONIOENCODING=encoding)
    assert (code, b"gr" in out) == (0, True)
    code, out, _ = await shell("JOBS jobs --json", env, PYTHONIOENCODING=encoding)
    assert json.loads(out.decode(encoding))[0]["JobName"] == "größe € 🙂"
    code, _, err = await shell("JOBS schedule show 'größe €'", env, PYTHONIOENCODING=encoding)
    assert (code, "no schedule with the name" in err) == (1, True)


async def test_a_command_on_stdin_that_is_no_text_is_refused_in_words(host: Host) -> None:
    env = access_to(host, "debug")
    code, _, err = await shell("printf 'echo \\377' | FORKED submit", env)
    assert (code, "cannot be read from standard input" in err) == (1, True)
    code, out, _ = await shell("printf 'echo €' | JOBS submit --wait", env, PYTHONIOENCODING="ascii")
    assert (code, out.decode()) == (0, "€\n")


async def test_a_schedule_that_does_not_run_says_why(host: Host) -> None:
    env = access_to(host, "debug")
    await shell("FORKED schedule create --name s --cron @daily --disabled true", env)
    code, out, _ = await shell("FORKED schedule change s --cron @hourly", env)
    assert (code, out) == (0, b"s is changed, but disabled.\n")
    code, out, _ = await shell("FORKED schedule enable s", env)
    assert (code, out.startswith(b"s is enabled and runs next at 20")) == (0, True)

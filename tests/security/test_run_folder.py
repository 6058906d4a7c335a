"""What a job does to its own folder, and to those of others, costs nobody but itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.system.removal import remove_tree

from ..conftest import Caller, Host, is_alive
from ..gate import Gate, until
from ..hosts.process import written
from . import traps
from .traps import Trap, put
from .victim import StartVictim, victims

BIG = 3_000_000
PRINT_MUCH = f"head -c {BIG} /dev/zero | tr '\\0' x"


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[StartVictim]:
    async with victims(tmp_path) as begin:
        yield begin


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


async def run_folder(host: Host, job_id: str) -> Path:
    """The host's folder about a running job."""

    def found() -> list[Path]:
        return list(host.base_dir.glob(f"Running/*/jobs/*_{job_id}"))

    await until(found, "the job being picked up")
    return found()[0]


async def works(host: Host, caller: Caller) -> None:
    assert (await caller.run("echo hello"))["Output"] == "hello\n"
    assert (await caller.run("print('hello')", "Runspace", interpreter="python"))["Output"] == "hello\n"


@pytest.mark.parametrize(
    ("mode", "interpreter", "command"),
    [
        ("BackgroundJob", "shell", "pwd -P; cd ..; pwd -P; ls -A; ls -A .."),
        ("Runspace", "shell", "pwd -P; cd ..; pwd -P; ls -A; ls -A .."),
        ("BackgroundJob", "shell", "dirname $0; ls -A $(dirname $0)"),
    ],
)
async def test_a_job_finds_nothing_of_the_host_s_by_its_own_folder(
    host: Host, mode: str, interpreter: str, command: str
) -> None:
    output = (await host.caller("debug").run(command, mode, interpreter=interpreter))["Output"]
    assert "Running" not in output
    for name in ("cancel", "log", "owner", "lock", "journal"):
        assert name not in output


@pytest.mark.parametrize("trap", ["mkfifo {}", "mkdir {}", "ln -s /etc/hostname {}", "echo admin > {}"])
async def test_a_job_that_puts_something_beside_its_folder_stops_nobody(host: Host, trap: str) -> None:
    alice = host.caller("debug")
    for name in ("cancel", "log", "owner", "lock", "command.sh", "../cancel", "../lock"):
        path = f"../{name}"
        await alice.run(f"rm -f {path}; {trap.format(path)} || true")
        await works(host, alice)


@pytest.mark.parametrize("trap", traps.ALL)
async def test_a_job_that_sets_a_trap_as_the_request_to_cancel_another_stops_nobody(
    start: StartVictim, trap: Trap, gate: Gate
) -> None:
    victim = await start()
    job_id = await victim.caller.submit(gate.shell)
    await gate.reached()
    (folder,) = victim.base.glob("Running/*/jobs/*")
    put(trap, folder / "cancel", victim.base)
    await victim.takes_in_drops()
    await victim.works()
    assert folder.is_dir(), "the job runs on"
    gate.open()
    assert (await victim.caller.result(job_id))["Status"] == "Succeeded"
    victim.ends()


async def test_a_job_cannot_make_it_look_as_if_an_admin_had_cancelled_another(
    start_host: Any, gate: Gate
) -> None:
    host = await start_host(poll_interval=0.05)
    alice = host.caller("debug")
    job_id = await alice.submit(gate.shell)
    folder = await run_folder(host, job_id)
    await gate.reached()
    (folder / "cancel").write_text("admin")
    await until(lambda: not (folder / "cancel").exists(), "setting the forged request aside")
    gate.open()
    result = await alice.result(job_id)
    assert (result["Status"], result.get("CancelledBy")) == ("Succeeded", None)


async def test_a_request_to_cancel_one_job_cannot_be_used_for_another(start: StartVictim, gate: Gate) -> None:
    """Signed by the host, as another process asked: copied to another job's folder it is worth nothing."""
    first = await start()
    one, other = [await first.caller.submit(gate.shell) for _ in range(2)]
    await gate.reached(2)
    second = await start()  # now, so that it has run neither of them
    folders = {path.name.rpartition("_")[2]: path for path in first.base.glob("Running/*/jobs/*")}
    os.kill(first.process.pid, signal.SIGSTOP)
    try:
        asking = asyncio.create_task(second.caller.request("POST", f"/jobs/{one}/cancel"))
        await until((folders[one] / "cancel").exists, "asking for the end of a job")
        shutil.copy(folders[one] / "cancel", folders[other] / "cancel")
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    assert (await asking).status in (200, 202)
    assert (await second.caller.result(one))["Status"] == "Cancelled"
    await until(lambda: not (folders[other] / "cancel").exists(), "setting the copy aside")
    gate.open()
    assert (await second.caller.result(other))["Status"] == "Succeeded"


@pytest.mark.parametrize("name", ["log", "log/output.000000000", "log/output.000000001", "log/spare"])
async def test_a_job_that_sets_a_trap_where_another_s_output_is_written_does_not_hold_it_up(
    host: Host, tmp_path: Path, name: str
) -> None:
    alice = host.caller("debug")
    secret = host.base_dir / "Secrets" / "submission.key"
    before = secret.read_bytes()
    for number, trap in enumerate(traps.ALL):
        gate = Gate(tmp_path / f"gate{number}")
        job_id = await alice.submit(f"{gate.shell}; {PRINT_MUCH}")
        folder = await run_folder(host, job_id)
        await gate.reached()
        put(trap, folder / name, host.base_dir)
        gate.open()
        result = await alice.result(job_id)
        assert (result["Status"], result["OutputTruncated"]) == ("Succeeded", True), trap
        assert result["Output"].endswith("x" * 1000), trap
        async with alice.session.get(f"{alice.base}/jobs/{job_id}/output") as answer:
            assert answer.status == 200, trap
            await answer.read()
    assert secret.read_bytes() == before
    await works(host, alice)


@pytest.mark.parametrize("what", ["rename", "remove"])
async def test_a_job_that_takes_another_s_run_folder_away_does_not_hold_it_up(
    host: Host, gate: Gate, what: str, tmp_path: Path
) -> None:
    alice = host.caller("debug")
    job_id = await alice.submit(f"{gate.shell}; {PRINT_MUCH}; echo; echo end")
    folder = await run_folder(host, job_id)
    await gate.reached()
    folder.rename(tmp_path / "taken") if what == "rename" else shutil.rmtree(folder)
    gate.open()
    result = await alice.result(job_id)
    assert result["Status"] == "Succeeded"
    assert result["Output"].endswith("end\n")
    await works(host, alice)


async def test_a_job_cannot_have_another_that_runs_taken_for_lost(start_host: Any, gate: Gate) -> None:
    """By a folder that looks like that of a process which died while it ran the job."""
    host = await start_host(poll_interval=0.05)
    alice = host.caller("debug")
    job_id = await alice.submit(gate.shell)
    folder = await run_folder(host, job_id)
    await gate.reached()
    fake = host.base_dir / "Running" / "0123456789abcdef0123456789abcdef"
    (fake / "jobs" / folder.name).mkdir(parents=True)
    (fake / "lock").touch()
    await until(lambda: not fake.exists(), "a look at what processes have left")
    assert (await alice.results()) == []
    gate.open()
    assert (await alice.result(job_id))["Status"] == "Succeeded"


WRECKS = {
    "removes its folder": 'rm -rf "$PWD" "$(dirname "$PWD")"',
    "takes its folder's rights": "chmod 000 . ..",
    "makes its folder a link": 'cd /; rm -rf "$OLDPWD"; ln -s /etc "$OLDPWD"',
    "makes its folder a pipe": 'cd /; rm -rf "$OLDPWD"; mkfifo "$OLDPWD"',
    "leaves a folder without rights": "mkdir a; touch a/b; chmod 000 a",
    "leaves names that are no text": "touch \"$(printf 'a\\377\\nb')\" \"$(printf '../a\\377\\nb')\"",
    "leaves a socket": "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('s')\"",
    "leaves many files": "python3 -c \"for n in range(20000): open(str(n), 'w').close()\"",
    "leaves a huge file": "truncate -s 100G huge",
}
DEEP = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')"


@pytest.mark.parametrize("wreck", WRECKS.values(), ids=WRECKS)
async def test_a_job_that_wrecks_its_folder_stops_nobody(host: Host, wreck: str) -> None:
    alice = host.caller("debug")
    await alice.run(wreck)
    await works(host, alice)
    await alice.run(wreck, "Runspace")
    await works(host, alice)


async def test_a_job_that_leaves_a_folder_in_a_folder_thousands_deep_stops_nobody(host: Host) -> None:
    alice = host.caller("debug")
    result = await alice.run(DEEP, interpreter="python")
    assert result["Status"] == "Succeeded"
    for _ in range(3):
        await works(host, alice)
    await host.stop()
    assert remove_tree(host.base_dir / "Work")  # what was left to the next start; pytest cannot remove it


async def test_names_that_are_no_runs_stop_nobody(start_host: Any, gate: Gate) -> None:
    host = await start_host(poll_interval=0.05)
    alice = host.caller("debug", "system_admin")
    job_id = await alice.submit(gate.shell)
    folder = await run_folder(host, job_id)
    for name in (b"a.attempt\xc2\xb2", b"b\xff\n_c.attempt", b".attempt1", b"_", b"x.attempt" + b"9" * 200):
        (folder.parent / os.fsdecode(name)).mkdir()
    for name in (b"output.x", b"output.\xc2\xb2", b"output.", b"output.99999999999"):
        (folder / "log").mkdir(exist_ok=True)
        (folder / "log" / os.fsdecode(name)).touch()
    assert (await alice.request("GET", f"/jobs/{job_id}/output")).status == 200
    gate.open()
    assert (await alice.result(job_id))["Status"] == "Succeeded"
    await works(host, alice)


async def test_a_survivor_of_a_killed_host_does_not_keep_the_next_from_telling_how_its_jobs_ended(
    start: StartVictim, gate: Gate, tmp_path: Path
) -> None:
    """As the last release laid its folders out, with everything a job could put there then."""
    victim = await start()
    job_ids = [await victim.caller.submit(f"echo said; {gate.shell}") for _ in range(2)]
    await gate.reached(2)
    await written(tmp_path, "said\n", 2)
    victim.process.kill()
    shutil.rmtree(victim.base / "Work")
    for folder, trap in zip(victim.base.glob("Running/*/jobs/*"), (traps.pipe, traps.folder), strict=True):
        (folder / "work").mkdir()
        (folder / "work" / "left").touch()
        (folder / "command.sh").write_text("true")
        put(trap, folder / "cancel", victim.base)
        put(trap, folder / "owner", victim.base)
    victim = await start()
    for job_id in job_ids:
        result = await victim.caller.result(job_id)
        assert (result["Status"], result["Output"].startswith("said\n")) == ("Interrupted", True)
    assert not any(is_alive(pid) for pid in gate.pids)
    await victim.works()
    await until(lambda: not any(victim.base.glob("Running/*/jobs/*")), "letting go of the folders")
    victim.ends()


async def test_what_jobs_left_of_a_host_that_was_killed_is_removed_by_the_next(
    start: StartVictim, gate: Gate
) -> None:
    victim = await start()
    job_id = await victim.caller.submit(f"touch left; {gate.shell}")
    await gate.reached()
    victim.process.kill()
    assert list(victim.base.glob("Work/*/*/work/left"))
    victim = await start()
    assert (await victim.caller.result(job_id))["Status"] == "Interrupted"
    await until(lambda: not list(victim.base.glob("Work/*/*/work/left")), "removing what was left")
    await until(lambda: not any(victim.base.glob("Running/*/jobs/*")), "letting go of the job's folder")
    victim.ends()
    assert list(victim.base.glob("Work/*")) == []

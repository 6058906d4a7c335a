# ruff: noqa: E501 - PowerShell in a line
"""The processes that run PowerShell: who gets which, what a job leaves in them, how they are stopped."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from aiohttp_jobs.worker.interpreters import RUNNER
from aiohttp_jobs.worker.powershell import runspace
from aiohttp_jobs.worker.powershell.messages import STOP, Answer, practice, read_answer, read_version

from ..conftest import Caller, Host, is_alive, one_for_all
from ..gate import until
from ..powershell import needs_pwsh
from ..processes import children

pytestmark = [
    needs_pwsh,
    pytest.mark.timeout(300),
]
MODES = ("MainLoop", "Runspace", "BackgroundJob")
LASTING = ("MainLoop", "Runspace")
"""Whose processes take another job. A background job's starts for it, which costs a second of a processor."""
StartHost = Callable[..., Awaitable[Host]]
in_one_loop = pytest.mark.asyncio(loop_scope="module")
"""Of the tests that share a host: those whose jobs leave nothing that another could see."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """A host whose processes are started once for all such tests. Whoever runs it has a profile."""
    folder = tmp_path_factory.mktemp("shared")
    profiles = folder / "home" / ".config" / "powershell"
    profiles.mkdir(parents=True)
    for name in ("profile.ps1", "Microsoft.PowerShell_profile.ps1"):
        (profiles / name).write_text("'from the profile'; $fromProfile = 1")

    # Time enough to stop on a busy machine: a process that is killed instead takes no other job.
    settings: dict[str, Any] = {"max_parallel_runspace": 2, "kill_grace": 20.0}
    async with one_for_all(folder, environment_extra={"HOME": str(folder / "home")}, **settings) as host:
        yield host


async def run(caller: Caller, command: str, mode: str = "Runspace", **fields: Any) -> dict[str, Any]:
    return await caller.run(command, mode, interpreter="powershell", **fields)


def powershells() -> set[psutil.Process]:
    """The processes below this one that run PowerShell."""
    return set(children(lambda line: "host.ps1" in " ".join(line), recursive=True))


async def test_nothing_is_started_before_the_first_such_job_and_then_a_spare_waits(
    start_host: StartHost,
) -> None:
    of_others = powershells()
    host = await start_host(powershell_spares=1)
    caller = host.caller("debug")
    await caller.run("echo a", "Runspace")
    assert powershells() <= of_others
    await run(caller, "'a'", "BackgroundJob")
    await until(lambda: len(powershells() - of_others) == 1, "one spare waits")
    await host.stop()
    assert powershells() <= of_others


@in_one_loop
async def test_one_process_serves_one_user_and_a_background_job_has_its_own(shared: Host) -> None:
    alice, bob = shared.caller("debug"), shared.caller("debug", user_id="bob")
    first = (await run(alice, "$PID"))["Output"]
    before = (await serving(alice))[int(first)]
    assert (await run(alice, "$PID"))["Output"] == first
    assert (await run(bob, "$PID"))["Output"] != first
    assert (await run(alice, "$PID", "BackgroundJob"))["Output"] != first
    view = (await serving(alice))[int(first)]
    expected = ("alice", before["JobsServed"] + 1, False)
    assert (view["UserID"], view["JobsServed"], view["Busy"]) == expected


async def serving(caller: Caller) -> dict[int, dict[str, Any]]:
    """What is told of each process of a runspace, by its id."""
    listed = await caller.request("GET", "/runspaces")
    return {view["Worker"]: view for view in listed.body["runspaces"]}


LEFT = """
$left = 1; $global:left2 = 2; $env:LEFT = 'x'; function left { 1 }; Set-Alias leftAlias Get-Item
$ErrorActionPreference = 'Stop'; $WarningPreference = 'SilentlyContinue'; Set-StrictMode -Version Latest
$PSStyle.OutputRendering = 'Ansi'; $PSStyle.Formatting.Warning = "`e[35m"
[Environment]::CurrentDirectory = '/usr'; Set-Location /usr
[cultureinfo]::DefaultThreadCurrentCulture = [cultureinfo]::new('')
$c = [cultureinfo]::InvariantCulture.Clone(); $c.NumberFormat.NumberDecimalSeparator = ','
[cultureinfo]::CurrentCulture = $c; [cultureinfo]::DefaultThreadCurrentCulture = $c
$null = New-PSDrive -Name left -PSProvider FileSystem -Root /usr
$null = Register-EngineEvent -SourceIdentifier left -Action { 'left' }
$timer = [Timers.Timer]::new(20); $null = Register-ObjectEvent $timer Elapsed -Action { }
$timer.Start()
Update-TypeData -TypeName System.String -MemberName Left -Value 1 -MemberType NoteProperty -Force
function Out-Default { 'mine' }; function prompt { 'mine' }
$PSDefaultParameterValues['Write-Output:InputObject'] = 'left'
$null = New-Module -Name leftModule -ScriptBlock { } | Import-Module -PassThru
[Console]::SetOut([IO.StreamWriter]::Null); [Console]::OutputEncoding = [Text.Encoding]::ASCII
Set-PSDebug -Trace 0; Set-PSBreakpoint -Command Get-Date -Action { 'left' } | Out-Null
try { throw 'left' } catch { }
"""
LOOK = """
"$((Get-Variable left* -Scope Global).Count) $env:LEFT $($Error.Count) $ErrorActionPreference $WarningPreference"
"$([bool](Get-Command left, leftAlias -ErrorAction SilentlyContinue)) $($PSStyle.OutputRendering)"
"$PWD $([Environment]::CurrentDirectory -eq $PWD) $(1.5) $((1.5).ToString()) $undefinedHere"
"$((Get-PSDrive).Name -contains 'left') $((Get-EventSubscriber).Count) $(@(Get-Event).Count)"
"$('x'.Left) $((Get-Command Out-Default).CommandType) $($PSDefaultParameterValues.Count) $(@(Get-PSBreakpoint).Count)"
"$((Get-Module).Name -contains 'leftModule') $([Console]::OutputEncoding.WebName) é"
Write-Warning 'w'
"""


def shown(result: dict[str, Any]) -> list[str]:
    """What `LOOK` printed, but for the job's folder."""
    folder, *rest = result["Output"].splitlines()[2].split(" ")
    assert folder.endswith("/work")
    return [*result["Output"].splitlines()[:2], *rest, *result["Output"].splitlines()[3:]]


async def test_a_process_that_waits_practises_and_no_job_shows_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runspace, "PRACTICE_AFTER_JOBS", 2)
    caller = host.caller("debug")
    before = shown(await run(caller, LOOK))

    async def look() -> list[int]:
        found = (await run(caller, "$PID; [runspace]::DefaultRunspace.Id"))["Output"].split()
        return [int(number) for number in found]

    (process, _), (_, opened) = await look(), await look()
    deadline = time.monotonic() + 60.0
    while True:  # each run has a runspace of its own
        await asyncio.sleep(0.5)
        process_now, opened_now = await look()
        assert process_now == process
        if opened_now > opened + 2:
            break
        assert time.monotonic() < deadline, "it practises within 60 s"
        opened = opened_now
    assert shown(await run(caller, LOOK)) == before


@in_one_loop
async def test_what_a_job_leaves_behind_the_next_one_does_not_find(shared: Host) -> None:
    """In the same process; that a background job has one of its own is said above."""
    caller = shared.caller("debug")
    before = await run(caller, LOOK)
    left = await run(caller, LEFT)
    assert (left["Output"], left["Success"]) == ("", True)
    after = await run(caller, LOOK)
    assert shown(after) == shown(before)
    assert shown(before)[-1] == "WARNING: w"


async def test_requests_are_read_however_they_come_and_a_late_cancellation_is_passed_over(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.ps1"
    script.write_text("exit 3")
    here, there = socket.socketpair()
    command = [*("pwsh", "-NoProfile", "-NonInteractive", "-File"), str(RUNNER / "host.ps1")]
    process = await asyncio.create_subprocess_exec(
        *(*command, "-Control", str(there.fileno()), "-Width", "120"),
        pass_fds=[there.fileno()],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    there.close()
    reader, writer = await asyncio.open_connection(sock=here)
    try:
        assert read_version(await reader.readline()) is not None
        long = practice(str(script), "long").replace(b'""', b'"' + 100_000 * "é".encode() + b'"', 1)
        writer.write(STOP + practice(str(script), "together"))
        assert read_answer(await reader.readline(), "together") == Answer(3, True)
        for piece in (STOP + long[:70_001], long[70_001:]):
            writer.write(piece)
            await writer.drain()
        assert read_answer(await reader.readline(), "long") == Answer(3, True)
    finally:
        writer.close()
        process.kill()
        await process.wait()


@in_one_loop
async def test_types_that_a_job_adds_are_not_there_for_the_next(shared: Host) -> None:
    caller = shared.caller("debug")
    added = await run(caller, "Add-Type 'public static class Mine { public static int N = 1; }'; [Mine]::N")
    assert added["Output"] == "1\n"
    assert (await run(caller, "$null -eq ('Mine' -as [type])"))["Output"] == "True\n"


@in_one_loop
async def test_the_session_of_the_main_loop_lasts_until_it_is_begun_anew(
    shared: Host, tmp_path: Path
) -> None:
    caller = shared.caller("debug")
    await run(caller, "$kept = 5; function f { \"f$kept\" }; $env:KEPT = 'e'; Set-Location /usr", "MainLoop")
    result = await run(caller, 'f; $env:KEPT; $PWD.Path; "$env:AIOHTTP_JOBS_JOB_NAME"', "MainLoop")
    assert result["Output"].splitlines() == ["f5", "e", "/usr", "test"]
    await run(caller, "function Out-Default { 'mine' }; function prompt { 'mine' }; exit 3", "MainLoop")
    result = await run(
        caller, "f; [pscustomobject]@{A = 1}; (Get-Command Out-Default).CommandType", "MainLoop"
    )
    assert (result["Output"].split(), result["ExitCode"]) == (["f5", "A", "-", "1", "Function"], 0)

    mark = tmp_path / "mark"
    job_id = await started(caller, f"'' > {mark}; Start-Sleep 600", "MainLoop", mark)
    busy = await caller.request("POST", "/mainloop/restart")
    assert (busy.status, busy.body["code"]) == (409, "conflict")
    await caller.request("POST", f"/jobs/{job_id}/cancel")
    await caller.result(job_id)
    assert (await run(caller, "$kept", "MainLoop"))["Output"] == "5\n"
    other = shared.caller("task_manager", user_id="bob")
    assert (await other.request("POST", "/mainloop/restart")).status == 403
    assert (await caller.request("POST", "/mainloop/restart")).status == 200
    assert (await run(caller, '"[$kept]"', "MainLoop"))["Output"] == "[]\n"


async def test_a_job_that_ends_its_process_has_its_code_and_the_next_finds_another(
    start_host: StartHost, tmp_path: Path
) -> None:
    """And one that is killed leaves nothing in the temporary folder, where .NET has a socket for debuggers."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    host = await start_host(environment_extra={"TMPDIR": str(temporary)})
    caller = host.caller("debug")
    for mode in MODES:
        result = await run(caller, "'a'; [Environment]::Exit(4); 'b'", mode)
        assert (result["ExitCode"], result["Output"].splitlines()[0]) == (4, "a"), mode
        result = await run(caller, '$env:TMPDIR; sh -c "kill -9 $PID"; Start-Sleep 60', mode)
        assert result["Output"].startswith(f"{temporary}\n[ERROR] PowerShell was ended by SIGKILL"), mode
    assert (await run(caller, "'next'"))["Output"] == "next\n"
    await host.stop()
    assert list(temporary.iterdir()) == []


SUBMISSION = """
$JobSubmission | Select-Object JobID, UserID, JobName, Description, ExecutionMode, Roles | ConvertTo-Json -Compress
$JobSubmission.Command -eq (Get-Content $PSCommandPath -Raw)
$JobSubmission.SubmittedAt -is [datetime]; $JobSubmission.PSObject.Properties.Name -join ' '
Test-Path $PSWebServer.Project_Root.Path
$PSWebServer.Runspaces.IsSynchronized; $PSWebServer.Runspaces.ContainsKey($JobSubmission.JobID)
"""
PROGRAM = (
    "cat; sh -c 'ls /proc/self/fd | wc -l'; sh -c 'ls -l /proc/self/fd' | sls socket; \"[$fromProfile]\"\n"
)
ASKING = (
    *("Read-Host 'name'", "Get-Credential"),
    *("New-Item new -ItemType File -Confirm", "$Host.UI.ReadLine()"),
)


def check_submission(result: dict[str, Any], mode: str) -> None:
    """That it was there by the names of the specification, and the server, too."""
    lines = result["Output"].splitlines()
    assert lines[0] == (
        f'{{"JobID":"{result["JobID"]}","UserID":"alice","JobName":"mine",'
        f'"Description":"2026-01-01T00:00:00Z","ExecutionMode":"{mode}","Roles":["debug","task_manager"]}}'
    )
    names = "JobID UserID SessionID JobName Command Description ExecutionMode Roles SubmittedAt"
    assert lines[1:5] == ["True", "True", names, "True"]
    assert lines[5:7] == ["True", str(mode != "MainLoop")]


@in_one_loop
@pytest.mark.parametrize("mode", LASTING)
async def test_the_submission_and_the_server_are_there_by_the_names_of_the_specification(
    shared: Host, mode: str
) -> None:
    caller = shared.caller("debug", "task_manager")
    result = await run(caller, SUBMISSION, mode, jobName="mine", description="2026-01-01T00:00:00Z")
    check_submission(result, mode)


@in_one_loop
@pytest.mark.parametrize("mode", LASTING)
async def test_nobody_is_there_to_answer(shared: Host, mode: str) -> None:
    caller = shared.caller("debug")
    for asking in ASKING:
        result = await run(caller, f"{asking}; 'after'", mode)
        assert "Nobody is there to answer" in result["Output"], asking
        assert result["Success"] is False


@in_one_loop
@pytest.mark.parametrize("mode", LASTING)
async def test_a_program_that_a_job_starts_reads_nothing_and_has_no_way_to_the_host(
    shared: Host, mode: str
) -> None:
    """And no profile was loaded."""
    assert (await run(shared.caller("debug"), PROGRAM, mode))["Output"] == "4\n[]\n"


@in_one_loop
async def test_all_this_holds_in_the_process_of_a_background_job(shared: Host) -> None:
    """In one job, as each is a process: what it was told, what its programs have, and who answers."""
    caller, mode = shared.caller("debug", "task_manager"), "BackgroundJob"
    command = f"{SUBMISSION}{PROGRAM}{ASKING[0]}; 'after'"
    result = await run(caller, command, mode, jobName="mine", description="2026-01-01T00:00:00Z")
    check_submission(result, mode)
    assert result["Output"].splitlines()[7:9] == ["4", "[]"]
    assert "Nobody is there to answer" in result["Output"].splitlines()[9]
    assert result["Success"] is False


@in_one_loop
async def test_parameters_come_with_their_types_and_secret_ones_leave_no_trace(shared: Host) -> None:
    caller = shared.caller("debug")
    command = (
        "$Parameters.n + 1; $Parameters.s; $env:PARAM_s; $env:PARAM_n; $Parameters.key.Length; $env:PARAM_key"
    )
    for mode in MODES:
        body: dict[str, Any] = {
            "name": f"t{mode}",
            "command": command,
            "executionMode": mode,
            "interpreter": "powershell",
            "parameters": [
                {"name": "n", "type": "int"},
                {"name": "s", "type": "string"},
                {"name": "key", "type": "secret"},
            ],
        }
        made = await caller.request("POST", "/templates", json=body)
        path = f"/templates/{made.body['template']['TemplateID']}/run"
        values = {"n": 41, "s": "2026-01-01T00:00:00Z $(1)", "key": "hunter2-hunter2"}
        ran = await caller.request("POST", path, json={"values": values})
        lines = (await caller.result(ran.body["jobId"]))["Output"].splitlines()
        assert lines[:5] == ["42", values["s"], values["s"], "41", "15"], mode
        assert "hunter2" not in lines[5]
        if mode not in LASTING:
            continue
        look = "$Parameters.Count; $env:PARAM_key.Length; (Get-History).Count; (gci env:PARAM*).Count"
        assert (await run(caller, look, mode))["Output"].split() == ["0", "0", "0", "0"], mode


async def started(caller: Caller, command: str, mode: str, mark: Path, **fields: Any) -> str:
    """Submit a job that makes the file `mark` once it runs; its id."""
    job_id = await caller.submit(command, mode, interpreter="powershell", **fields)
    await until(mark.exists, "the job has started")
    return job_id


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_a_cancellation_lets_finally_run_and_ends_programs_with_it(
    shared: Host, tmp_path: Path, mode: str
) -> None:
    caller = shared.caller("debug")
    mark = tmp_path / "mark"
    command = f"try {{ sh -c 'echo $$ > {mark}.new; mv {mark}.new {mark}; exec sleep 600' }} finally {{ [Console]::WriteLine('tidied up') }}"
    job_id = await started(caller, command, mode, mark)
    await caller.request("POST", f"/jobs/{job_id}/cancel")
    result = await caller.result(job_id)
    assert result["Output"].splitlines()[0] == "tidied up"
    assert result["Status"] == "Cancelled"
    await until(lambda: not is_alive(int(mark.read_text())), "the program has ended")
    if mode in LASTING:
        assert (await run(caller, "'next'", mode))["Output"] == "next\n"


STUBBORN = """
trap { continue }
try { sh -c 'trap "" TERM INT HUP; sleep 600 & echo $! $$ $PPID > MARK.new; mv MARK.new MARK; while :; do sleep 1; done' }
finally { while ($true) { try { Start-Sleep 1 } catch { } [Threading.Thread]::Sleep(100) } }
"""


@pytest.mark.parametrize(
    ("mode", "ending"),
    [("MainLoop", "Cancelled"), ("Runspace", "TimedOut"), ("BackgroundJob", "Cancelled")],
)
async def test_what_ignores_sigterm_is_killed_with_its_children_and_its_process_never_used_again(
    host: Host, tmp_path: Path, mode: str, ending: str
) -> None:
    """Whether it is cancelled or has come to its time limit."""
    caller = host.caller("debug")
    if mode in LASTING:
        await run(caller, "'warm'", mode)
    mark = tmp_path / "mark"
    limit = {"timeoutSeconds": 20} if ending == "TimedOut" else {}
    job_id = await started(caller, STUBBORN.replace("MARK", str(mark)), mode, mark, **limit)
    if ending == "Cancelled":
        await caller.request("POST", f"/jobs/{job_id}/cancel")
    result = await caller.result(job_id)
    assert result["Status"] == ending, result
    if limit:
        assert "[ERROR] The job was stopped: it ran longer than its limit of 20 s." in result["Output"]
    child, native, powershell = map(int, mark.read_text().split())
    assert [is_alive(pid) for pid in (child, native, powershell)] == [False, False, False]
    if mode in LASTING:
        pid, word = (await run(caller, "$PID; 'next'", mode))["Output"].split()
        assert word == "next"
        assert int(pid) != powershell


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_jobs_that_a_job_starts_end_with_it(shared: Host, tmp_path: Path, mode: str) -> None:
    caller = shared.caller("debug")
    mark = tmp_path / "mark"
    command = (
        f"$null = Start-Job {{ $PID > {mark}; Start-Sleep 600 }}; $null = Start-ThreadJob {{ Start-Sleep 600 }}\n"
        f"while (-not (Test-Path {mark}) -or -not (Get-Content {mark})) {{ Start-Sleep -Milliseconds 50 }}; 'a'"
    )
    assert (await run(caller, command, mode))["Output"] == "a\n"
    await until(lambda: not is_alive(int(mark.read_text())), "the child has ended")
    if mode in LASTING:
        assert (await run(caller, "@(Get-Job).Count", mode))["Output"] == "0\n"


def fake_pwsh(folder: Path, script: str) -> str:
    """A folder for PATH with a `pwsh` in it that is this shell script."""
    folder.mkdir()
    program = folder / "pwsh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 3", "exited with code 3 before it was ready to run the job"),
        ("kill -9 $$", "was ended by SIGKILL before it was ready to run the job"),
        ("python3 -c 'import os,sys; os.write(int(sys.argv[1]), b\"{\\\"version\\\": \\\"7.1.4\\\"}\\n\")' $6; sleep 60",
         "PowerShell 7.1"),
        ("sleep 600", "was not ready to run the job within 1 s"),
    ],
)  # fmt: skip
async def test_a_pwsh_that_does_not_work_fails_the_job_with_a_sentence(
    start_host: StartHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, sentence: str
) -> None:
    monkeypatch.setenv("PATH", fake_pwsh(tmp_path / "bin", script))
    if script == "sleep 600":
        monkeypatch.setattr("aiohttp_jobs.worker.powershell.host.START_SECONDS", 1.0)
    host = await start_host()
    caller = host.caller("debug")
    for mode in MODES:
        result = await run(caller, "'a'", mode)
        assert sentence in result["Output"], mode
        assert str(tmp_path / "bin" / "pwsh") in result["Output"], mode
        assert result["Success"] is False
        assert (await caller.run("echo b", mode))["Output"] == "b\n"


async def test_a_pwsh_that_is_too_old_fails_the_job_with_its_version(
    start_host: StartHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("pwsh")
    # A newer one that takes itself for old: our script must not get to what old ones do not have.
    pretending = f"""script=$4; shift 4
exec {real} -NoProfile -NonInteractive -Command "\\$PSVersionTable['PSVersion'] = [semver] '7.1.4'; & '$script' $*" """
    monkeypatch.setenv("PATH", fake_pwsh(tmp_path / "bin", pretending))
    host = await start_host()
    caller = host.caller("debug")
    result = await run(caller, "'a'")  # what the other modes make of it is said above
    program = tmp_path / "bin" / "pwsh"
    sentence = f"[ERROR] PowerShell 7.1 ({program}) is too old: jobs need 7.2 or newer.\n"
    assert (result["Output"], result["Success"]) == (sentence, False)
    assert (await caller.run("echo b", "Runspace"))["Output"] == "b\n"


async def test_a_job_that_waited_while_pwsh_was_removed_is_rejected_with_a_sentence(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await start_host()
    caller = host.caller("debug", "system_admin")
    assert (await caller.request("POST", "/queue/pause")).status == 200
    ids = [await caller.submit("'a'", mode, interpreter="powershell") for mode in MODES]
    await host.stop()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    caller = (await start_host()).caller("debug", "system_admin")
    await caller.request("POST", "/queue/resume")
    for job_id in ids:
        result = await caller.result(job_id)
        assert result["Status"] == "Rejected"
        assert result["Output"].startswith(
            "[ERROR] interpreter powershell is not installed on this server (there is no pwsh on the PATH of the "
            "host);"
        )


async def test_without_a_pwsh_the_submission_is_refused(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    host = await start_host()
    body = {"jobName": "j", "command": "x", "executionMode": "Runspace", "interpreter": "powershell"}
    answer = await host.caller("debug").request("POST", "/jobs/submit", json=body)
    assert answer.status == 422
    assert "no pwsh on the PATH" in answer.body["error"]


async def test_a_pwsh_that_has_gone_away_fails_the_job_with_a_sentence(
    start_host: StartHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", fake_pwsh(tmp_path / "bin", "exit 0"))
    host = await start_host()
    (tmp_path / "bin" / "pwsh").unlink()
    result = await run(host.caller("debug"), "'a'")
    assert "PowerShell could not be started" in result["Output"]


ODD = {
    # what a job does: what it shows
    "Set-StrictMode -Version Latest; 'a'": "a",
    "$ErrorActionPreference = 'Stop'; 'a'": "a",
    "$PSNativeCommandUseErrorActionPreference = $true; sh -c 'exit 0'; 'a'": "a",
    "function prompt { 'mine' }; function Out-Default { 'mine' }; 'a'": "a",
    "Set-PSDebug -Trace 1; 'a'": "a",
    "[cultureinfo]::CurrentCulture = [cultureinfo]::InvariantCulture; 'a'": "a",
    "$Host.UI.RawUI.WindowTitle = 'x'; 'a'": "a",
    "Import-Module ./m.psm1; 'a'": "a",
    "[Console]::Write('a'); [Console]::Error.Write('')": "a",
    "$OutputEncoding = [Console]::OutputEncoding = [Text.Encoding]::ASCII; 'a'": "a",
    "$MaximumHistoryCount = 1; $FormatEnumerationLimit = 1; 'a'": "a",
}


@in_one_loop
async def test_odd_settings_hurt_neither_the_job_nor_the_next(shared: Host) -> None:
    """Where the next runs in the same process; what they show in one of their own is in ``test_powershell_input``."""
    caller, mode = shared.caller("debug"), "Runspace"
    for command, shown in ODD.items():
        module = "Set-Content m.psm1 \"Write-Host 'imported'\"; " if "m.psm1" in command else ""
        result = await run(caller, module + command, mode)
        assert shown in result["Output"].splitlines(), command
        assert result["Success"] is True, command
        after = await run(caller, "Get-Item /nope; sh -c 'exit 1'; $undefined; 'b'; 1.5", mode)
        assert after["Output"].splitlines()[0].startswith("[ERROR] Cannot find path"), command
        assert after["Output"].splitlines()[2:4] == ["b", "1.5"], command


@in_one_loop
async def test_a_process_that_takes_much_memory_is_replaced(shared: Host) -> None:
    caller = shared.caller("debug")
    first = await run(caller, "$global:m = [byte[]]::new(600MB); [Array]::Fill($m, [byte]1); $PID")
    assert (await run(caller, "$PID"))["Output"] != first["Output"]

# ruff: noqa: E501 - PowerShell in a line
"""Odd PowerShell, one kind after the other: what the job shows, what becomes of its process, what the next job shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ..conftest import Caller, Host
from ..hosts.process import printed
from ..powershell import needs_pwsh

pytestmark = [
    needs_pwsh,
    pytest.mark.timeout(600),
]
StartHost = Callable[..., Awaitable[Host]]
MEGABYTE = 1024 * 1024
ANY_SIZE = -1


@dataclass(frozen=True)
class Odd:
    """What a job prints, or how that ends, with its exit code; and whether its process takes another job."""

    command: str
    prints: str
    exit_code: int | None = 0
    status: str = "Succeeded"
    size: int | None = None
    """Of the whole output, when `prints` is only its end."""
    stays: bool | None = True
    """``None``: that depends on how much memory it was given back."""


GONE = "Cannot find path '/nope' because it does not exist.\nat <ScriptBlock>, <command>: line 1\n"
FAILED = "[ERROR] The command exited with code {}.\n"
ODD = {
    "100 MB": Odd(
        "$l = 'y' * 1MB; foreach ($i in 1..100) { [Console]::Out.WriteLine($l) }; 'end'",
        "y\nend\n",
        size=100 * (MEGABYTE + 1) + 4,
    ),
    "a line of 10 MB": Odd("'x' * 10MB; 'end'", "x\nend\n", size=10 * MEGABYTE + 5),
    "bytes that are no text": Odd("sh -c 'printf \"\\377\\000\\001a\"'; 'end'", "�\x00\x01aend\n"),
    "a loop without an end": Odd(
        "'a'; while ($true) {}",
        "a\n[ERROR] The job was cancelled by alice.\n",
        None,
        "Cancelled",
    ),
    "a module that writes as it is imported": Odd(
        "Set-Content m.psm1 \"Write-Host 'h'; 'o'; Write-Warning 'w'\"; Import-Module ./m.psm1; 'end'",
        "h\nWARNING: w\nend\n",
    ),
    "strict mode": Odd(
        "Set-StrictMode -Version Latest; $undefined; 'after'",
        "[ERROR] The variable '$undefined' cannot be retrieved because it has not been set.\n"
        f"at <ScriptBlock>, <command>: line 1\nafter\n{FAILED.format(1)}",
        1,
        "Failed",
    ),
    "errors that stop": Odd(
        "$ErrorActionPreference = 'Stop'; 'a'; Get-Item /nope; 'never'",
        f"a\n[EXCEPTION] {GONE}{FAILED.format(1)}",
        1,
        "Failed",
    ),
    "programs whose failure is an error": Odd(
        "$PSNativeCommandUseErrorActionPreference = $true; sh -c 'exit 3'; 'after'",
        f'[ERROR] Program "sh" ended with non-zero exit code: 3 (0x03).\nafter\n{FAILED.format(3)}',
        3,
        "Failed",
    ),
    "a trace": Odd("Set-PSDebug -Trace 1\n'a'", "DEBUG:    2+  >>>> 'a'\na\n"),
    "another culture": Odd(
        "$c = [cultureinfo]::InvariantCulture.Clone(); $c.NumberFormat.NumberDecimalSeparator = ','\n"
        "[cultureinfo]::CurrentCulture = $c; [Threading.Thread]::CurrentThread.CurrentUICulture = $c; 1.5",
        "1,5\n",
    ),
    "an own prompt and Out-Default": Odd(
        "function prompt { 'mine' }; function Out-Default { 'mine' }; [pscustomobject]@{ A = 1 }",
        "\nA\n-\n1\n\n",
    ),
    "memory that runs out": Odd(
        "$ErrorActionPreference = 'Stop'; 'a'\n"
        "$l = [Collections.Generic.List[byte[]]]::new(); while ($true) { $l.Add([byte[]]::new(10MB)) }",
        "Exception of type 'System.OutOfMemoryException' was thrown.\"\n"
        f"at <ScriptBlock>, <command>: line 2\n{FAILED.format(1)}",
        1,
        "Failed",
        size=ANY_SIZE,
        stays=None,
    ),
}
LOOK = """
Get-Item /nope; $undefined; sh -c 'exit 1'; sh -c 'echo native'; 1.5; [pscustomobject]@{ B = 2 } | Format-Table; 'é'
"""
SEEN = f"[ERROR] {GONE}native\n1.5\n\nB\n-\n2\n\né\n".replace("line 1", "line 2") + FAILED.format(1)


async def run(caller: Caller, command: str, mode: str) -> dict[str, Any]:
    return await caller.run(command, mode, interpreter="powershell", timeoutSeconds=60)


async def run_odd(caller: Caller, odd: Odd, mode: str) -> dict[str, Any]:
    """Its result; one that ends only by being cancelled is, once it has printed something."""
    if odd.status != "Cancelled":
        return await run(caller, odd.command, mode)
    job_id = await caller.submit(odd.command, mode, interpreter="powershell")
    await printed(caller, job_id, odd.prints[:2])
    assert (await caller.request("POST", f"/jobs/{job_id}/cancel")).status == 202
    return await caller.result(job_id)


async def process_of(caller: Caller, mode: str) -> str:
    return str((await run(caller, "$PID", mode))["Output"])


def check(result: dict[str, Any], odd: Odd, name: str) -> None:
    output = result["Output"]
    assert (result["Status"], result["ExitCode"]) == (odd.status, odd.exit_code), (name, output[-500:])
    if odd.size is None:
        assert output == odd.prints, name
    else:
        assert output.endswith(odd.prints), name
        assert odd.size in (ANY_SIZE, result["OutputSize"]), name


Start = Callable[..., Awaitable[Caller]]


@pytest.fixture
def start(start_host: StartHost) -> Start:
    """Starts a host whose PowerShell has little memory, for a user of it."""

    async def started(**settings: Any) -> Caller:
        memory = {"DOTNET_GCHeapHardLimit": "0x18000000"}
        # Time enough to stop on a busy machine: a process that is killed instead takes no other job.
        return (await start_host(environment_extra=memory, kill_grace=20.0, **settings)).caller("debug")

    return started


async def test_in_a_runspace(start: Start) -> None:
    caller = await start()
    for name, odd in ODD.items():
        before = await process_of(caller, "Runspace")
        check(await run_odd(caller, odd, "Runspace"), odd, name)
        assert odd.stays in (None, await process_of(caller, "Runspace") == before), name
        assert (await run(caller, LOOK, "Runspace"))["Output"] == SEEN, name


OF_ITS_PROCESS: dict[str, Odd] = {
    **{name: ODD[name] for name in ("100 MB", "a loop without an end", "memory that runs out")},
    "bytes that are no text, a trace, and errors that stop": Odd(
        f"{ODD['bytes that are no text'].command}\n$ErrorActionPreference = 'Stop'\n"
        "Set-PSDebug -Trace 1\n'a'\nGet-Item /nope\n'never'",
        f"{ODD['bytes that are no text'].prints}DEBUG:    4+  >>>> 'a'\n\na\nDEBUG:    5+  >>>> Get-Item /nope\n\n"
        f"[EXCEPTION] {GONE.replace('line 1', 'line 5')}{FAILED.format(1)}",
        1,
        "Failed",
    ),
}
"""What its process has a part in; for all others it is one more process of the session that ran them above."""


async def test_in_a_process_of_its_own(start: Start) -> None:
    caller = await start(powershell_spares=1)
    for name, odd in OF_ITS_PROCESS.items():
        check(await run_odd(caller, odd, "BackgroundJob"), odd, name)
    # The spare that waited while each of them ran; their own processes run nothing after them.
    assert (await run(caller, LOOK, "BackgroundJob"))["Output"] == SEEN


HARMLESS = ("a line of 10 MB", "bytes that are no text", "a loop without an end")
"""They leave nothing that a session would have to be begun anew for."""
LASTING = (
    (
        *("a module that writes as it is imported", "another culture"),
        *("an own prompt and Out-Default", "a trace"),
    ),
    (
        *("programs whose failure is an error", "strict mode"),
        *("errors that stop", "memory that runs out"),
    ),
)
"""The others that it has a part in, in two sessions: none of them changes what those after it show."""


async def test_in_the_session_of_the_main_loop(start: Start) -> None:
    """Settings stay for the next job, as it is one session; begun anew, it has none of them."""
    caller = await start()
    for name in HARMLESS:
        await try_in_the_session(caller, name)
        assert (await run(caller, LOOK, "MainLoop"))["Output"] == SEEN, name
    for names in LASTING:
        for name in names:
            await try_in_the_session(caller, name)
            after = await run(caller, "'out'; exit 4", "MainLoop")
            assert (after["Output"].splitlines()[-2], after["ExitCode"]) == ("out", 4), name
        assert (await caller.request("POST", "/mainloop/restart")).status == 200
        assert (await run(caller, LOOK, "MainLoop"))["Output"] == SEEN, names


async def try_in_the_session(caller: Caller, name: str) -> None:
    odd, before = ODD[name], await process_of(caller, "MainLoop")
    check(await run_odd(caller, odd, "MainLoop"), odd, name)
    # What a trace shows, it shows of the next job, too.
    assert odd.stays in (None, await process_of(caller, "MainLoop") == before) or name == "a trace", name

"""``--once``: the main job from end to end, over HTTP, against the server that was just started.

Every mode and interpreter with the API key, one job with a session cookie, results, one deletion, and one of
the host's own functions with its progress and what it returns.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, ClientTimeout, CookieJar
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from aiohttp_jobs import ExecutionMode, InterpreterName

from .users import DEMO_ACCOUNTS

_RESULT_SECONDS = 60.0
_POLL_SECONDS = 0.1
_SHOWN_LINES = 4
_NAME, _PASSWORD, _ = DEMO_ACCOUNTS[1]
_KEY, _COOKIE = "API key", "cookie"


class WentWrongError(Exception):
    """Something did not go as it should; the message says what."""


@dataclass(frozen=True)
class Trial:
    """One job that is submitted, and what proves who submits it."""

    mode: ExecutionMode
    interpreter: InterpreterName
    command: str
    proof: str = _KEY

    @property
    def name(self) -> str:
        return f"{self.mode} {self.interpreter}"


TRIALS = (
    Trial(ExecutionMode.MAIN_LOOP, InterpreterName.SHELL, "uname -a"),
    Trial(
        ExecutionMode.MAIN_LOOP,
        InterpreterName.PYTHON,
        'import os\nf"process {os.getpid()} serves {len(app.router.routes())} routes"',
    ),
    Trial(ExecutionMode.RUNSPACE, InterpreterName.SHELL, "id"),
    Trial(
        ExecutionMode.RUNSPACE,
        InterpreterName.PYTHON,
        "import os, platform\nprint('Python', platform.python_version())\nprint('worker', os.getpid())",
    ),
    Trial(ExecutionMode.BACKGROUND_JOB, InterpreterName.SHELL, "df -h ."),
    Trial(
        ExecutionMode.BACKGROUND_JOB,
        InterpreterName.PYTHON,
        "import shutil\nprint(f\"{shutil.disk_usage('/').free / 1e9:.0f} GB free\")",
    ),
    Trial(ExecutionMode.RUNSPACE, InterpreterName.SHELL, "date -u", _COOKIE),
)

_FUNCTION, _VALUES = "sales_report", {"region": "north", "months": 4}


async def run_once(address: str, api: str, secret: str) -> int:
    """Run the trials against the server at `address`; the exit code: 0 when all went well."""
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console.width = 132
    try:
        async with _caller({"Authorization": f"Bearer {secret}"}) as by_key, _caller({}) as by_cookie:
            await _sign_in(by_cookie, address)
            await _run_trials(console, {_KEY: by_key, _COOKIE: by_cookie}, api)
            await _run_function(console, by_key, api)
    except (WentWrongError, OSError, TimeoutError) as error:
        console.print(Text(f"Went wrong: {error}", style="bold red"))
        return 1
    console.print(Text("All went well.", style="bold green"))
    return 0


def _caller(headers: dict[str, str]) -> ClientSession:
    # Cookies of a host that is an IP address are kept only by a jar that is told to.
    return ClientSession(headers=headers, cookie_jar=CookieJar(unsafe=True), timeout=ClientTimeout(30))


async def _sign_in(caller: ClientSession, address: str) -> None:
    form = {"username": _NAME, "password": _PASSWORD}
    async with caller.post(f"{address}/login", data=form, allow_redirects=False) as response:
        if response.status != 303:
            raise WentWrongError(f"Signing in as {_NAME} was answered with status {response.status}.")


async def _run_trials(console: Console, callers: dict[str, ClientSession], api: str) -> None:
    ids = {await _submit(callers[trial.proof], api, trial): trial for trial in TRIALS}
    results = {
        job_id: await _result(callers[trial.proof], api, job_id, trial) for job_id, trial in ids.items()
    }
    console.print(_table([(trial, results[job_id]) for job_id, trial in ids.items()]))
    failed = [trial.name for job_id, trial in ids.items() if not _is_good(results[job_id])]
    if failed:
        raise WentWrongError(f"These jobs failed or printed nothing: {', '.join(failed)}.")
    deleted = next(iter(ids))
    message = await _delete(callers[_KEY], api, deleted)
    console.print(Text(f"DELETE /jobs/results?jobId={deleted} ({ids[deleted].name}): {message}."))


async def _run_function(console: Console, caller: ClientSession, api: str) -> None:
    what = f"Running {_FUNCTION}"
    url = f"{api}/functions/{_FUNCTION}/run"
    answer = await _call(caller, "POST", url, what, json={"values": _VALUES})
    with Progress(console=console) as bar:
        task = bar.add_task(_FUNCTION, total=1.0)
        async for progress in _progress(caller, f"{api}/jobs/{answer['jobId']}/events"):
            bar.update(task, completed=progress["share"], description=f"{_FUNCTION}: {progress['text']}")
        bar.update(task, completed=1.0, description=_FUNCTION)
    result = (await _call(caller, "GET", f"{api}/results/{answer['jobId']}", what))["result"]
    if not result["Success"]:
        raise WentWrongError(f"{what} failed: {result['Output']}")
    console.print(Text(f"{result['Command']} returned"), _returned(result))


async def _progress(caller: ClientSession, url: str) -> AsyncIterator[dict[str, Any]]:
    """How far the job was each time that its stream told, until the job has ended."""
    async with caller.get(url) as stream:
        name = ""
        async for line in stream.content:
            field, _, value = line.decode().strip().partition(": ")
            if field == "event":
                name = value
            elif field == "data" and name == "progress" and (progress := json.loads(value)):
                yield progress
            elif field == "data" and name == "end":
                return


def _is_good(result: dict[str, Any]) -> bool:
    return result["Success"] is True and bool(result["Output"].strip())


async def _call(caller: ClientSession, method: str, url: str, what: str, **fields: Any) -> dict[str, Any]:
    async with caller.request(method, url, **fields) as response:
        if response.content_type != "application/json":
            raise WentWrongError(f"{what} was answered with status {response.status} and no JSON.")
        answer: dict[str, Any] = await response.json()
    if response.status != 200:
        raise WentWrongError(f"{what} was answered with status {response.status}: {answer.get('error')}")
    return answer


async def _submit(caller: ClientSession, api: str, trial: Trial) -> str:
    body = {
        "jobName": trial.name,
        "command": trial.command,
        "description": "Submitted by the demo's --once",
        "executionMode": trial.mode,
        "interpreter": trial.interpreter,
    }
    answer = await _call(caller, "POST", f"{api}/jobs/submit", f"Submitting {trial.name}", json=body)
    return str(answer["jobId"])


async def _find(caller: ClientSession, api: str, job_id: str) -> dict[str, Any] | None:
    answer = await _call(caller, "GET", f"{api}/jobs/results", "Reading the results")
    return next((result for result in answer["results"] if result["JobID"] == job_id), None)


async def _result(caller: ClientSession, api: str, job_id: str, trial: Trial) -> dict[str, Any]:
    deadline = time.monotonic() + _RESULT_SECONDS
    while time.monotonic() < deadline:
        result = await _find(caller, api, job_id)
        if result is not None:
            return result
        await asyncio.sleep(_POLL_SECONDS)
    raise WentWrongError(f"{trial.name} has no result after {_RESULT_SECONDS:g} s.")


async def _delete(caller: ClientSession, api: str, job_id: str) -> str:
    url = f"{api}/jobs/results?jobId={job_id}"
    answer = await _call(caller, "DELETE", url, "Deleting a result")
    if await _find(caller, api, job_id) is not None:
        raise WentWrongError("A result that was deleted is still listed.")
    return str(answer["message"])


def _table(rows: list[tuple[Trial, dict[str, Any]]]) -> Table:
    table = Table(title="Jobs submitted over HTTP, and their results", show_lines=True)
    table.add_column("Job", no_wrap=True)
    table.add_column("Command", ratio=4, overflow="fold")
    table.add_column("Result", no_wrap=True)
    table.add_column("Output", ratio=5, overflow="fold")
    for trial, result in rows:
        table.add_row(
            Text(f"{trial.mode}\n{trial.interpreter}\nwith {trial.proof}"),
            Text(trial.command),
            Text(
                f"{result['Status']}\n{result['Runtime']:.3f} s",
                style="green" if result["Success"] else "bold red",
            ),
            Text(_shortened(result["Output"])),
        )
    return table


def _returned(result: dict[str, Any]) -> Table:
    """What the function returned, which is a list of rows."""
    rows: list[dict[str, Any]] = result["ReturnValue"]
    table = Table()
    for name in rows[0]:
        table.add_column(Text(name), justify="right")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    return table


def _shortened(output: str) -> str:
    lines = output.rstrip().splitlines()
    more = len(lines) - _SHOWN_LINES
    return "\n".join([*lines[:_SHOWN_LINES], *([f"({more} more lines)"] if more > 0 else [])])

"""The specification's examples, run as they are written there against a demo whose commands are PowerShell's.

Only the address, the session's cookie, the key and the ids are put in.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession, CookieJar

from ..conftest import Caller
from ..demo_app.conftest import PASSWORDS, Demo, open_demo
from ..demos import make_quick_users
from ..processes import printed_by
from . import specification_examples as examples
from .test_pester import MODULE, NO_SPARES

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        shutil.which("pwsh") is None or shutil.which("curl") is None,
        reason="The specification's examples were not run: there is no pwsh, or no curl, on PATH",
    ),
]
MODES = ("MainLoop", "Runspace", "BackgroundJob")
RUN_SECONDS = 300
NEXT = "--- the next one ---"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """What `make demo ARGS='--interpreter powershell'` starts, which also takes files of other programs."""
    folder = tmp_path_factory.mktemp("demo")
    settings = {"AIOHTTP_JOBS_ALLOW_UNSIGNED_SUBMISSIONS": "true"}
    make_quick_users(folder / "data")
    demo = open_demo(folder, folder / "data", "--interpreter", "powershell", **settings, **NO_SPARES)
    yield demo
    demo.stop()


@dataclass
class User:
    """The demo's admin, signed in, with a terminal: what they type, and what comes of it."""

    demo: Demo
    caller: Caller

    @property
    def cookie(self) -> str:
        (cookie,) = [each for each in self.caller.session.cookie_jar if each.key == "PSWebSessionID"]
        return cookie.value

    def as_typed(self, example: str, job_id: str = "guid") -> str:
        own = {
            "http://localhost:8080": self.demo.address,
            "your-session-id": self.cookie,
            '"guid"': f'"{job_id}"',
        }
        for theirs, mine in {**own, "jobId=guid": f"jobId={job_id}"}.items():
            example = example.replace(theirs, mine)
        return example.replace("your-api-key-here", self.demo.api_key)

    async def powershell(self, script: str, **env: str) -> str:
        return await printed("pwsh", "-NoProfile", "-NonInteractive", "-Command", script, **env)

    async def with_module(self, *scripts: str) -> list[str]:
        """What each prints, one after the other in a PowerShell that has the module, and is connected."""
        first = "$ErrorActionPreference = 'Stop'; Import-Module $env:JOBS_TEST_MODULE -DisableNameChecking\n"
        env = {
            "JOBS_TEST_MODULE": str(MODULE),
            "AIOHTTP_JOBS_URL": f"{self.demo.address}/apps/WebHostTaskManagement",
            "AIOHTTP_JOBS_API_KEY": self.demo.api_key,
        }
        out = await self.powershell(first + f"\n'{NEXT}'\n".join(scripts), **env)
        return out.split(f"{NEXT}\n")

    async def shell(self, script: str) -> Any:
        return json.loads(await printed("sh", "-c", script))


async def printed(*arguments: str, **env: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env={**os.environ, "NO_COLOR": "1", **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await printed_by(process, seconds=RUN_SECONDS)
    assert process.returncode == 0, (out, err)
    return out.decode()


@pytest.fixture
async def user(demo: Demo) -> AsyncIterator[User]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        form = {"username": "admin", "password": PASSWORDS["admin"]}
        async with session.post(f"{demo.address}/login", data=form, allow_redirects=False) as answer:
            assert answer.status == 303
        yield User(demo, Caller(demo.api, session, "admin"))


async def result_printed(user: User, out: str) -> dict[str, Any]:
    (job_id,) = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", out)[:1]
    return await user.caller.result(job_id)


async def test_example_1_simple_command_execution(user: User) -> None:
    await user.caller.run("'begun'", "MainLoop")  # its three seconds are for the job, and not for the session

    out = await user.powershell(user.as_typed(examples.EXAMPLE_1))

    assert re.match(r"Job ID: [0-9a-f-]{36}\nOutput: ", out)
    result = await result_printed(user, out)
    assert (result["JobName"], result["ExecutionMode"], result["Success"]) == (
        "GetProcesses",
        "MainLoop",
        True,
    )
    assert '"ProcessName"' in result["Output"]


async def test_example_2_a_long_task(user: User) -> None:
    """But for its quotes within quotes, which PowerShell itself does not take as they stand there."""
    script = user.as_typed(examples.EXAMPLE_2)
    mended = script.replace('\\"Step $_\\"', '`"Step `$_`"')
    assert mended != script

    out = await user.powershell(mended + "$response.jobId")

    completed = re.match(r"Job completed in ([\d.]+) seconds\n", out)
    assert completed is not None, out
    assert float(completed[1]) >= 10
    result = await result_printed(user, out)
    assert result["Output"].splitlines() == [f"Step {number}" for number in range(1, 11)]
    assert (result["ExecutionMode"], result["Success"]) == ("Runspace", True)


async def test_example_3_system_diagnostics(user: User) -> None:
    out = await user.powershell(user.as_typed(examples.EXAMPLE_3) + "$response.jobId")

    result = await result_printed(user, out)
    assert (result["JobName"], result["ExecutionMode"]) == ("SystemDiagnostics", "BackgroundJob")
    assert "TotalMemoryMB" in result["Output"]
    # Two of its commands exist on Windows alone; each says so, and the job has failed.
    for name in ("Get-ComputerInfo", "Get-NetTCPConnection"):
        assert f"[ERROR] The term '{name}' is not recognized" in result["Output"]
    assert result["Success"] is False


async def test_the_request_body(user: User) -> None:
    answer = await user.caller.request("POST", "/jobs/submit", json=json.loads(examples.SUBMIT_BODY))
    job_id = answer.body["jobId"]
    assert answer.body == {
        "success": True,
        "jobId": job_id,
        "message": "Job submitted successfully",
        "executionMode": "MainLoop",
    }
    result = await user.caller.result(job_id)
    assert "Hello World" in result["Output"].splitlines()
    assert result["Success"] is True


async def test_the_curl_lines(user: User) -> None:
    submitted = await user.shell(user.as_typed(examples.CURL_SUBMIT))
    assert (submitted["success"], submitted["executionMode"]) == (True, "MainLoop")
    result = await user.caller.result(submitted["jobId"])
    assert "ProcessName" in result["Output"]

    listed = await user.shell(user.as_typed(examples.CURL_RESULTS))
    assert (listed["success"], listed["count"]) == (True, len(listed["results"]))
    assert submitted["jobId"] in [record["JobID"] for record in listed["results"]]

    deleted = await user.shell(user.as_typed(examples.CURL_DELETE, submitted["jobId"]))
    assert deleted == {"success": True, "message": "Job result deleted successfully"}


async def test_the_lines_with_a_key(user: User) -> None:
    typed = user.as_typed(examples.BEARER)
    export, curl = (re.search(rf"^{word} .*", typed, re.MULTILINE) for word in ("export", "curl"))
    assert export is not None
    assert curl is not None
    assert (await user.shell(f"{export[0]}\n{curl[0]}"))["success"] is True

    powershell = typed.partition("# Use with PowerShell\n")[2]
    where = powershell.replace("/api/endpoint", "/apps/WebHostTaskManagement/api/v1/jobs/results")
    assert "success" in await user.powershell(where)


async def test_the_commands_of_the_module(user: User) -> None:
    (out,) = await user.with_module(f"$job = {examples.MODULE_SUBMIT.strip()}\n$job.JobID")
    result = await result_printed(user, out)
    assert (result["JobName"], result["Description"], result["Success"]) == ("MyJob", "Test job", True)
    assert re.search(r"\d\d:\d\d:\d\d", result["Output"])

    listed, removed, processed = await user.with_module(
        examples.MODULE_RESULTS + "$results.JobID",
        user.as_typed(examples.MODULE_REMOVE, result["JobID"]) + "$deleted",
        examples.MODULE_PROCESS,
    )
    assert result["JobID"] in listed.splitlines()
    assert removed.splitlines()[-1] == "True"
    assert processed == ""


@pytest.mark.parametrize("mode", MODES)
async def test_the_submission_file(user: User, mode: str) -> None:
    record = json.loads(examples.SUBMISSION_FILE)
    record |= {"JobID": str(uuid4()), "UserID": "admin", "ExecutionMode": mode}
    folder = user.demo.data_dir / "apps/WebHostTaskManagement/JobSubmission/admin"
    folder.mkdir(exist_ok=True)
    written = folder / "new.tmp"
    written.write_text(json.dumps(record))
    written.rename(folder / f"session-id_MyJob_{record['JobID']}.json")

    result = await user.caller.result(record["JobID"])

    assert (result["ExecutionMode"], result["Success"]) == (mode, True), result
    assert "ProcessName" in result["Output"]
    kept = user.demo.data_dir / "apps/WebHostTaskManagement/JobResults" / f"{record['JobID']}.json"
    assert Path(kept).is_file()

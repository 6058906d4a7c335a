"""The specification's test coverage by Pester, in a real PowerShell against a live demo host; and that it
fails where a promise is broken: by a host that is set up so, or by a proxy before one."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientResponse, ClientSession, web

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys

from ..conftest import SHOWN_AT_THE_END
from ..demo_app.conftest import Demo, open_demo
from ..demos import make_quick_users
from ..processes import printed_by

HERE = Path(__file__).parent
MODULE = HERE.parents[1] / "aiohttp_jobs/client/powershell/PSWebHost_JobExecution"
RUN = """
$settings = New-PesterConfiguration
$settings.Run.Path = $env:JOBS_TEST_FILES -split ';'
$settings.Run.PassThru = $true
$settings.Output.Verbosity = 'Normal'
$settings.Output.RenderMode = 'Plaintext'
if ($env:JOBS_TEST_TAGS) { $settings.Filter.Tag = $env:JOBS_TEST_TAGS -split ';' }
$run = Invoke-Pester -Configuration $settings
$passed = @($run.Passed | ForEach-Object ExpandedName)
$failed = @($run.Failed | ForEach-Object ExpandedName)
ConvertTo-Json @{ passed = $passed; failed = $failed } | Set-Content $env:JOBS_TEST_REPORT
"""
MODES = ("MainLoop", "Runspace", "BackgroundJob")
PESTER_SECONDS = 1000
"""Far more than it takes: on a busy machine each process of PowerShell is seconds in starting."""

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        shutil.which("pwsh") is None,
        reason="Pester was not run: pwsh is neither on PATH nor in ../shared/powershell",
    ),
]


@dataclass(frozen=True)
class Run:
    """What Pester and the demo printed, and the names of the tests that passed and that failed."""

    printed: str
    passed: list[str]
    failed: list[str]

    @property
    def summary(self) -> list[str]:
        """Pester's own last lines: the time, and how many passed, failed and were skipped."""
        return re.findall(r"^Tests (?:completed|Passed).*", self.printed, re.MULTILINE)


@dataclass
class PowerShellUser:
    """Somebody with a PowerShell, the module, and a key of each of the demo's three accounts."""

    demo: Demo
    folder: Path

    async def pester(self, *files: str, tags: Sequence[str] = (), address: str | None = None) -> Run:
        """Run Pester on `files`, of the tests with one of `tags`, if any, against the demo at `address`."""
        keys = ApiKeys.in_data_dir(self.demo.data_dir)
        report = self.folder / "report.json"
        env = {
            "JOBS_TEST_URL": (address or self.demo.address) + "/apps/WebHostTaskManagement",
            "JOBS_TEST_ADMIN_KEY": self.demo.api_key,
            "JOBS_TEST_OPERATOR_KEY": keys.create(name="o", user_id="operator", roles=["task_manager"])[1],
            "JOBS_TEST_VIEWER_KEY": keys.create(name="v", user_id="viewer", roles=[])[1],
            "JOBS_TEST_FOLDER": str(self.demo.data_dir / "apps/WebHostTaskManagement"),
            "JOBS_TEST_MODULE": str(MODULE),
            "JOBS_TEST_FILES": ";".join(str(HERE / name) for name in files),
            "JOBS_TEST_TAGS": ";".join(tags),
            "JOBS_TEST_REPORT": str(report),
            "HOME": str(self.folder),
        }
        process = await asyncio.create_subprocess_exec(
            *("pwsh", "-NoProfile", "-NonInteractive", "-Command", RUN),
            env={**os.environ, **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed = (await printed_by(process, seconds=PESTER_SECONDS))[0].decode()
        assert report.exists(), printed
        return Run(printed + self.demo.errors, **json.loads(report.read_text()))


StartUser = Callable[..., PowerShellUser]


@pytest.fixture
def start_user(tmp_path: Path) -> Iterator[StartUser]:
    """Starts a demo, with arguments and settings of its own, for somebody with a PowerShell."""
    demos: list[Demo] = []

    def start(*arguments: str, **settings: str) -> PowerShellUser:
        make_quick_users(tmp_path / "data")  # nobody signs in: those of Pester have keys
        demos.append(open_demo(tmp_path, tmp_path / "data", *arguments, **settings))
        return PowerShellUser(demos[-1], tmp_path)

    yield start
    for demo in demos:
        demo.stop()


Handler = Callable[[web.Request, ClientResponse], Awaitable[web.StreamResponse]]


async def pass_on(_: web.Request, answer: ClientResponse) -> web.StreamResponse:
    """The demo's answer as it is."""
    return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)


async def delete_nothing(request: web.Request, answer: ClientResponse) -> web.StreamResponse:
    """That a result was deleted, whatever became of that."""
    if request.method == "DELETE":
        return web.json_response({"success": True, "message": "Job result deleted successfully"})
    return await pass_on(request, answer)


class StreamCutter:
    """Answers as the demo does, but streams break off after the first output; `cuts` of them did."""

    def __init__(self) -> None:
        self.cuts = 0

    async def __call__(self, request: web.Request, answer: ClientResponse) -> web.StreamResponse:
        if answer.content_type != "text/event-stream":
            return await pass_on(request, answer)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        is_output = False
        async for line in answer.content:
            await response.write(line)
            is_output = is_output or line.strip() == b"event: output"
            if is_output and not line.strip():
                self.cuts += 1
                break
        return response


@asynccontextmanager
async def before(demo: Demo, handler: Handler) -> AsyncIterator[str]:
    """The address of a proxy before the demo that answers what `handler` makes of the demo's answers.

    It asks the demo for nothing that would be a deletion.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        kept = ("Authorization", "Content-Type", "Last-Event-ID")
        headers = {name: request.headers[name] for name in kept if name in request.headers}
        method = "GET" if request.method == "DELETE" else request.method
        async with session.request(
            method, demo.address + request.path_qs, headers=headers, data=await request.read()
        ) as answer:
            return await handler(request, answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    async with ClientSession() as session:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


POWERSHELL = ("--interpreter", "powershell")
NO_SPARES = {"AIOHTTP_JOBS_POWERSHELL_SPARES": "0"}
"""Where few jobs run, most spares would be started for nothing, which costs as much as a job."""


async def test_the_specification_holds_for_a_user_of_powershell(
    start_user: StartUser, record_property: Callable[[str, object], None]
) -> None:
    user = start_user(*POWERSHELL)

    run = await user.pester("JobSubmission.Tests.ps1", "Module.Tests.ps1")

    record_property(SHOWN_AT_THE_END, "Pester: " + "; ".join(run.summary))
    assert run.failed == [], run.printed
    assert len(run.passed) >= 48, run.printed


async def test_output_is_whole_where_each_stream_breaks_off(start_user: StartUser) -> None:
    user, cutter = start_user(*POWERSHELL, **NO_SPARES), StreamCutter()

    async with before(user.demo, cutter) as address:
        run = await user.pester("JobSubmission.Tests.ps1", tags=["Streaming"], address=address)

    assert (run.failed, len(run.passed)) == ([], 2), run.printed
    assert cutter.cuts >= 3


async def test_pester_fails_where_commands_fail_everybody_may_run_in_main_loop_and_nothing_is_deleted(
    start_user: StartUser,
) -> None:
    """Each in the tests of that, and in no others."""
    everybody = {"AIOHTTP_JOBS_MODE_ROLES": json.dumps({"MainLoop": ["authenticated"]})}
    user = start_user("--interpreter", "shell", **everybody)  # in which PowerShell's commands fail

    async with before(user.demo, delete_nothing) as address:
        run = await user.pester(
            "JobSubmission.Tests.ps1", tags=["Submission", "Roles", "Deletion"], address=address
        )

    assert {f"is answered with an id, and the command runs, in {mode}" for mode in MODES} <= set(run.failed)
    assert {"gives the output as it is written, with -Wait", "takes a script block"} <= set(run.failed)

    assert "lets nobody run MainLoop without the role debug" in run.failed, run.printed
    assert "lets nobody run Runspace who has no elevated role" in run.passed, run.printed

    assert {"deletes the result and its file", "takes results from the pipeline"} <= set(run.failed), (
        run.printed
    )
    assert "deletes nothing with -WhatIf" in run.passed, run.printed

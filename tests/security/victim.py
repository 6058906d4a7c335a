"""A host in a process of its own, to be harmed, and what shows that it is not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.model.job import new_job_id
from aiohttp_jobs.system.app_folder import APP_FOLDER

from ..conftest import Caller
from ..gate import until
from ..hosts.process import Process, caller_of, running
from .traps import Trap, put

ANSWER_SECONDS = 120.0
READ = [
    "/jobs", "/jobs/results", "/jobs/{id}", "/jobs/{id}/output", "/results", "/results/{id}", "/queue",
    "/results/stats", "/results?q=true", "/schedules", "/schedules/{id}", "/templates", "/templates/{id}",
    "/notices", "/me",
]  # fmt: skip
TEMPLATE = {"name": "greet", "command": "echo hello", "executionMode": "BackgroundJob", "parameters": []}
JOB = {"jobName": "yearly", "command": "true", "executionMode": "BackgroundJob"}
SCHEDULE = {"name": "yearly", "job": JOB, "cron": "0 0 1 1 *"}
RECORDS = ["Templates", "Schedules", "Notices", "Notices/prepared", "JobResults"]
OTHERS = [
    "JobSubmission/alice/dropped.json", "JobSubmission/mallory", "JobOutput/.deleted", "Running/.recovery",
    "Running/.keys/alice%00nightly.lock", "Schedules/firing/x", "Schedules/fired/x", "Schedules/.lock",
    "Templates/.lock", "Notices/.lock", "Notices/.sending",
]  # fmt: skip
INDEX = [f"results.index.sqlite3{suffix}" for suffix in ("", "-wal", "-shm", "-journal")]


class Victim:
    """A host in a process of its own, and somebody with every role who uses it."""

    def __init__(self, folder: Path, process: Process, caller: Caller) -> None:
        self.base = folder / APP_FOLDER
        self.process = process
        self.caller = caller

    def set_everywhere(self, trap: Trap) -> str:
        """Set traps where files are expected, but for the keys; the id by which some are asked for."""
        record_id = new_job_id()
        for name in RECORDS:
            put(trap, self.base / name / f"{record_id}.json", self.base)
        for name in OTHERS:
            put(trap, self.base / name, self.base)
        return record_id

    async def answers(self, record_id: str) -> None:
        """Every route that reads answers, and is not at a loss."""
        for path in READ:
            answer = await self.caller.request("GET", path.format(id=record_id))
            assert answer.status < 500, (path, answer.body)

    async def works(self) -> None:
        """Jobs run, with and without a concurrency key, and records are made, changed and deleted."""
        assert (await self.caller.run("echo hello"))["Output"] == "hello\n"
        keyed = await self.caller.run("echo hello", concurrencyKey="nightly")
        assert (keyed["Output"], keyed["Status"]) == ("hello\n", "Succeeded")
        assert (await self.caller.request("DELETE", f"/jobs/results?jobId={keyed['JobID']}")).status == 200
        for path, body, key in (("/templates", TEMPLATE, "template"), ("/schedules", SCHEDULE, "schedule")):
            made = await self.caller.request("POST", path, json=body)
            assert made.status in (200, 201), made.body
            record_id = made.body[key][f"{key.title()}ID"]
            assert (await self.caller.request("DELETE", f"{path}/{record_id}")).status == 200
        for verb in ("pause", "resume"):
            assert (await self.caller.request("POST", f"/queue/{verb}")).status == 200

    async def takes_in_drops(self) -> None:
        """A file that another program drops is picked up; it is refused, as nobody signed it."""
        name, job_id = f"drop{os.urandom(4).hex()}", new_job_id()
        record = {"JobID": job_id, "UserID": "bob", "JobName": name, "Command": "true", "SessionID": "s"}
        folder = self.base / "JobSubmission" / "bob"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".new").write_text(json.dumps(record))
        (folder / ".new").rename(folder / f"{name}.json")
        await until(lambda: not (folder / f"{name}.json").exists(), "picking up a dropped file")

    def ends(self) -> None:
        """It ends by itself when it is told to."""
        assert self.process.end(signal.SIGTERM) == 0


def all_roles(folder: Path) -> str:
    roles = ("debug", "system_admin", "task_manager")
    return ApiKeys.in_data_dir(folder).create(name="t", user_id="alice", roles=roles)[1]


StartVictim = Callable[[], Awaitable[Victim]]


@asynccontextmanager
async def victims(folder: Path) -> AsyncIterator[StartVictim]:
    """Starts victims on the data folder `folder`; those that still run in the end are killed."""
    key = all_roles(folder)
    with ExitStack() as stack:
        async with ClientSession(timeout=ClientTimeout(total=ANSWER_SECONDS)) as session:

            async def start() -> Victim:
                process = await asyncio.to_thread(stack.enter_context, running(folder))
                return Victim(folder, process, caller_of(process, key, session))

            yield start

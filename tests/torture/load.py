"""What goes on while a host is tortured: jobs of all kinds, cancels, deletions, schedules, watchers.

All of it over HTTP, but for copies of signed files, which are put back into ``JobSubmission/`` by hand.
Requests that meet no host are made again; what was answered is written into the ledger.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from aiohttp import ClientConnectorError, ClientSession, ClientTimeout
from aiohttp import ClientError as TransportError

from aiohttp_jobs.client import ClientError, JobsClient

from .ledger import Deletion, Fate, Job, Ledger

_PATIENCE = ClientTimeout(total=20)
_MOST_JOBS = 90
_MOST_WATCHERS = 6


@dataclass(frozen=True)
class Kind:
    """A kind of job: how often it is chosen, the command with ``NOTE`` for what notes its run, the body."""

    weight: int
    mode: str
    command: str
    body: dict[str, Any]
    most_runs: int = 1


_RETRY = {"count": 2, "backoffSeconds": 0.2, "on": ["Failed", "Interrupted"]}
_PYTHON = {"interpreter": "python"}
KINDS: dict[str, Kind] = {
    "quick": Kind(8, "BackgroundJob", "NOTE; echo done", {}),
    "short": Kind(6, "BackgroundJob", "NOTE; echo up; sleep 0.15; echo done", {}),
    "runspace": Kind(6, "Runspace", "NOTE; sleep 0.02; echo done", {}),
    "runspace python": Kind(4, "Runspace", "NOTE\nprint('done')", _PYTHON),
    "main loop": Kind(2, "MainLoop", "NOTE; echo done", {}),
    "main loop python": Kind(2, "MainLoop", "NOTE\nimport asyncio\nawait asyncio.sleep(0.05)", _PYTHON),
    "retried": Kind(3, "BackgroundJob", "NOTE; exit 3", {"retry": _RETRY}, 3),
    "delayed": Kind(2, "BackgroundJob", "NOTE; echo done", {"delaySeconds": 0.7}),
    "keyed": Kind(3, "BackgroundJob", "NOTE; sleep 0.05", {"concurrencyKey": "one"}),
    "urgent": Kind(2, "BackgroundJob", "NOTE; echo done", {"priority": 7}),
    "loud": Kind(1, "BackgroundJob", "NOTE; head -c 1500000 /dev/zero | tr '\\0' x", {}),
    "long": Kind(1, "BackgroundJob", "NOTE; echo up; sleep 4", {}),
    "template": Kind(2, "", "", {}),
}  # fmt: skip
_TEMPLATE = {
    "name": "sealed",
    "command": 'printf "%s\\n" "$PARAM_note" >> "$PARAM_file"; test "$PARAM_secret" = "hunter-2-hunter"',
    "executionMode": "BackgroundJob",
    "parameters": [
        {"name": "note", "type": "string", "required": True},
        {"name": "file", "type": "string", "required": True},
        {"name": "secret", "type": "secret", "required": True},
    ],
}


def noting(kind: Kind, note: str, file: Path) -> str:
    """The command of a job that appends `note` to `file` when it runs."""
    if kind.body.get("interpreter") == "python":
        # Closed by name: where the disk fails, a file that is only let go of says nothing of what it lost.
        line = f"with open({str(file)!r}, 'a') as ran: ran.write({note + chr(10)!r})"
    else:
        line = f"echo {note} >> {file}"
    return kind.command.replace("NOTE", line)


class Client:
    """One user of whatever host listens at `url`."""

    def __init__(self, user: str, url: str, key: str) -> None:
        self.user = user
        self._url = url
        self.jobs = JobsClient(url.removesuffix("/api/v1"), key)
        self._headers = {"Authorization": f"Bearer {key}"}

    async def __aenter__(self) -> Self:
        self._session = ClientSession(headers=self._headers, timeout=_PATIENCE)
        await self.jobs.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.jobs.__aexit__(None, None, None)
        await self._session.close()

    async def request(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Status and body. Raises ``aiohttp.ClientError`` or ``TimeoutError`` when nobody answers."""
        async with self._session.request(method, self._url + path, **more) as response:
            return response.status, await response.json()


class Load:
    """Keeps hosts busy until it is stopped."""

    def __init__(
        self,
        ledger: Ledger,
        clients: list[Client],
        base: Path,
        chance: random.Random,
        *,
        with_schedules: bool,
        most_jobs: int = _MOST_JOBS,
    ) -> None:
        self._ledger = ledger
        self._clients = clients
        self._base = base
        self._chance = chance
        self._with_schedules = with_schedules
        self._most_jobs = most_jobs
        self._tasks: list[asyncio.Task[None]] = []
        self._template = ""
        self._copies: dict[Path, bytes] = {}
        self.watchers: dict[str, asyncio.Task[str]] = {}

    def start(self) -> None:
        """From now on."""
        work = [self._submit] * 4 + [
            self._cancel,
            self._delete,
            self._pause,
            self._look,
            self._copy,
            self._search,
        ]
        work += [self._schedule] if self._with_schedules else []
        self._tasks = [asyncio.create_task(self._again(each)) for each in work]

    async def stop(self) -> None:
        """Ask for nothing more; watchers go on."""
        for task in self._tasks:
            task.cancel()
        done = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for error in done:
            if isinstance(error, Exception):
                raise error

    async def _again(self, work: Callable[[Client], Awaitable[float]]) -> None:
        """`work` over and over, with a pause of as many seconds as it says, or a short one without a host."""
        while True:
            pause = 0.1
            with suppress(TransportError, TimeoutError, ClientError):
                pause = await work(self._chance.choice(self._clients))
            await asyncio.sleep(pause * self._chance.uniform(0.3, 1.7))

    # --- submitting

    async def _submit(self, client: Client) -> float:
        if len(self._ledger.jobs) >= self._most_jobs:
            return 0.5
        name = self._chance.choices(list(KINDS), [kind.weight for kind in KINDS.values()])[0]
        await self.submit(client, name)
        return 0.08

    async def submit(self, client: Client, name: str) -> None:
        """A job of the kind `name`."""
        kind = KINDS[name]
        if name == "template" and not await self._has_template(client):
            return
        job = self._ledger.new(client.user, name, kind.most_runs)
        path, body = self._request_of(job, kind)
        try:
            status, answer = await client.request("POST", path, json=body)
        except ClientConnectorError:
            self._ledger.forget(job)
            raise
        if status == 200:
            job.fate, job.job_id = Fate.ACCEPTED, answer["jobId"]
            self._maybe_watch(client, job)
        elif answer.get("code") != "may_still_run":
            job.fate = Fate.REFUSED

    def _request_of(self, job: Job, kind: Kind) -> tuple[str, dict[str, Any]]:
        if kind.mode:
            command = noting(kind, job.token, self._ledger.ran)
            body = {"jobName": job.token, "command": command, "executionMode": kind.mode, **kind.body}
            return "/jobs/submit", body
        values = {"note": job.token, "file": str(self._ledger.ran), "secret": "hunter-2-hunter"}
        return f"/templates/{self._template}/run", {"values": values, "jobName": job.token}

    async def _has_template(self, client: Client) -> bool:
        if client is not self._clients[0]:
            return False
        if not self._template:
            status, answer = await client.request("POST", "/templates", json=_TEMPLATE)
            self._template = answer["template"]["TemplateID"] if status == 201 else ""
        return bool(self._template)

    async def _schedule(self, client: Client) -> float:
        policies = ("skip", "queue", "replace")
        if len(self._ledger.schedules) < len(policies):
            policy = policies[len(self._ledger.schedules)]
            command = f"echo {policy}:$AIOHTTP_JOBS_JOB_ID >> {self._ledger.ran}; sleep 0.3"
            job = {"jobName": f"every-{policy}", "command": command, "executionMode": "BackgroundJob"}
            more = {"overlapPolicy": policy, "misfirePolicy": "run_once"}
            body = {"name": policy, "cron": "* * * * *", "job": job, **more}
            status, answer = await client.request("POST", "/schedules", json=body)
            if status == 201:
                self._ledger.schedules[answer["schedule"]["ScheduleID"]] = policy
            return 0.05
        schedule_id = self._chance.choice(list(self._ledger.schedules))
        change = {"name": f"renamed {self._chance.randrange(100)}"}
        await client.request("PATCH", f"/schedules/{schedule_id}", json=change)
        return 0.8

    # --- what else people do

    def _chosen(self, client: Client) -> Job | None:
        own = [job for job in self._ledger.accepted if job.user == client.user]
        return self._chance.choice(own[-12:]) if own else None

    async def _cancel(self, client: Client) -> float:
        job = self._chosen(client)
        if job is not None:
            await client.request("POST", f"/jobs/{job.job_id}/cancel")
        return 0.4

    async def _look(self, client: Client) -> float:
        """Remember how jobs ended, which may not change any more."""
        status, answer = await client.request("GET", "/results?limit=50")
        for record in answer.get("results", []) if status == 200 else []:
            job = self._ledger.by_id(record["JobID"])
            if job is not None and not job.is_excused:
                job.seen = job.seen or record["Status"]
        return 0.2

    async def _delete(self, client: Client) -> float:
        ended = [job for job in self._ledger.accepted if job.seen and job.user == client.user]
        ended = [job for job in ended if job.deletion is Deletion.NONE]
        if not ended:
            return 0.2
        await self.delete(client, self._chance.sample(ended, min(len(ended), self._chance.choice((1, 1, 3)))))
        return 0.4

    async def delete(self, client: Client, jobs: Sequence[Job]) -> None:
        """Results of jobs, by the one request or the other."""
        for job in jobs:
            job.deletion = Deletion.ASKED
        if len(jobs) == 1:
            status, _ = await client.request("DELETE", f"/jobs/results?jobId={jobs[0].job_id}")
        else:
            body = {"jobIds": [job.job_id for job in jobs]}
            status, _ = await client.request("POST", "/results/delete", json=body)
        if status == 200:
            for job in jobs:
                job.deletion = Deletion.DONE

    async def _pause(self, client: Client) -> float:
        await asyncio.sleep(self._chance.uniform(0.5, 1.5))
        await client.request("POST", "/queue/pause")
        await asyncio.sleep(0.1)
        await client.request("POST", "/queue/resume")
        return 1.0

    async def _search(self, client: Client) -> float:
        job = self._chosen(client)
        if job is not None:
            await client.request("GET", f"/results?q={job.token}")
            await client.request("GET", "/jobs?state=running,queued,pending")
        return 0.3

    async def _copy(self, _client: Client) -> float:
        self.put_back_one()
        return 0.3

    def put_back_one(self) -> None:
        """Keep copies of signed files that were picked up, and put one back where it once waited.

        Not of jobs that were refused: of these nothing is remembered, so a copy runs of what a failing disk
        kept for a moment.
        """
        accepted = {job.token for job in self._ledger.accepted}
        with suppress(OSError):
            for path in (self._base / "JobOutput").glob("*_tok*[0-9a-f].json"):
                if path not in self._copies and b'"Signature"' in (data := path.read_bytes()):
                    self._copies[path] = data
            kept = [(path, data) for path, data in self._copies.items() if _token_in(path) in accepted]
            if kept and self._chance.random() < 0.5:
                self._put_back(*self._chance.choice(kept))

    def _put_back(self, path: Path, data: bytes) -> None:
        for folder in (self._base / "JobSubmission").iterdir():
            if f'"UserID": "{folder.name}"'.encode() in data:
                hidden = folder / f".{path.name}"
                hidden.write_bytes(data)
                try:
                    os.link(hidden, folder / path.name)  # not over another attempt, which waits there
                finally:
                    hidden.unlink()

    # --- watching

    def _maybe_watch(self, client: Client, job: Job) -> None:
        if len(self.watchers) < _MOST_WATCHERS and self._chance.random() < 0.3:
            self.watchers[job.job_id] = asyncio.create_task(_watch(client, job))


async def _watch(client: Client, job: Job) -> str:
    """What somebody sees who follows the job, over as many hosts as it takes, to its end."""
    seen, position = "", None
    while True:
        try:
            async for event in client.jobs.follow(job.job_id, position):
                seen, position = seen + event.text, event.position or position
        except TransportError:  # no host for long
            continue
        except ClientError:  # deleted meanwhile
            return seen
        return seen


def _token_in(path: Path) -> str:
    """The name of the job whose file in ``JobOutput/`` this is."""
    return "tok" + path.name.rpartition("_tok")[2].partition("_")[0]

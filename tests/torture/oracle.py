"""The judge: what the files, the index and the clients' ledger say of one another when all is quiet.

Looks at a host that runs and at its data folder, and changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientError as TransportError

from .ledger import Deletion, Fate, Job, Ledger
from .load import Client

QUIET_SECONDS = 60.0
_INDEX_SECONDS = 15.0


@dataclass
class Findings:
    """What is wrong, each a sentence, by column of the table."""

    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    index: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __iter__(self) -> Any:
        for column in ("lost", "twice", "back", "index", "faults"):
            yield from ((column, sentence) for sentence in getattr(self, column))


async def quiet(clients: Collection[Client], base: Path) -> str:
    """Wait until nothing waits or runs; what still does after a minute, or nothing."""
    deadline, left = time.monotonic() + QUIET_SECONDS, "no answer"
    calm = 0
    while time.monotonic() < deadline and calm < 2:
        with suppress(TransportError, TimeoutError):
            left = await _left(clients, base)
            calm = 0 if left else calm + 1
        await asyncio.sleep(0.15)
    return left


async def _left(clients: Collection[Client], base: Path) -> str:
    jobs: list[str] = []
    for client in clients:
        _, answer = await client.request("GET", "/jobs?state=running,queued,pending&limit=1000")
        jobs += [f"{job['JobName']} {job['Status']}" for job in answer["jobs"]]
    files = [path.name for path in base.glob("JobSubmission/*/*.json") if path.name[0] != "."]
    running = [path.name for path in base.glob("Running/*/jobs/*")]
    return "; ".join([*jobs, *files, *running])


class Oracle:
    """Judges one scenario, whose host answers `clients` and keeps its files in `base`."""

    def __init__(self, ledger: Ledger, clients: Collection[Client], base: Path) -> None:
        self._ledger = ledger
        self._clients = clients
        self._base = base
        self.findings = Findings()

    async def judge(self) -> Findings:
        """Once nothing waits or runs any more."""
        self._files = self._read_results()
        self._runs = self._ledger.runs()
        for job in self._ledger.jobs.values():
            self._judge_job(job)
        self._judge_schedules()
        for client in self._clients:
            await self._judge_index(client)
        return self.findings

    def _read_results(self) -> dict[str, dict[str, Any]]:
        """The result files that hold a result, by their ids."""
        found = {}
        for path in self._base.glob("JobResults/*.json"):
            with suppress(ValueError):
                record = json.loads(path.read_bytes())
                if isinstance(record, dict) and record.get("JobID") == path.stem:
                    found[path.stem] = record
        return found

    def _judge_job(self, job: Job) -> None:
        named = f"{job.token} ({job.kind}, {job.job_id or 'no id'}, {job.fate}, deletion {job.deletion})"
        runs, result = self._runs[job.token], self._result_of(job)
        if runs > job.most_runs:
            self.findings.twice.append(f"{named} ran {runs} times")
        if result is not None and runs > max(1, result["Attempt"]):
            self.findings.twice.append(f"{named} ran {runs} times in {result['Attempt']} attempts")
        if job.deletion is Deletion.DONE and result is not None:
            self.findings.back.append(f"{named} has a result: {result['Status']}")
        if job.is_excused:
            return
        if job.fate is Fate.REFUSED and (runs or result):
            self.findings.faults.append(f"{named} was refused, and ran {runs} times: {result}")
        if result is None:
            self._judge_missing(job, named, runs)
        else:
            self._judge_verdict(job, named, runs, result)

    def _result_of(self, job: Job) -> dict[str, Any] | None:
        """The job's own result; copies of its file that were put back have others."""
        if job.job_id:
            return self._files.get(job.job_id)
        own = [record for record in self._files.values() if record["JobName"] == job.token]
        return next((record for record in own if record["Status"] != "Rejected"), next(iter(own), None))

    def _judge_missing(self, job: Job, named: str, runs: int) -> None:
        if job.deletion is not Deletion.NONE:
            return
        if job.fate is Fate.ACCEPTED:
            self.findings.lost.append(f"{named} has no result; it ran {runs} times")
        elif runs:
            self.findings.lost.append(f"{named} ran {runs} times and has no result")

    def _judge_verdict(self, job: Job, named: str, runs: int, result: dict[str, Any]) -> None:
        status = result["Status"]
        if status == "Succeeded" and runs == 0:
            self.findings.lost.append(f"{named} is {status} and never ran")
        if job.seen and job.seen != status:
            self.findings.faults.append(f"{named} was {job.seen} and is {status} now")
        if status == "Rejected" and job.fate is Fate.ACCEPTED:
            self.findings.lost.append(f"{named} is Rejected: {result['Output']}")
        cut_off = Counter(each["Status"] for each in result.get("Attempts") or [result])
        if runs < cut_off["Failed"] and job.most_runs > 1:
            self.findings.faults.append(f"{named} failed {cut_off['Failed']} times and ran {runs} times")

    # --- schedules

    def _judge_schedules(self) -> None:
        """Each moment that was claimed for a job has that job, once, but for the last, which may be off."""
        fired: Counter[str] = Counter()
        for schedule_id, policy in self._ledger.schedules.items():
            claims = self._claims(schedule_id)
            jobs = [claim["JobID"] for claim in claims if claim["JobID"]]
            fired.update(jobs)
            for job_id in jobs[:-1]:
                if job_id not in self._files and job_id not in self._ledger.excused_ids:
                    self.findings.lost.append(f"schedule {policy}: job {job_id} of a moment has no result")
            for job_id in jobs:
                if self._runs[f"{policy}:{job_id}"] > 1:
                    self.findings.twice.append(f"schedule {policy}: job {job_id} ran more than once")
            if not claims:
                self.findings.faults.append(f"schedule {policy} never fired")
        for job_id, record in self._files.items():
            if record.get("ScheduleID") in self._ledger.schedules and fired[job_id] != 1:
                self.findings.twice.append(f"job {job_id} of a schedule belongs to {fired[job_id]} moments")

    def _claims(self, schedule_id: str) -> list[dict[str, Any]]:
        paths = sorted((self._base / "Schedules" / "fired" / schedule_id).glob("*"))
        return [json.loads(path.read_bytes()) for path in paths]

    # --- the index

    async def _judge_index(self, client: Client) -> None:
        """Lists, counts and searches say what the files say, within some seconds of the last change."""
        deadline = time.monotonic() + _INDEX_SECONDS
        while differences := await self._differences(client):
            if time.monotonic() > deadline:
                self.findings.index += differences
                return
            await asyncio.sleep(0.3)

    async def _differences(self, client: Client) -> list[str]:
        own = {name: each for name, each in self._read_results().items() if each["UserID"] == client.user}
        listed = {record["JobID"]: record for record in await _pages(client)}
        _, answer = await client.request("GET", "/jobs/results?maxResults=1000")
        whole = {record["JobID"]: record for record in answer["results"]}
        _, answer = await client.request("GET", "/results/stats?bucket=day")
        counted = sum(n for each in answer["stats"]["buckets"] for name, n in each.items() if name != "Start")
        found = [f"{client.user}: {name} is listed and has no file" for name in (listed | whole).keys() - own]
        found += [f"{client.user}: {name} has a file and is not in /results" for name in own.keys() - listed]
        found += [
            f"{client.user}: {name} has a file and is not in /jobs/results" for name in own.keys() - whole
        ]
        found += [
            f"{client.user}: {name} is {record['Status']} in its file and differs in the list"
            for name, record in own.items()
            if name in listed and name in whole and record != {**whole[name], **listed[name]}
        ]
        if counted != len(own):
            found.append(f"{client.user}: statistics count {counted} of {len(own)}")
        return found + await self._search_differences(client, own)

    async def _search_differences(self, client: Client, own: dict[str, dict[str, Any]]) -> list[str]:
        found = []
        for token in sorted({record["JobName"] for record in own.values()})[::7]:
            expected = {name for name, record in own.items() if record["JobName"] == token}
            records = await _pages(client, q=f'"{token}"')
            if {record["JobID"] for record in records if record["JobName"] == token} != expected:
                found.append(f"{client.user}: searching for {token} does not find {sorted(expected)}")
        return found


async def _pages(client: Client, **query: str) -> list[dict[str, Any]]:
    """All results, page by page."""
    records: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        parameters = {"limit": "40", **query, **({"cursor": cursor} if cursor else {})}
        _, answer = await client.request("GET", "/results", params=parameters)
        records += answer["results"]
        cursor = answer["nextCursor"]
        if cursor is None:
            return records

"""What a tortured cluster answers for: PostgreSQL's rows, the commands' notes, and what watchers saw."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import psycopg

from ..ledger import Fate, Job, Ledger
from .load import ClusterLoad, Watched
from .machines import Machine

_WATCH_SECONDS = 30.0
FAULTS = ("lost", "ran twice", "overlapped", "verdicts not one", "watchers wrong", "other faults")


class Judge:
    """Judges the jobs of `ledger`, when nothing is done to anybody any more. `dsn` leads past all proxies."""

    def __init__(self, dsn: str, ledger: Ledger, load: ClusterLoad) -> None:
        self._dsn = dsn
        self._ledger = ledger
        self._load = load
        self.findings: list[tuple[str, str]] = []
        self.statuses: Counter[str] = Counter()

    async def quiet(self, patience: float) -> None:
        """Wait until nothing waits or runs; what does when none has ended for `patience` seconds is lost."""
        left: list[Any] = []
        fewest, end = None, time.monotonic() + patience
        while time.monotonic() < end:
            left = await asyncio.to_thread(
                self._rows, "SELECT job_id, job_name, state, process_id FROM aiohttp_jobs.jobs"
            )
            if not left:
                return
            if fewest is None or len(left) < fewest:
                fewest, end = len(left), time.monotonic() + patience
            await asyncio.sleep(0.3)
        for job_id, name, state, process in left:
            self._found("lost", f"{name} ({job_id}) is still {state} at {process}")

    async def judge(self, machines: Sequence[Machine]) -> None:
        self._read()
        for job in self._ledger.jobs.values():
            self._judge_job(job)
        if self._load.overlaps.exists():
            for token in self._load.overlaps.read_text().split():
                self._found("overlapped", f"{token} ran while an earlier attempt of it still did")
        tasks = [task for _, task in self._load.watchers]
        if tasks:
            await asyncio.wait(tasks, timeout=_WATCH_SECONDS)
        for watched, task in self._load.watchers:
            self._judge_watcher(watched, task)
        for machine in machines:
            self._judge_log(machine)
        if bare := self._load.refused["503 without Retry-After"]:
            self._found("other faults", f"{bare} times 503 without Retry-After")

    def _found(self, fault: str, sentence: str) -> None:
        self.findings.append((fault, sentence))

    def _rows(self, query: str) -> list[Any]:
        with psycopg.connect(self._dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def _read(self) -> None:
        self._results: dict[str, list[dict[str, Any]]] = {}
        for name, record, long_fields in self._rows(
            "SELECT name, record, long_fields FROM aiohttp_jobs.results"
        ):
            self._results.setdefault(name, []).append({**record, **long_fields})
        self._ended = {str(job_id) for (job_id,) in self._rows("SELECT job_id FROM aiohttp_jobs.ended_jobs")}
        self._runs: dict[str, list[tuple[str, str]]] = {}
        for line in self._ledger.ran.read_text().splitlines() if self._ledger.ran.exists() else ():
            token, job_id, attempt = line.split()
            self._runs.setdefault(token, []).append((job_id, attempt))

    def _judge_job(self, job: Job) -> None:
        results, runs = self._results.get(job.token, []), self._runs.get(job.token, [])
        named = f"{job.token} ({job.kind}, {job.job_id or 'no answer'})"
        if job.fate is Fate.ACCEPTED and not results:
            self._found("lost", f"{named} has no result; it ran {len(runs)} times")
        if len(results) > 1 or any(result["JobID"] not in self._ended for result in results):
            self._found("verdicts not one", f"{named} has {len(results)} results")
        if not results:
            if runs and job.fate is not Fate.ACCEPTED:
                self._found("lost", f"{named} ran, and has no result")
            return
        result = results[0]
        self.statuses[result["Status"]] += 1
        if len(runs) > min(result["Attempt"], job.most_runs) or len(set(runs)) < len(runs):
            self._found("ran twice", f"{named} ran as {runs}, and ended {result['Status']}")
        if result["Status"] == "Succeeded" and not runs:
            self._found("lost", f"{named} succeeded, and never ran")
        if result["Status"] not in {"Succeeded", "Interrupted"}:
            self._found("other faults", f"{named} ended {result['Status']}: {result['Output'][-300:]!r}")

    def _judge_watcher(self, watched: Watched, task: asyncio.Task[None]) -> None:
        named = f"who watched {watched.job.token} ({watched.job.kind}, {watched.job.job_id})"
        if not task.done():
            self._found("watchers wrong", f"{named} was not told of the end: {watched.events}")
            return
        if (error := task.exception()) is not None:
            self._found("watchers wrong", f"{named} met {error!r}: {watched.events}")
            return
        results = self._results.get(watched.job.token, [])
        if results and watched.text != results[0]["Output"]:
            said = f"saw {watched.text!r}, and what is kept is {results[0]['Output']!r}"
            self._found("watchers wrong", f"{named} {said}: {watched.events}")

    def _judge_log(self, machine: Machine) -> None:
        text = machine.log.read_text(errors="replace")
        if "Traceback" in text:
            start = text.index("Traceback")
            said = text[max(0, start - 300) : start + 1500]
            self._found("other faults", f"{machine.name} logged {text.count('Traceback')} tracebacks: {said}")

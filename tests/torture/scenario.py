"""One scenario: a data folder, its clients and ledger, hosts that come and go, and the judgement."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from ..hosts.process import new_key
from .hosts import TorturedHost, free_port
from .ledger import Ledger
from .load import Client, Load
from .oracle import Findings, Oracle, quiet
from .strace import Injection

USERS = ("alice", "bob")
ROLES = ("debug", "site_admin")
_WATCH_SECONDS = 40.0
_MOMENT_SECONDS = 40.0
_AGAIN = 0.3


class Scenario:
    """Everything that one seed decides, in `folder`, which is empty.

    `tried` is how often something was done to a host, `died` how often it brought one down.
    """

    def __init__(self, name: str, seed: int, folder: Path) -> None:
        self.seed = seed
        self.folder = folder
        self.chance = random.Random(f"{name} {seed}")
        self.data = folder / "data"
        self.ledger = Ledger(folder / "ran")
        self.log = folder / "log"
        self.tried = 0
        self.died = 0
        self.accepted_elsewhere = 0
        self.findings = Findings()
        self.notes: list[str] = []
        """What was done, for whoever looks into a failure."""
        self.prefix: Sequence[str] = ()
        self._port = free_port()
        self._epoch: float | None = None
        self._hosts: list[TorturedHost] = []
        self._stack = AsyncExitStack()
        self.load: Load | None = None

    @property
    def base(self) -> Path:
        return self.data / "apps" / "WebHostTaskManagement"

    def note(self, what: str) -> None:
        self.notes.append(what)

    def at_end(self, work: Callable[[], object]) -> None:
        """Have `work` done when all hosts have ended."""
        self._stack.callback(work)

    async def open(self, *, with_schedules: bool = True, most_jobs: int = 90, ports: int = 1) -> Load:
        """The load, which is not started yet. With more `ports`, clients use one host each."""
        self._ports = [self._port, *(free_port() for _ in range(ports - 1))]
        self._epoch = time.time() if with_schedules else None
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.clients = []
        for number, user in enumerate(USERS):
            key = new_key(self.data, user, ROLES)
            url = TorturedHost(self.data, self._ports[number % ports], self.log).url
            self.clients.append(await self._stack.enter_async_context(Client(user, url, key)))
        self.load = Load(
            self.ledger, self.clients, self.base, self.chance,
            with_schedules=with_schedules, most_jobs=most_jobs,
        )  # fmt: skip
        return self.load

    @property
    def accepted(self) -> int:
        return len(self.ledger.accepted) + self.accepted_elsewhere

    async def close(self) -> None:
        """End what is left of it, whatever happened."""
        if self.load is not None:
            with suppress(Exception):  # it was raised already, or something worse was
                await self.load.stop()
            for task in self.load.watchers.values():
                task.cancel()
            await asyncio.gather(*self.load.watchers.values(), return_exceptions=True)
        for host in self._hosts:
            if host.is_alive:
                await host.kill()
        await self._stack.aclose()

    async def start(self, injection: Injection | None = None, number: int = 0) -> TorturedHost:
        """A host on the `number`-th port; it may have died already where there is an `injection`."""
        host = TorturedHost(self.data, self._ports[number], self.log, epoch=self._epoch)
        self._hosts.append(host)
        is_up = await host.start(injection, self.prefix)
        self.note(f"host {host.pid} started{'' if is_up else ', died'}: {injection or 'no harm'}")
        if not is_up and injection is None:
            raise HostError("a host that nothing was done to did not start")
        return host

    async def kill_after(self, host: TorturedHost, seconds: float) -> None:
        """Let `host` live so long if it can, then kill it."""
        if host.is_alive and not await host.died_within(seconds):
            host.send(signal.SIGKILL)
        await host.ended()

    async def judge(self) -> None:
        """Start a last host if there is none, wait until all is quiet, and fill in `findings`.

        Sometimes another host is started after that, which has to say the same.
        """
        if not self._hosts:
            return  # it has judged for itself
        await self.load.stop()
        if not any(host.is_alive for host in self._hosts):
            await self.start()
        await self._settle()
        await self._judge_quiet()
        await self._judge_watchers()
        await self._stop_all()
        if self.chance.random() < _AGAIN and len(self._ports) == 1:
            await self.start()
            await self._judge_quiet()
            await self._stop_all()
        self._judge_log()

    async def _judge_quiet(self) -> None:
        left = await quiet(self.clients, self.base)
        if left:
            self.findings.lost.append(f"still waits or runs after a minute: {left}")
        oracle = Oracle(self.ledger, self.clients, self.base)
        oracle.findings = self.findings
        await oracle.judge()

    async def _stop_all(self) -> None:
        for host in self._hosts:
            if host.is_alive and (code := await host.stop()) != 0:
                self.findings.faults.append(f"a normal shutdown ended with code {code}")

    async def _settle(self) -> None:
        """Nothing new is to come: the queue goes on, and schedules, which have to go on before, do not."""
        await self._insist("POST", "/queue/resume")
        newest = {schedule_id: self._newest_moment(schedule_id) for schedule_id in self.ledger.schedules}
        deadline = time.monotonic() + _MOMENT_SECONDS
        for schedule_id, moment in newest.items():
            while self._newest_moment(schedule_id) == moment:
                if time.monotonic() > deadline:
                    self.findings.lost.append(f"schedule {self.ledger.schedules[schedule_id]} does not go on")
                    break
                await asyncio.sleep(0.1)
        for schedule_id in newest:
            await self._insist("PATCH", f"/schedules/{schedule_id}", json={"enabled": False})
        # On a busy machine a pause may come late, from a client that was stopped before it had its answer.
        await self._insist("POST", "/queue/resume")

    def _newest_moment(self, schedule_id: str) -> str:
        claims = (self.base / "Schedules" / "fired" / schedule_id).glob("*")
        return max((path.name for path in claims), default="")

    async def _insist(self, method: str, path: str, **more: object) -> None:
        """Ask until the disk lets it be done, one client after the other: it may be anybody's."""
        deadline, status = time.monotonic() + _MOMENT_SECONDS, 0
        while time.monotonic() < deadline:
            for client in self.clients:
                status, _ = await client.request(method, path, **more)
                if status == 200:
                    return
            await asyncio.sleep(0.2)
        self.findings.faults.append(f"{method} {path} is answered with {status}")

    async def _judge_watchers(self) -> None:
        tasks = self.load.watchers
        if tasks:
            await asyncio.wait(tasks.values(), timeout=_WATCH_SECONDS)
        for job_id, task in tasks.items():
            if not task.done():
                self.findings.faults.append(f"who watches job {job_id} was not told of its end")
            elif task.exception() is not None:
                self.findings.faults.append(f"who watches job {job_id} met {task.exception()!r}")
            else:
                self._judge_watched(job_id, task.result())

    def _judge_watched(self, job_id: str, seen: str) -> None:
        """Who watched a job that nothing happened to has seen what its result holds."""
        job = self.ledger.by_id(job_id)
        path = self.base / "JobResults" / f"{job_id}.json"
        if job is None or job.is_excused or job.most_runs > 1 or not path.exists():
            return
        if "was picked up before" in seen:
            return  # known: a copy that was put back is followed under the id of the job that it is a copy of
        result = json.loads(path.read_bytes())
        if result["Status"] == "Succeeded" and not result["OutputTruncated"] and seen != result["Output"]:
            self.findings.faults.append(f"who watched {job.token} saw {seen!r}, not {result['Output']!r}")

    def _judge_log(self) -> None:
        text = self.log.read_text(errors="replace")
        if "Traceback" in text:
            start = text.index("Traceback")
            self.findings.faults.append("a traceback in the log: " + text[max(0, start - 300) : start + 1800])

    def forget_files(self) -> None:
        """Remove all of it, once nobody needs to look at it."""
        shutil.rmtree(self.folder, ignore_errors=True)


class HostError(Exception):
    """A host did not do what hosts must always do."""

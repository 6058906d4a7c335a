"""Jobs for a tortured cluster, and who watches them: over HTTP, by whichever host answers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientConnectorError
from aiohttp import ClientError as TransportError

from aiohttp_jobs.client import ClientError, JobsClient

from ..ledger import Fate, Job, Ledger

_MOST_WATCHERS = 8
_RETRY = {"count": 3, "backoffSeconds": 0.1, "on": ["Interrupted"]}
# Who holds the lock is the command's shell, and what it has started: also when its host is gone or stopped.
_ALONE = "exec 9>>LOCK; flock -n 9 || echo TOKEN >> OVERLAPS; "
_TALKING = "for n in 1 2 3 4 5 6 7 8; do echo line $n of TOKEN; sleep 0.1; done"
KINDS: dict[str, tuple[int, str, dict[str, Any], int]] = {
    "quick": (12, "echo done", {}, 1),
    "talking": (3, _TALKING, {}, 1),
    "long": (1, "echo up; sleep 3; echo done", {}, 1),
    "keyed": (1, "echo done", {"concurrencyKey": "one"}, 1),
    "retried": (4, _ALONE + "sleep 0.3; echo done", {"retry": _RETRY}, 4),
    "retried long": (1, _ALONE + "echo up; sleep 4; echo done", {"retry": _RETRY}, 4),
}
"""How often it is chosen, the command, the rest of the body, and how often it may run."""


@dataclass
class Watched:
    """What somebody saw who watched a job."""

    job: Job
    text: str = ""
    events: list[str] = field(default_factory=list)
    """By which host, and where it was then."""


class ClusterLoad:
    """Submits up to `most` jobs to `hosts`, all of one user's, and watches some of them."""

    def __init__(
        self, ledger: Ledger, hosts: Sequence[JobsClient], chance: random.Random, most: int, folder: Path
    ) -> None:
        self._ledger = ledger
        self._hosts = hosts
        self._chance = chance
        self._most = most
        self._folder = folder
        self.overlaps = folder / "overlaps"
        self.watchers: list[tuple[Watched, asyncio.Task[None]]] = []
        self.refused: Counter[str] = Counter()
        self.is_over = asyncio.Event()

    async def submit_all(self, at_once: int = 6, *, pause: float = 0.0) -> None:
        """Until there are `most`, or it is over, by `at_once` with so many seconds between two of theirs."""
        await asyncio.gather(*(self._go_on(pause) for _ in range(at_once)))

    async def _go_on(self, pause: float) -> None:
        while len(self._ledger.jobs) < self._most and not self.is_over.is_set():
            await asyncio.sleep(pause)
            name = self._chance.choices(list(KINDS), [kind[0] for kind in KINDS.values()])[0]
            if not await self._submit(name):
                await asyncio.sleep(0.3)

    async def _submit(self, name: str) -> bool:
        _, command, body, most_runs = KINDS[name]
        job = self._ledger.new("alice", name, most_runs)
        words = {"TOKEN": job.token, "LOCK": f"{self._folder}/locks/{job.token}", "OVERLAPS": self.overlaps}
        for word, text in words.items():
            command = command.replace(word, str(text))
        command = (
            f'echo "{job.token} $AIOHTTP_JOBS_JOB_ID $AIOHTTP_JOBS_ATTEMPT" >> {self._ledger.ran}; {command}'
        )
        request = {"jobName": job.token, "command": command, "executionMode": "BackgroundJob", **body}
        try:
            answer = await self._chance.choice(self._hosts).call("POST", "/jobs/submit", json=request)
        except ClientConnectorError:
            self._ledger.forget(job)
        except ClientError as error:
            # It may have been accepted all the same: that it was not answered is what is known.
            self.refused[f"{error.status} {error.code}"] += 1
            if error.status == 503 and error.retry_after is None:
                self.refused["503 without Retry-After"] += 1
        except (TransportError, TimeoutError):
            self.refused["no answer"] += 1
        else:
            job.fate, job.job_id = Fate.ACCEPTED, answer["jobId"]
            self._maybe_watch(job)
            return True
        return False

    def _maybe_watch(self, job: Job) -> None:
        watching = sum(not task.done() for _, task in self.watchers)
        if watching < _MOST_WATCHERS and job.most_runs == 1 and self._chance.random() < 0.3:
            seen = Watched(job)
            self.watchers.append((seen, asyncio.create_task(self._watch(seen))))

    async def _watch(self, seen: Watched) -> None:
        """To the end of the job, by one host after the other."""
        position, number = None, self._chance.randrange(len(self._hosts))
        while True:
            number += 1
            host = self._hosts[number % len(self._hosts)]
            try:
                async for event in host.follow(seen.job.job_id, position):
                    seen.text, position = seen.text + event.text, event.position or position
                    seen.events.append(f"{number % len(self._hosts) + 1} {event.name} {event.position}")
            except ClientError as error:
                if error.status < 500:
                    raise
                await asyncio.sleep(0.5)
            except (TransportError, TimeoutError):
                await asyncio.sleep(0.2)
            else:
                return

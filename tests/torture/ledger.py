"""What the clients of a tortured host know: what was accepted, deleted, cancelled, and how it ended.

Each submission has a token, which is its job's name and what its command appends to a file outside the data
folder; so the truth about what ran needs nothing of the host's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from pathlib import Path


class Fate(StrEnum):
    """What the answer to a submission was."""

    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Deletion(StrEnum):
    """What is known of the deletion of a result."""

    NONE = "none"
    ASKED = "asked"
    DONE = "done"


@dataclass
class Job:
    """One submission; `most_runs` is how often its command may run."""

    token: str
    user: str
    kind: str
    most_runs: int = 1
    job_id: str = ""
    fate: Fate = Fate.UNKNOWN
    deletion: Deletion = Deletion.NONE
    is_excused: bool = False
    """Its files were damaged from outside: it may be lost, but not run twice."""
    seen: str = ""
    """How it ended, as a client was told."""


@dataclass
class Ledger:
    """All submissions of one scenario; `ran` is the file that commands append their tokens to."""

    ran: Path
    jobs: dict[str, Job] = field(default_factory=dict)
    schedules: dict[str, str] = field(default_factory=dict)
    """The ids of schedules that were accepted, and their tokens."""
    excused_ids: set[str] = field(default_factory=set)
    """Of jobs, those of schedules too, whose files were damaged from outside."""
    excused_kinds: set[str] = field(default_factory=set)
    """Whose jobs are excused, also those to come."""
    _numbers: Iterator[int] = field(default_factory=count)

    def new(self, user: str, kind: str, most_runs: int) -> Job:
        token = f"tok{next(self._numbers):04d}"
        self.jobs[token] = Job(token, user, kind, most_runs, is_excused=kind in self.excused_kinds)
        return self.jobs[token]

    def forget(self, job: Job) -> None:
        """It was never sent."""
        del self.jobs[job.token]

    def by_id(self, job_id: str) -> Job | None:
        return next((job for job in self.jobs.values() if job.job_id == job_id), None)

    @property
    def accepted(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.fate is Fate.ACCEPTED]

    def excuse_kind(self, kind: str) -> None:
        """Whatever becomes of such jobs was done from outside."""
        self.excused_kinds.add(kind)
        for job in self.jobs.values():
            job.is_excused = job.is_excused or job.kind == kind

    def runs(self) -> Counter[str]:
        """How often each token (of a schedule: with the job's id) was noted by a command."""
        return Counter(self.ran.read_text().split() if self.ran.exists() else [])

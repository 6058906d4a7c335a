"""Where everything lies below the data folder, and how its files are named. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ....model.job import Submission
from .names import safe_component, submission_stem

_ATTEMPT = ".attempt"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a job, by which its files are named."""

    stem: str
    attempt: int

    @classmethod
    def of(cls, submission: Submission) -> Self:
        stem = submission_stem(submission.session_id, submission.job_name, submission.job_id)
        return cls(stem, submission.attempt)

    @classmethod
    def from_name(cls, name: str) -> Self:
        stem, _, attempt = name.rpartition(_ATTEMPT)
        # Not `isdigit`: that takes digits which `int` does not.
        return cls(stem, int(attempt)) if stem and attempt.isdecimal() else cls(name, 1)

    @property
    def name(self) -> str:
        return self.stem if self.attempt == 1 else f"{self.stem}{_ATTEMPT}{self.attempt}"

    @property
    def job_id(self) -> str:
        return self.stem.rpartition("_")[2]

    def number(self, attempt: int) -> Attempt:
        return Attempt(self.stem, attempt)


class Layout:
    """The paths below `base`. ``JobSubmission``, ``JobOutput`` and ``JobResults`` are the specification's."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.submissions = base / "JobSubmission"
        self.output = base / "JobOutput"
        self.results = base / "JobResults"
        self.running = base / "Running"
        self.work = base / "Work"
        self.keys = base / "Running" / ".keys"
        self.signing_key = base / "Secrets" / "submission.key"
        self.index = base / "results.index.sqlite3"
        self.paused = base / "queue.paused"
        self.deleted_ids = self.output / ".deleted"
        self.deleted_ids_copy = base / "Secrets" / "deleted-jobs"
        self._submissions = str(self.submissions)
        self._output = str(self.output)
        self._results = str(self.results)

    # As text, for what is done several times for each job.

    def waiting_folder(self, user_folder: str) -> str:
        return f"{self._submissions}/{user_folder}"

    def waiting_file(self, user_folder: str, stem: str) -> str:
        return f"{self._submissions}/{user_folder}/{stem}.json"

    def claimed_file(self, run: Attempt) -> str:
        return f"{self._output}/{run.name}.json"

    def result_file(self, job_id: str) -> str:
        return f"{self._results}/{job_id}.json"

    # As paths.

    def submission(self, user_id: str, stem: str) -> Path:
        return Path(self.waiting_file(safe_component(user_id), stem))

    def claimed(self, run: Attempt) -> Path:
        """The submission after it was picked up."""
        return Path(self.claimed_file(run))

    def attempt_result(self, run: Attempt) -> Path:
        """The result of an attempt that was followed by another."""
        return self.output / f"{run.name}.result.json"

    def log(self, run: Attempt) -> Path:
        """The folder with the whole output, when the result does not have all of it."""
        return self.output / f"{run.name}.log"

    def result(self, job_id: str) -> Path:
        return Path(self.result_file(job_id))

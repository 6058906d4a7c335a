"""Where everything lies below the data folder, how its files are named, and what their time stamps reveal.
Does no I/O.

Any text becomes one path component that cannot leave its folder or collide; plain names stay as they are, so
that people and other programs can read the folders.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import unquote

from ....model.job import Submission

_PLAIN = re.compile(rb"[A-Za-z0-9@+=,._-]")
_ALL_PLAIN = re.compile(r"[A-Za-z0-9@+=,_-](?:[A-Za-z0-9@+=,._-]*[A-Za-z0-9@+=,_-])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
_DIGEST_LENGTH = 32
_COARSENESS_NS = 100_000_000


def safe_component(text: str, max_bytes: int = 120) -> str:
    """`text` as one file-name component of at most `max_bytes` bytes (at least 40).

    Bytes outside ``A-Z a-z 0-9 @ + = , . _ -`` are percent-encoded, and so are a leading or trailing
    dot and the first letter of a name that Windows reserves. What is too long is cut and ended with
    ``~`` and a digest of the whole; ``~`` and ``%`` themselves are always encoded, so that two
    different texts never share a name.
    """
    if len(text) <= max_bytes:
        return _short_component(text, max_bytes)
    return _component(text, max_bytes)


@lru_cache(maxsize=4096)
def _short_component(text: str, max_bytes: int) -> str:
    """The same for what is short enough to be remembered: most names come again with each job."""
    return _component(text, max_bytes)


def _component(text: str, max_bytes: int) -> str:
    if len(text) <= max_bytes and _ALL_PLAIN.fullmatch(text) and not _RESERVED.match(text):
        return text
    raw = text.encode("utf-8", "surrogatepass")
    encoded = "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"%{byte:02X}" for byte in raw)
    if not encoded:
        return "%"
    if encoded.startswith(".") or _RESERVED.match(encoded):
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if encoded.endswith("."):
        encoded = encoded[:-1] + "%2E"
    if len(encoded) <= max_bytes:
        return encoded
    digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_LENGTH]
    return encoded[: max_bytes - _DIGEST_LENGTH - 1] + "~" + digest


def original_text(component: str) -> str:
    """The text behind a name made by `safe_component`; a name that was cut is returned as it is."""
    if component == "%":
        return ""
    return component if "~" in component else unquote(component, errors="replace")


def submission_stem(session_id: str, job_name: str, job_id: str) -> str:
    """``[SessionID]_[JobName]_[JobID]``, at most 197 bytes (specification, "File Format")."""
    return f"{safe_component(session_id, 64)}_{safe_component(job_name, 95)}_{job_id}"


_ATTEMPT = ".attempt"


class Attempt(NamedTuple):
    """One attempt of a job, after which its files are named."""

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
        """The path of a claimed submission."""
        return Path(self.claimed_file(run))

    def attempt_result(self, run: Attempt) -> Path:
        """The path of the result of an attempt that was followed by another."""
        return self.output / f"{run.name}.result.json"

    def log(self, run: Attempt) -> Path:
        """The folder with the whole output, if the result contains only part of it."""
        return self.output / f"{run.name}.log"

    def result(self, job_id: str) -> Path:
        return Path(self.result_file(job_id))


def is_settled(changed: int, now: int) -> bool:
    """Whether any change after `now` is sure to get another time stamp than `changed`, which was read after
    `now`.

    Both are nanoseconds since 1970. Time stamps are coarse: of two changes within a tick, one is invisible.
    """
    return now - changed > _COARSENESS_NS

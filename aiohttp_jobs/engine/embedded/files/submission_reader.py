"""Reads submission files, which anybody may have written: trusts nothing, and never raises for bad content.

Those that this process has accepted itself are remembered, and not parsed again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import ValidationError

from ....model.field_faults import what_is_wrong
from ....model.job import ExecutionMode, Submission, new_job_id, utc_now
from ....system.guarded_files import PathState, UnreadableFileError, read_file
from ....system.signing import FIELD as SIGNATURE
from ....system.signing import Signer
from .layout import original_text, safe_component

UNSIGNED = (
    "This submission file is not signed, and unsigned files are not run here. Submit the job over "
    "HTTP, or let an administrator allow unsigned submissions."
)
EXPIRED = (
    "This submission file was signed long ago and has not waited here since. Whether it ran then is not "
    "known any more, so it does not run. Submit the job again."
)
TAMPERED = "The submission file was changed after it was signed; it does not run."
_MOST_SUBMISSIONS = 4096
_MOST_FILES = 100_000
_LARGEST_REMEMBERED = 16 * 1024


def picked_up_before(job_id: str) -> str:
    """The reason for refusing a file that copies another job or continues it."""
    return f"The job {job_id} was picked up before; it does not run a second time."


class ReadSubmission(NamedTuple):
    """The content of a file. With a `problem`, `submission` has only what is needed to record the refusal."""

    submission: Submission
    problem: str | None

    @property
    def is_signed(self) -> bool:
        return SIGNATURE in (self.submission.model_extra or {})


class _NotOneError(Exception):
    """A file that no submission can be read from; the message is a sentence that says why."""


def is_visible(name: str) -> bool:
    """Whether a folder entry is a submission; temporary and hidden files are not."""
    return not name.startswith(".") and not name.endswith((".tmp", "~"))


class SubmissionReader:
    """Reads and validates submission files of at most `max_bytes` bytes.

    Without `allow_unsigned`, a file that `signer` did not sign is a problem; with it, only a wrong signature
    is.
    """

    def __init__(self, max_bytes: int, signer: Signer, *, allow_unsigned: bool) -> None:
        self._max_bytes = max_bytes
        self._signer = signer
        self._allow_unsigned = allow_unsigned

    def read(self, path: Path, user_folder: str) -> ReadSubmission:
        """Read the submission in `path`, which is, or was, in ``JobSubmission/<user_folder>/``.

        Raises ``FileNotFoundError`` when the file is gone, and ``OSError`` when it cannot be read now for
        another reason (such as no more descriptors). The owner of a bad file is whoever the folder belongs
        to, whatever the file says.
        """
        record: dict[str, Any] = {}
        try:
            record = self._record(path)
            submission = Submission.model_validate(record)
            problem = self._fault(record, submission, user_folder)
        except _NotOneError as error:
            problem = str(error)
        except ValidationError as error:
            problem = "The submission file is not valid: " + _first_fault(error)
        if problem is None:
            return ReadSubmission(submission, None)
        return ReadSubmission(placeholder(path, user_folder, record), problem)

    def signed_owner(self, path: Path) -> str:
        """The folder in ``JobSubmission`` of the owner that a signed file names; none for other files.

        Raises what `read` raises.
        """
        try:
            record = self._record(path)
        except _NotOneError:
            return safe_component("")
        owner = record.get("UserID")
        return safe_component(owner if isinstance(owner, str) and self._signer.is_valid(record) else "")

    def read_claimed(self, path: Path, user_folder: str) -> ReadSubmission:
        """Like `read`, for a claimed file; if it is gone, that is a problem instead of an error."""
        try:
            return self.read(path, user_folder)
        except FileNotFoundError:
            return ReadSubmission(
                placeholder(path, user_folder, {}),
                "The submission file was removed while it was picked up.",
            )
        except OSError as error:
            problem = f"The submission file cannot be read: {error.strerror}."
            return ReadSubmission(placeholder(path, user_folder, {}), problem)

    def _record(self, path: Path) -> dict[str, Any]:
        try:
            return _parse(read_file(path, self._max_bytes))
        except UnreadableFileError as error:
            raise _NotOneError(f"The submission file {error.reason}.") from None

    def _fault(self, record: dict[str, Any], submission: Submission, user_folder: str) -> str | None:
        if safe_component(submission.user_id) != user_folder:
            return "The UserID in the submission file is not that of the folder it lay in."
        if SIGNATURE not in record:
            return None if self._allow_unsigned else UNSIGNED
        return None if self._signer.is_valid(record) else TAMPERED


def _parse(data: bytes) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise _NotOneError("The submission file is not valid JSON.") from None
    if not isinstance(record, dict):
        raise _NotOneError("The submission file does not hold a JSON object.")
    return record


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else "record"
    return f"{field} {what_is_wrong(first)}"


def placeholder(path: Path, user_folder: str, record: dict[str, Any]) -> Submission:
    """A submission with a new job id, to record that `path` could not be run."""

    def text(field: str, limit: int, default: str = "") -> str:
        value = record.get(field, default)
        return _storable(value if isinstance(value, str) else default)[:limit]

    return Submission.model_construct(
        job_id=new_job_id(),
        user_id=_storable(original_text(user_folder)),
        session_id=text("SessionID", 200),
        job_name=text("JobName", 200, path.stem) or _storable(path.stem),
        command=text("Command", 2000),
        description=text("Description", 2000),
        execution_mode=cast("ExecutionMode", text("ExecutionMode", 40)),
        submitted_at=utc_now(),
    )


def _storable(text: str) -> str:
    """`text` without lone surrogates, such as those in file names that are not UTF-8."""
    return text.encode("utf-8", "replace").decode()


class AcceptedFile(NamedTuple):
    """A submission file that this process wrote, with the submission if that is still cached.

    `comings` is `Instance.comings` of when it was written.
    """

    submission: Submission | None
    state: PathState | None
    comings: int

    def submission_in(self, path: str) -> Submission | None:
        """The cached submission, if `path` is still the file that was written. Blocks."""
        if self.submission is None or self.state is None:
            return None
        return self.submission if PathState.of(path) == self.state else None


class Accepted:
    """The submissions that this process has accepted, by path, and bounded.

    Of those beyond the first thousands it is only known that they were, and their files are parsed again.
    """

    def __init__(self) -> None:
        self._files: dict[str, AcceptedFile] = {}
        self._submissions = 0

    def add(self, path: str, size: int, submission: Submission, comings: int) -> None:
        """Remember `submission`, which was just written to the file `path` with `size` bytes. Blocks."""
        self.take(path)
        if len(self._files) >= _MOST_FILES or size > _LARGEST_REMEMBERED:
            return
        is_kept = self._submissions < _MOST_SUBMISSIONS
        self._submissions += is_kept
        state = PathState.of(path) if is_kept else None
        self._files[path] = AcceptedFile(submission if is_kept else None, state, comings)

    def take(self, path: str) -> AcceptedFile | None:
        found = self._files.pop(path, None)
        if found is not None and found.submission is not None:
            self._submissions -= 1
        return found

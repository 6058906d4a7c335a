"""Reading submission files, which anybody may have written: never trusts, never raises for bad content."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import ValidationError

from ..models import ExecutionMode, Submission, new_job_id, utc_now
from .names import original_text, safe_component
from .signing import FIELD as SIGNATURE
from .signing import Signer

UNSIGNED = (
    "This submission file is not signed, and unsigned files are not run here. Submit the job over "
    "HTTP, or let an administrator allow unsigned submissions."
)
EXPIRED = (
    "This submission file was signed long ago and has not waited here since. Whether it ran then is not "
    "known any more, so it does not run. Submit the job again."
)
TAMPERED = "The submission file was changed after it was signed; it does not run."


class ReadSubmission(NamedTuple):
    """What a file says. With a `problem`, `submission` holds only what is needed to record it."""

    submission: Submission
    problem: str | None

    @property
    def is_signed(self) -> bool:
        return SIGNATURE in (self.submission.model_extra or {})


class UnreadableFileError(Exception):
    """The file is not one that a submission can be read from; the message says why."""


def is_visible(name: str) -> bool:
    """Whether a folder entry is meant as a submission: temporary and hidden files are not."""
    return not name.startswith(".") and not name.endswith((".tmp", "~"))


class SubmissionReader:
    """Reads and checks submission files of at most `max_bytes` bytes.

    Without `allow_unsigned`, a file that `signer` did not sign is a problem; with it, only a wrong
    signature is.
    """

    def __init__(self, max_bytes: int, signer: Signer, *, allow_unsigned: bool) -> None:
        self._max_bytes = max_bytes
        self._signer = signer
        self._allow_unsigned = allow_unsigned

    def read(self, path: Path, user_folder: str) -> ReadSubmission:
        """The submission in `path`, which lies, or lay, in ``JobSubmission/<user_folder>/``.

        Raises ``FileNotFoundError`` when the file is gone. The owner of a bad file is whoever the
        folder belongs to, whatever the file says.
        """
        record: dict[str, Any] = {}
        try:
            record = _parse(read_regular(path, self._max_bytes))
            submission = Submission.model_validate(record)
            problem = self._fault(record, submission, user_folder)
        except UnreadableFileError as error:
            problem = str(error)
        except ValidationError as error:
            problem = "The submission file is not valid: " + _first_fault(error)
        if problem is None:
            return ReadSubmission(submission, None)
        return ReadSubmission(placeholder(path, user_folder, record), problem)

    def signed_owner(self, path: Path) -> str:
        """The folder in ``JobSubmission`` of whoever a signed file names; nobody's for other files.

        Raises ``FileNotFoundError`` when the file is gone.
        """
        try:
            record = _parse(read_regular(path, self._max_bytes))
        except UnreadableFileError:
            return safe_component("")
        owner = record.get("UserID")
        return safe_component(owner if isinstance(owner, str) and self._signer.is_valid(record) else "")

    def read_claimed(self, path: Path, user_folder: str) -> ReadSubmission:
        """Like `read`, for a file that was picked up; one that has gone since is a problem too."""
        try:
            return self.read(path, user_folder)
        except FileNotFoundError:
            return ReadSubmission(
                placeholder(path, user_folder, {}),
                "The submission file was removed while it was picked up.",
            )

    def _fault(self, record: dict[str, Any], submission: Submission, user_folder: str) -> str | None:
        if safe_component(submission.user_id) != user_folder:
            return "The UserID in the submission file is not that of the folder it lay in."
        if SIGNATURE not in record:
            return None if self._allow_unsigned else UNSIGNED
        return None if self._signer.is_valid(record) else TAMPERED


def read_regular(path: str | Path, max_bytes: int) -> bytes:
    """What a file of at most `max_bytes` bytes holds. Raises ``FileNotFoundError``, `UnreadableFileError`."""
    try:
        # Not following links and not waiting for a writer: the path may be a trap (a link to a
        # secret, a named pipe that would hold this thread for ever).
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableFileError(f"The submission file cannot be read: {error.strerror}.") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableFileError("The submission is not a regular file.")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise UnreadableFileError(f"The submission file is larger than {max_bytes} bytes.")
    return data


def _parse(data: bytes) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise UnreadableFileError("The submission file is not valid JSON.") from None
    if not isinstance(record, dict):
        raise UnreadableFileError("The submission file does not hold a JSON object.")
    return record


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else "record"
    return f"{field}: {first['msg']}"


def placeholder(path: Path, user_folder: str, record: dict[str, Any]) -> Submission:
    """Enough of a submission to record that `path` could not be run, under a new job id."""

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

"""Every error that a caller can get, with its HTTP status and stable code.

The message is a sentence for a person. ``http.envelope`` turns errors into responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True)
class ReachedLimit:
    """A limit that was reached: the setting's name in camelCase, its value, and how much is used."""

    name: str
    value: int
    used: int


MOST_DETAILS = 20
"""How many faults an error names."""
_LONGEST_MESSAGE = 4000
_LONGEST_DETAIL = 500


def field_error(field: str, message: str) -> dict[str, Any]:
    """One entry of an error's ``details``: the field's name and what is wrong with it."""
    return {"field": field, "message": message}


class JobsError(Exception):
    """The request could not be carried out."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    limit: ReachedLimit | None = None
    """Which limit was reached, for errors that are about one."""
    retry_after: int | None = None
    """After how many seconds another try is worth it; ``None`` when waiting alone does not help."""

    def __init__(
        self,
        message: str | None = None,
        *,
        details: list[dict[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        """`headers` are added to the response."""
        super().__init__(_cut(message or (self.__doc__ or "").strip(), _LONGEST_MESSAGE))
        self.details = details and [_cut_detail(each) for each in details[:MOST_DETAILS]]
        self.headers = dict(headers or {})

    @property
    def message(self) -> str:
        return str(self)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _cut_detail(detail: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _cut(value, _LONGEST_DETAIL) if isinstance(value, str) else value
        for name, value in detail.items()
    }


class ConfigurationError(JobsError):
    """The plugin is not configured correctly."""

    status = 500
    code = "configuration"


class MalformedJSONError(JobsError):
    """The request body is not valid JSON. Send one JSON object, encoded as UTF-8."""

    status = 400
    code = "malformed_json"


class AuthenticationError(JobsError):
    """Sign in, or send a valid API key as 'Authorization: Bearer <key>'."""

    status = 401
    code = "not_authenticated"


class ForbiddenError(JobsError):
    """Your roles do not allow this."""

    status = 403
    code = "forbidden"


class CrossOriginError(JobsError):
    """This request came from another site and was refused. Send it from the application's own pages."""

    status = 403
    code = "cross_origin"


class NotFoundError(JobsError):
    """There is nothing here. Check the address."""

    status = 404
    code = "not_found"


class ConflictError(JobsError):
    """The job is not in a state that allows this."""

    status = 409
    code = "conflict"


class TooLargeError(JobsError):
    """The request is too large."""

    status = 413
    code = "too_large"


class NotJSONError(JobsError):
    """Send the request body as JSON, with 'Content-Type: application/json'."""

    status = 415
    code = "not_json"


class RangeError(JobsError):
    """There is no such range of bytes."""

    status = 416
    code = "range_not_satisfiable"


class InvalidFieldsError(JobsError):
    """Some fields are missing or not valid; 'details' names them, the first 20."""

    status = 422
    code = "invalid_fields"

    @classmethod
    def of(cls, faults: Sequence[dict[str, Any]]) -> Self:
        """The error for `faults`, entries made by `field_error`, as one sentence.

        Each message goes on where its field's name ends, as in "must not be empty". At most the first 20
        faults are included.
        """
        text = "; ".join(f"{fault['field']} {fault['message']}" for fault in faults[:MOST_DETAILS])
        more = f"; and {len(faults) - MOST_DETAILS} more" if len(faults) > MOST_DETAILS else ""
        return cls(f"{text}{more}.", details=list(faults))

    @classmethod
    def of_one(cls, field: str, message: str) -> Self:
        """The error for a single field."""
        return cls.of([field_error(field, message)])


class LimitReachedError(JobsError):
    """You use as much of the server as one user, or all together, may. `limit` says what the limit is."""

    status = 429
    code = "limit_reached"
    _wait: ClassVar[int | None] = 5

    def __init__(
        self, setting: str, *, most: int, used: int, what: str, advice: str, of_all: bool = False
    ) -> None:
        """`setting` is the field of `JobsConfig`; `what` is what it counts, as in "schedules"; `advice` is a
        sentence that says what to do. With `of_all`, the limit applies to all users together.
        """
        subject = "There are" if of_all else "You have"
        super().__init__(f"{subject} {used} {what}, and no more than {most} are allowed. {advice}")
        first, *rest = setting.split("_")
        self.limit = ReachedLimit("".join([first, *map(str.capitalize, rest)]), most, used)
        self.retry_after = self._wait


class TooManyKeptError(LimitReachedError, ConflictError):
    """As much is kept already as one user, or all together, may keep. Delete something first."""

    status = 409
    code = "conflict"
    _wait = None


class TooMuchKeptError(TooManyKeptError):
    """Your results and outputs take as much room as one user's may. Delete some, then submit again."""

    code = "too_much_kept"


class TooManyPendingError(LimitReachedError):
    """Too many of your jobs are waiting to run. Wait until some have started, then submit again."""

    status = 429
    code = "too_many_pending"


class TooManyAttemptsError(JobsError):
    """This API key does not hold, and too many such were tried. Stop for a minute, then send a valid one."""

    status = 429
    code = "too_many_attempts"
    retry_after = 60


class RightsUnavailableError(JobsError):
    """What you may do cannot be checked at the moment. Try again in a few seconds."""

    status = 503
    code = "rights_unavailable"
    retry_after = 5


class RolesUnavailableError(RightsUnavailableError):
    """Your roles cannot be checked at the moment. Try again in a few seconds."""

    code = "roles_unavailable"


class BusyError(JobsError):
    """Another process is changing the same records and has not come to an end. Try again in a few seconds."""

    status = 503
    code = "busy"
    retry_after = 5


class JobFailedError(Exception):
    """A job that was awaited has not succeeded.

    The message says why; `result` is its whole result, `job_status` the specification's word for how it
    ended.
    """

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self.job_id = str(result.get("JobID"))
        self.job_status = str(result.get("Status"))
        lines = [line for line in str(result.get("Output", "")).splitlines() if line.strip()]
        said = f": {lines[-1].removeprefix('[ERROR] ')}" if lines else "."
        super().__init__(f"The job {self.job_id} ended {self.job_status}{said}")


class ShuttingDownError(JobsError):
    """The server is shutting down and takes no new jobs. Try again in a moment."""

    status = 503
    code = "shutting_down"


class StorageUnavailableError(JobsError):
    """The server's disk cannot be used at the moment. Try again later."""

    status = 503
    code = "storage_unavailable"
    retry_after: int | None = 30


class MayStillRunError(StorageUnavailableError):
    """The server's disk failed while it took a job, and did not let it be removed: it may still run."""

    code = "may_still_run"
    retry_after = None

    @classmethod
    def of(cls, job_id: str) -> Self:
        """About this job."""
        return cls(
            "The server's disk failed while it took this job, and then did not let it be removed. This host "
            "does not run it, and goes on trying to remove it. Should the host be restarted before, or share "
            f"its folder with others, the job may run once: look for {job_id} before you submit it again."
        )


class PartlyDeletedError(StorageUnavailableError):
    """The server's disk failed during the deletion: some of it may be gone. Repeat it for the rest."""

    code = "partly_deleted"


class OutputBusyError(StorageUnavailableError):
    """Too many outputs are being read from other machines at the moment. Try again in some seconds."""

    code = "busy"
    retry_after = 5


class InsufficientStorageError(JobsError):
    """The server's disk is full. Nothing was changed; try again when there is room."""

    status = 507
    code = "insufficient_storage"
    retry_after = 30

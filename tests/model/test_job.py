"""Records made of what is known to be right are those that validation would make."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from aiohttp_jobs.model.job import (
    ExecutionMode,
    JobResult,
    JobStatus,
    Submission,
    format_utc,
    new_job_id,
    utc_now,
)

SUBMISSION: dict[str, Any] = {
    "job_id": new_job_id(),
    "user_id": "alice",
    "job_name": "nightly",
    "command": "true",
    "execution_mode": ExecutionMode.RUNSPACE,
    "roles": ("debug",),
    "submitted_at": utc_now(),
}
RESULT: dict[str, Any] = {
    "job_id": new_job_id(),
    "user_id": "alice",
    "session_id": "s",
    "job_name": "nightly",
    "command": "true",
    "description": "",
    "execution_mode": ExecutionMode.RUNSPACE,
    "date_started": utc_now(),
    "date_completed": utc_now(),
    "runtime": 0.5,
    "output": "",
    "success": True,
    "status": JobStatus.SUCCEEDED,
}


@pytest.mark.parametrize(("model", "values"), [(Submission, SUBMISSION), (JobResult, RESULT)])
def test_what_is_not_validated_is_the_same_record(
    model: type[Submission] | type[JobResult], values: dict[str, Any]
) -> None:
    made, validated = model.model_construct(**values), model(**values)
    assert made == validated
    assert list(made.to_record().items()) == list(validated.to_record().items()), "in the same order, too"
    assert model.model_validate(made.to_record()) == made
    assert made.model_copy(update={"attempt": 2}).to_record()["Attempt"] == 2
    with pytest.raises(ValidationError):
        made.job_id = "another"


def test_each_new_job_has_a_random_id_of_its_own() -> None:
    ids = [new_job_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(uuid.UUID(each).version == 4 and str(uuid.UUID(each)) == each for each in ids)


class _Frozen(datetime):
    """As libraries have it that set the clock for tests."""


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 2, 3, 4, 5, 60, UTC),
        datetime(2026, 1, 2, 4, 4, 5, 60, timezone(timedelta(hours=1))),
        _Frozen(2026, 1, 2, 3, 4, 5, 60, UTC),
    ],
)
def test_a_time_is_written_in_utc_to_the_microsecond(moment: datetime) -> None:
    assert format_utc(moment) == "2026-01-02T03:04:05.000060Z"
    assert format_utc(moment.replace(microsecond=0)) == "2026-01-02T03:04:05.000000Z"


def test_times_as_text_are_in_the_order_of_time() -> None:
    begin = datetime(2026, 1, 2, 3, 4, 5, 999_998, UTC)
    moments = [begin + timedelta(microseconds=number) for number in range(5)]
    assert sorted(map(format_utc, moments)) == [format_utc(moment) for moment in moments]

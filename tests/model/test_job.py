"""Records made of what is known to be right are those that validation would make."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from pydantic import ValidationError

from aiohttp_jobs.model.job import ExecutionMode, JobResult, JobStatus, Submission, new_job_id, utc_now

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

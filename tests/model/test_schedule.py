"""What a schedule hands over when it fires: the job to submit, and whose rights it has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aiohttp_jobs import Identity, JobsConfig, Proof
from aiohttp_jobs.access.current_roles import CurrentRoles, RightsCheck
from aiohttp_jobs.access.policy import AccessPolicy
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.errors import ForbiddenError
from aiohttp_jobs.model.job import SubmitRequest
from aiohttp_jobs.model.schedule import ScheduleRequest

from ..scheduling.support import JOB, make_schedule


def test_the_job_is_submitted_as_it_was_given() -> None:
    job = {**JOB, "timeoutSeconds": 5.0, "priority": 3, "retry": {"count": 2}}
    assert make_schedule(job=job).submission() == SubmitRequest.model_validate(job)


@pytest.mark.parametrize("policy", ["queue", "replace"])
def test_jobs_that_must_not_overlap_share_a_key_of_their_own_or_the_given_one(policy: str) -> None:
    schedule = make_schedule(overlap_policy=policy)
    assert schedule.submission().concurrency_key == f"schedule:{schedule.schedule_id}"
    with_key = make_schedule(overlap_policy=policy, job={**JOB, "concurrencyKey": "db"})
    assert with_key.submission().concurrency_key == "db"


def test_the_owner_is_who_made_it_with_the_roles_of_now() -> None:
    by_key = make_schedule(submitted_with="api_key:k1", session_id="key-k1", roles=("debug",))
    assert by_key.owner(["task_manager"]) == Identity(
        "alice", "key-k1", frozenset({"task_manager"}), Proof.API_KEY, "k1"
    )
    assert by_key.owner([]).submitted_with == "api_key:k1"
    assert make_schedule(submitted_with="session").owner([]).submitted_with == "session"


async def test_the_roles_are_those_of_the_key_while_it_is_enabled(
    make_config: Callable[..., JobsConfig],
) -> None:
    config = make_config()
    keys = ApiKeys.in_data_dir(config.data_dir)
    key, _ = keys.create(name="ci", user_id="alice", roles=["task_manager"])
    schedule = make_schedule(submitted_with=f"api_key:{key.key_id}", roles=("debug",))
    rights = RightsCheck(AccessPolicy(config), keys, CurrentRoles(config))
    assert set(await rights.roles(schedule)) == {"task_manager"}
    keys.set_enabled(key.key_id, False)
    with pytest.raises(ForbiddenError, match="API key"):
        await rights.roles(schedule)


async def test_else_those_that_the_host_tells_else_those_it_was_made_with(
    make_config: Callable[..., JobsConfig],
) -> None:
    async def resolve(user_id: str) -> list[str] | None:
        return {"alice": ["site_admin"]}.get(user_id)

    told_config, untold_config = make_config(roles_resolver=resolve), make_config()
    keys = ApiKeys.in_data_dir(untold_config.data_dir)
    told = RightsCheck(AccessPolicy(told_config), keys, CurrentRoles(told_config))
    untold = RightsCheck(AccessPolicy(untold_config), keys, CurrentRoles(untold_config))
    assert set(await told.roles(make_schedule(roles=("debug",)))) == {"site_admin"}
    assert set(await untold.roles(make_schedule(roles=("debug",)))) == {"debug"}
    with pytest.raises(ForbiddenError, match="no longer exists"):
        await told.roles(make_schedule(user_id="mallory"))


def test_a_request_could_be_made_again_from_the_schedule() -> None:
    schedule = make_schedule(overlap_policy="queue", jitter_seconds=5.0)
    request = ScheduleRequest.model_validate(schedule.request())
    assert (request.overlap_policy, request.jitter_seconds, request.job) == ("queue", 5.0, schedule.job)

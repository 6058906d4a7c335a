"""Who may do what with whose jobs, asked of the services themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.base import WorkerState
from aiohttp_jobs.errors import ConflictError, ForbiddenError, NotFoundError, ShuttingDownError
from aiohttp_jobs.model.identity import Identity
from aiohttp_jobs.model.job import SubmitRequest, new_job_id, utc_now
from aiohttp_jobs.services.streams.job import CURRENT

from .fakes import JobsInMemory, Services, identity

ALICE, BOB, ADMIN = identity("alice"), identity("bob", "debug"), identity("root", "site_admin")
MakeJob = Callable[[JobsInMemory, str], str]
STATES: tuple[MakeJob, ...] = (JobsInMemory.running, JobsInMemory.queued, JobsInMemory.ended)
Look = Callable[[Services, Identity, str], Awaitable[Any]]
LOOKS: dict[str, Look] = {
    "its description": lambda services, who, job_id: services.jobs.get_job(who, job_id),
    "its output": lambda services, who, job_id: services.jobs.output(who, job_id),
    "its attempts": lambda services, who, job_id: services.jobs.attempts(who, job_id),
    "what was submitted": lambda services, who, job_id: services.jobs.submission(who, job_id),
    "its stream": lambda services, who, job_id: services.jobs.follow(who, job_id, CURRENT),
}


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    services = Services(tmp_path)
    yield services
    await services.room.close()


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("make", STATES)
async def test_a_job_is_seen_by_its_owner_and_by_who_may_see_all(
    services: Services, make: MakeJob, look: Look
) -> None:
    job_id = make(services.engine, "alice")
    await look(services, ALICE, job_id)
    await look(services, ADMIN, job_id)
    with pytest.raises(ForbiddenError):
        await look(services, BOB, job_id)
    with pytest.raises(NotFoundError):
        await look(services, ALICE, new_job_id())


@pytest.mark.parametrize("make", [JobsInMemory.running, JobsInMemory.queued])
async def test_a_job_is_cancelled_by_its_owner_and_by_who_may_cancel_all(
    services: Services, make: MakeJob
) -> None:
    job_id = make(services.engine, "alice")
    with pytest.raises(ForbiddenError):
        await services.jobs.cancel(BOB, job_id)
    assert services.engine.cancelled == []
    for who in (ALICE, ADMIN):
        await services.jobs.cancel(who, job_id)
    assert services.engine.cancelled == [job_id] * 2


async def test_what_has_ended_is_not_cancelled(services: Services) -> None:
    with pytest.raises(ConflictError):
        await services.jobs.cancel(ALICE, services.engine.ended("alice"))


async def test_a_result_is_deleted_by_its_owner_and_nobody_else(services: Services) -> None:
    job_id = services.engine.ended("alice")
    for who in (BOB, ADMIN):
        with pytest.raises(ForbiddenError):
            await services.results.delete_one(who, job_id)
    with pytest.raises(ConflictError):
        await services.results.delete_one(ALICE, services.engine.running("alice"))
    assert job_id in services.engine.records
    await services.results.delete_one(ALICE, job_id)
    assert job_id not in services.engine.records


async def test_lists_have_ones_own_jobs_unless_all_are_asked_for_by_who_may(services: Services) -> None:
    states = ("running", "queued", "done")
    hers = {make(services.engine, "alice") for make in STATES}
    all_jobs = hers | {make(services.engine, "bob") for make in STATES}

    async def listed(who: Identity, *, everyone: bool) -> set[str]:
        views = await services.jobs.list_jobs(who, states, everyone=everyone, limit=100)
        return {view["JobID"] for view in views}

    assert await listed(ALICE, everyone=False) == hers
    assert await listed(ADMIN, everyone=True) == all_jobs
    with pytest.raises(ForbiddenError):
        await listed(BOB, everyone=True)
    with pytest.raises(ForbiddenError):
        services.jobs.watch_jobs(BOB, everyone=True)


async def test_the_queue_shows_others_jobs_to_who_may_see_all(services: Services) -> None:
    hers, his = services.engine.queued("alice"), services.engine.queued("bob")

    async def shown(who: Identity) -> list[str]:
        return [job["JobID"] for job in (await services.queue.view(who))["jobs"]]

    assert (await shown(ALICE), await shown(ADMIN)) == ([hers], [hers, his])


async def test_the_queue_is_paused_by_who_looks_after_it(services: Services) -> None:
    for who in (ALICE, BOB):
        with pytest.raises(ForbiddenError):
            await services.queue.set_paused(who, paused=True)
    assert not services.engine.is_paused
    await services.queue.set_paused(ADMIN, paused=True)
    assert services.engine.is_paused


async def test_whose_job_a_worker_runs_is_shown_to_its_owner_and_to_who_may_see_all(
    services: Services,
) -> None:
    services.engine.kept_workers = [WorkerState(1, "bob", "j1", 1, None, utc_now())]
    carol = identity("carol", "debug")
    seen = {
        who.user_id: [worker["UserID"] for worker in await services.queue.runspaces(who)]
        for who in (BOB, ADMIN, carol)
    }
    assert seen == {"bob": ["bob"], "root": ["bob"], "carol": [None]}
    with pytest.raises(ForbiddenError):
        await services.queue.runspaces(ALICE)


@pytest.mark.parametrize(
    ("who", "fields"),
    [
        (ALICE, {}),
        (identity("carol", "task_manager"), {"executionMode": "MainLoop"}),
        (identity("carol", "task_manager"), {"priority": 8}),
        (identity("carol", "task_manager"), {"concurrencyKey": "shared:deploy"}),
    ],
    ids=["without a role", "in MainLoop", "before others", "with a key that all share"],
)
async def test_what_may_not_be_submitted_is_not_accepted(
    services: Services, who: Identity, fields: dict[str, Any]
) -> None:
    with pytest.raises(ForbiddenError):
        await services.jobs.submit(who, request(**fields))
    assert not services.engine.states


async def test_a_submission_carries_who_asked_for_it_and_with_which_roles(services: Services) -> None:
    submission = await services.jobs.submit(BOB, request(executionMode="MainLoop", priority=9))
    assert (submission.user_id, submission.roles, submission.priority) == ("bob", ("debug",), 9)
    assert list(services.engine.states) == [submission.job_id]


async def test_nothing_is_accepted_by_a_process_that_is_about_to_close(services: Services) -> None:
    services.engine.is_closing = True
    with pytest.raises(ShuttingDownError):
        await services.jobs.submit(BOB, request())
    assert not services.engine.states


def request(**fields: Any) -> SubmitRequest:
    body = {"jobName": "test", "command": "true", "executionMode": "BackgroundJob", **fields}
    return SubmitRequest.model_validate(body)

"""``/api/v1/schedules`` as its users meet it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession, web

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.access.current_roles import CurrentRoles
from aiohttp_jobs.access.limits import LimitPolicy
from aiohttp_jobs.access.policy import AccessPolicy
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.engine.embedded.fired_moments import FiredMomentFiles
from aiohttp_jobs.engine.embedded.records import ScheduleStore
from aiohttp_jobs.engine.embedded.session_registry import SessionRegistry
from aiohttp_jobs.http.app_keys import CONFIG
from aiohttp_jobs.http.auth.middleware import identity_middleware
from aiohttp_jobs.http.auth.sessions import Sessions
from aiohttp_jobs.http.auth.wrong_keys import WrongKeys
from aiohttp_jobs.http.envelope import error_middleware
from aiohttp_jobs.http.schedules import SCHEDULES, routes
from aiohttp_jobs.services.schedules import ScheduleService
from aiohttp_jobs.worker.interpreters import find_interpreters
from tests.conftest import Caller

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
JOB = {"jobName": "report", "command": "echo hello", "executionMode": "BackgroundJob"}
BODY: dict[str, Any] = {"name": "nightly", "cron": "30 2 * * *", "job": JOB}
EVERY = [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/next")]


class Site:
    """The schedules' routes on a real socket, and people who call them."""

    def __init__(self, config: JobsConfig) -> None:
        self.config = config
        self.keys = ApiKeys.in_data_dir(config.data_dir)
        self.store = ScheduleStore(config.base_dir)
        self.changes = 0
        self.now = NOW
        self.address = ""
        self.sessions: list[ClientSession] = []

    async def start(self) -> web.AppRunner:
        self.store.open()
        claims = FiredMomentFiles(self.config.base_dir)
        claims.open()
        config = self.config
        sessions = SessionRegistry(config.base_dir, config.session_max_age, config.max_sessions_per_user)
        identify = identity_middleware(
            config, self.keys, WrongKeys(config.max_wrong_keys), CurrentRoles(config), Sessions(sessions)
        )
        app = web.Application(middlewares=[error_middleware, identify])
        app[CONFIG] = self.config
        app[SCHEDULES] = ScheduleService(
            AccessPolicy(config),
            LimitPolicy(config, find_interpreters().keys()),
            self.store,
            claims,
            require_function=lambda identity, job: None,
            max_per_user=5,
            changed=self.note_change,
            clock=lambda: self.now,
        )
        app.add_routes(routes)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1"
        return runner

    def note_change(self) -> None:
        self.changes += 1

    def caller(self, *roles: str, user_id: str = "alice") -> Caller:
        _, secret = self.keys.create(name="test", user_id=user_id, roles=roles)
        session = ClientSession(headers={"Authorization": f"Bearer {secret}"})
        self.sessions.append(session)
        return Caller(self.address, session, user_id)

    def stranger(self) -> Caller:
        self.sessions.append(ClientSession())
        return Caller(self.address, self.sessions[-1])


@pytest.fixture
async def site(make_config: Callable[..., JobsConfig]) -> AsyncIterator[Site]:
    site = Site(make_config())
    runner = await site.start()
    yield site
    for session in site.sessions:
        await session.close()
    await runner.cleanup()


@pytest.fixture
async def alice(site: Site) -> Caller:
    return site.caller("task_manager")


async def create(caller: Caller, **fields: Any) -> dict[str, Any]:
    answer = await caller.request("POST", "/schedules", json={**BODY, **fields})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body["schedule"]
    return made


async def change(caller: Caller, schedule: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await caller.request("PATCH", f"/schedules/{schedule['ScheduleID']}", json=fields)
    assert answer.status == 200, answer.body
    changed: dict[str, Any] = answer.body["schedule"]
    return changed


# --- making


async def test_a_new_schedule_is_answered_whole(site: Site, alice: Caller) -> None:
    made = await create(alice, timezone="Europe/Berlin")
    assert made["Name"] == "nightly"
    assert made["UserID"] == "alice"
    assert made["Job"] == {"JobName": "report", "Command": "echo hello", "ExecutionMode": "BackgroundJob"}
    assert (made["Cron"], made["Timezone"], made["Enabled"]) == ("30 2 * * *", "Europe/Berlin", True)
    assert (made["OverlapPolicy"], made["MisfirePolicy"]) == ("skip", "skip")
    assert (made["MisfireGraceSeconds"], made["JitterSeconds"]) == (60, 0)
    assert made["CreatedAt"] == "2026-03-28T12:00:00.000000Z"
    assert made["LastFiredAt"] is made["LastJobID"] is made["LastError"] is None
    assert made["SubmittedWith"].startswith("api_key:")
    # The night on which Berlin has no 02:30.
    assert made["NextRunAt"] == "2026-03-29T01:00:00.000000Z"
    assert "Signature" not in made
    assert site.changes == 1


async def test_every_field_can_be_given(alice: Caller) -> None:
    job = {**JOB, "interpreter": "shell", "timeoutSeconds": 30.5, "description": "d", "priority": 7}
    job |= {"concurrencyKey": "db", "retry": {"count": 2, "on": ["Failed"]}}
    made = await create(
        alice,
        job=job,
        cron=" 0   3 * *  mon-fri ",
        enabled=False,
        overlapPolicy="replace",
        misfirePolicy="run_once",
        misfireGraceSeconds=5,
        jitterSeconds=90.5,
        startAt="2026-04-01T00:00:00+02:00",
        endAt="2026-05-01T00:00:00Z",
    )
    assert made["Cron"] == "0 3 * * mon-fri"
    assert made["Job"]["TimeoutSeconds"] == 30.5
    assert made["Job"]["Retry"] == {"count": 2, "on": ["Failed"]}
    assert (made["OverlapPolicy"], made["MisfirePolicy"]) == ("replace", "run_once")
    assert (made["StartAt"], made["EndAt"]) == (
        "2026-03-31T22:00:00.000000Z",
        "2026-05-01T00:00:00.000000Z",
    )
    assert made["NextRunAt"] is None


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"cron": "0 0 30 2 *"}, "cron", "never fires"),
        ({"cron": "0 0 * *"}, "cron", "five fields"),
        ({"cron": "99 * * * *"}, "cron", "bad minute field: '99'"),
        ({"cron": "*/90 * * * *"}, "cron", "a step of 90 is more than the 60 there are"),
        ({"cron": "* " * 200}, "cron", "at most 200 characters"),
        ({"cron": 5}, "cron", "must be a text"),
        ({"cron": None}, "cron", "must be a text"),
        ({"timezone": "Mars/Olympus"}, "timezone", "IANA time zone"),
        ({"timezone": "../../etc/passwd"}, "timezone", "IANA time zone"),
        ({"timezone": "\ud800"}, "timezone", "valid Unicode"),
        ({"name": "  "}, "name", "must not be empty"),
        ({"name": "x" * 101}, "name", "at most 100 characters"),
        ({"name": "a\nb"}, "name", "one line"),
        ({"enabled": "yes"}, "enabled", "must be true or false"),
        ({"overlapPolicy": "both"}, "overlapPolicy", "'skip', 'queue' or 'replace'"),
        ({"misfirePolicy": "all"}, "misfirePolicy", "'skip' or 'run_once'"),
        ({"misfireGraceSeconds": 0}, "misfireGraceSeconds", "greater than or equal to 1"),
        ({"misfireGraceSeconds": True}, "misfireGraceSeconds", "must be a number"),
        ({"jitterSeconds": -1}, "jitterSeconds", "greater than or equal to 0"),
        ({"jitterSeconds": 3601}, "jitterSeconds", "less than or equal to 3600"),
        ({"startAt": "2026-04-01T00:00:00"}, "startAt", "timezone info"),
        ({"startAt": "tomorrow"}, "startAt", "valid datetime"),
        ({"startAt": "9999-12-31T23:59:59-14:00"}, "startAt", "1970 to 2199"),
        ({"startAt": "0001-01-01T00:00:00+14:00"}, "startAt", "1970 to 2199"),
        (
            {"startAt": "2026-05-02T00:00:00Z", "endAt": "2026-05-01T00:00:00Z"},
            "endAt",
            "later than startAt",
        ),
        ({"endAt": "2026-03-28T11:00:00Z"}, "endAt", "no moment"),
        ({"endAt": "2026-03-28T13:00:00Z"}, "endAt", "no moment"),
        ({"owner": "bob"}, "owner", "not a field"),
        ({"job": None}, "job", "must be an object"),
        ({"job": {**JOB, "command": " "}}, "job.command", "must not be empty"),
        ({"job": {**JOB, "executionMode": "Cloud"}}, "job.executionMode", "'MainLoop'"),
        ({"job": {**JOB, "userId": "bob"}}, "job.userId", "not a field"),
        ({"job": {**JOB, "jobName": "x" * 101}}, "job.jobName", "at most 100 characters"),
        ({"job": {**JOB, "timeoutSeconds": 1e9}}, "job.timeoutSeconds", "at most"),
        ({"job": {**JOB, "runAt": "2026-05-01T00:00:00Z"}}, "job", "must not have runAt or delaySeconds"),
        ({"job": {**JOB, "delaySeconds": 5}}, "job", "must not have runAt or delaySeconds"),
        ({"job": {**JOB, "retry": {"count": 0}}}, "job.retry.count", "greater than or equal to 1"),
    ],
)
async def test_a_bad_field_is_named(
    site: Site, alice: Caller, fields: dict[str, Any], field: str, message: str
) -> None:
    answer = await alice.request("POST", "/schedules", json={**BODY, **fields})
    assert (answer.status, answer.body["code"]) == (422, "invalid_fields")
    (fault,) = answer.body["details"]
    assert fault["field"] == field
    assert message in fault["message"]
    assert (site.store.all(), site.changes) == ([], 0)


@pytest.mark.parametrize("missing", ["name", "cron", "job"])
async def test_a_missing_field_is_named(alice: Caller, missing: str) -> None:
    body = {name: value for name, value in BODY.items() if name != missing}
    answer = await alice.request("POST", "/schedules", json=body)
    assert answer.status == 422
    assert answer.body["details"] == [{"field": missing, "message": "is required"}]


async def test_a_body_that_is_no_json_is_refused(alice: Caller) -> None:
    plain = await alice.request("POST", "/schedules", data="name=nightly")
    broken = await alice.request("POST", "/schedules", data="{", headers={"Content-Type": "application/json"})
    assert (plain.status, broken.status) == (415, 400)


async def test_a_command_that_is_too_large_is_refused(alice: Caller) -> None:
    answer = await alice.request(
        "POST", "/schedules", json={**BODY, "job": {**JOB, "command": "x" * 300_000}}
    )
    assert (answer.status, answer.body["code"]) == (413, "too_large")


async def test_a_user_may_have_so_many_and_no_more(site: Site, alice: Caller) -> None:
    for _ in range(5):
        await create(alice)
    answer = await alice.request("POST", "/schedules", json=BODY)
    assert (answer.status, answer.body["code"]) == (409, "conflict")
    assert "5 schedules" in answer.body["error"]
    await create(site.caller("task_manager", user_id="bob"))


# --- rights


async def test_nobody_gets_in_without_an_identity(site: Site) -> None:
    stranger = site.stranger()
    path = f"/schedules/{uuid4()}"
    answers = [await stranger.request(method, path + suffix) for method, suffix in EVERY]
    answers.append(await stranger.request("GET", "/schedules"))
    answers.append(await stranger.request("POST", "/schedules", json=BODY))
    assert {answer.status for answer in answers} == {401}


async def test_who_may_not_submit_may_not_schedule_and_learns_nothing_of_the_body(site: Site) -> None:
    plain = site.caller("authenticated")
    for body in (BODY, {"nonsense": 1}):
        answer = await plain.request("POST", "/schedules", json=body)
        assert (answer.status, answer.body["code"]) == (403, "forbidden")


async def test_a_mode_one_may_not_use_cannot_be_scheduled(site: Site, alice: Caller) -> None:
    job = {**JOB, "executionMode": "MainLoop"}
    answer = await alice.request("POST", "/schedules", json={**BODY, "job": job})
    assert (answer.status, answer.body["error"]) == (403, "MainLoop execution mode requires 'debug' role")
    await create(site.caller("debug", user_id="dora"), job=job)


async def test_nor_a_priority_one_may_not_use(alice: Caller) -> None:
    answer = await alice.request("POST", "/schedules", json={**BODY, "job": {**JOB, "priority": 9}})
    assert answer.status == 403


@pytest.mark.parametrize(("method", "suffix"), EVERY)
async def test_somebody_elses_is_forbidden_even_to_who_sends_nonsense(
    site: Site, alice: Caller, method: str, suffix: str
) -> None:
    made = await create(alice)
    bob = site.caller("debug", "task_manager", user_id="bob")
    answer = await bob.request(method, f"/schedules/{made['ScheduleID']}{suffix}", data="{")
    assert (answer.status, answer.body["code"]) == (403, "forbidden")
    assert len(site.store.all()) == 1


@pytest.mark.parametrize("role", ["system_admin", "site_admin"])
async def test_administrators_see_and_change_everybodys(site: Site, alice: Caller, role: str) -> None:
    made = await create(alice)
    path = f"/schedules/{made['ScheduleID']}"
    admin = site.caller(role, user_id="root")
    assert (await admin.request("GET", path)).status == 200
    assert (await admin.request("GET", path + "/next")).body["count"] == 10
    changed = await change(admin, made, enabled=False)
    assert (changed["UserID"], changed["UpdatedBy"]) == ("alice", "root")
    assert (await admin.request("DELETE", path)).status == 200
    assert site.store.all() == []


async def test_an_administrators_change_of_the_job_makes_it_the_administrators(
    site: Site, alice: Caller
) -> None:
    made = await create(alice)
    admin = site.caller("system_admin", user_id="root")
    changed = await change(admin, made, job={"command": "echo changed"})
    assert (changed["UserID"], changed["Roles"]) == ("root", ["system_admin"])


async def test_the_owners_change_of_the_job_binds_it_to_the_proof_that_asked_for_it(
    site: Site, alice: Caller
) -> None:
    made = await create(alice)
    other_key = site.caller("debug")
    renamed = await change(other_key, made, name="renamed")
    assert renamed["SubmittedWith"] == made["SubmittedWith"]
    changed = await change(other_key, made, job={"command": "echo changed"})
    assert changed["SubmittedWith"] != made["SubmittedWith"]
    assert changed["Roles"] == ["debug"]


async def test_a_job_cannot_be_changed_to_a_mode_one_may_not_use(site: Site, alice: Caller) -> None:
    made = await create(alice)
    path = f"/schedules/{made['ScheduleID']}"
    answer = await alice.request("PATCH", path, json={"job": {"executionMode": "MainLoop"}})
    assert answer.status == 403
    demoted = site.caller("authenticated")
    answer = await demoted.request("PATCH", path, json={"job": {"command": "echo more"}})
    assert answer.status == 403
    assert (await demoted.request("PATCH", path, json={"enabled": False})).status == 200


# --- looking


async def test_one_sees_ones_own_and_administrators_everybodys(site: Site, alice: Caller) -> None:
    admin = site.caller("site_admin", user_id="root")
    mine = await create(alice)
    site.now += timedelta(seconds=1)
    theirs = await create(admin)

    async def listed(caller: Caller, query: str = "") -> tuple[int, list[str]]:
        answer = await caller.request("GET", f"/schedules{query}")
        return answer.body["count"], [each["ScheduleID"] for each in answer.body["schedules"]]

    both = [mine["ScheduleID"], theirs["ScheduleID"]]
    assert await listed(alice) == (1, both[:1])
    assert await listed(admin) == await listed(admin, "?scope=own") == (1, both[1:])
    assert await listed(admin, "?scope=all") == (2, both)


async def test_everybodys_are_for_administrators(alice: Caller) -> None:
    assert (await alice.request("GET", "/schedules?scope=all")).status == 403
    assert (await alice.request("GET", "/schedules?scope=some")).status == 422


async def test_the_next_runs_go_right_through_a_change_of_the_clock(alice: Caller) -> None:
    made = await create(alice, timezone="Europe/Berlin")
    answer = await alice.request("GET", f"/schedules/{made['ScheduleID']}/next?count=2")
    assert answer.body == {
        "success": True,
        "count": 2,
        "runs": [
            {
                "ScheduledFor": "2026-03-29T01:00:00.000000Z",
                "Local": "2026-03-29T03:00:00+02:00",
                "FiresAt": "2026-03-29T01:00:00.000000Z",
            },
            {
                "ScheduledFor": "2026-03-30T00:30:00.000000Z",
                "Local": "2026-03-30T02:30:00+02:00",
                "FiresAt": "2026-03-30T00:30:00.000000Z",
            },
        ],
    }


async def test_there_are_as_many_next_runs_as_were_asked_for_until_the_end(alice: Caller) -> None:
    made = await create(alice, endAt="2026-04-10T00:00:00Z")
    path = f"/schedules/{made['ScheduleID']}/next"
    counts = [
        (await alice.request("GET", path + query)).body["count"] for query in ("", "?count=1", "?count=100")
    ]
    assert counts == [10, 1, 12]


@pytest.mark.parametrize("count", ["0", "101", "-1", "ten", "1.5", ""])
async def test_a_bad_count_is_refused(alice: Caller, count: str) -> None:
    made = await create(alice)
    answer = await alice.request("GET", f"/schedules/{made['ScheduleID']}/next?count={count}")
    assert (answer.status, answer.body["details"][0]["field"]) == (422, "count")


@pytest.mark.parametrize(("method", "suffix"), EVERY)
async def test_what_is_not_there_is_not_found_and_what_is_no_id_is_said_so(
    alice: Caller, method: str, suffix: str
) -> None:
    missing = await alice.request(method, f"/schedules/{uuid4()}{suffix}", json={})
    assert (missing.status, missing.body["code"]) == (404, "not_found")
    for bad in ("nonsense", "..%2F..%2Fsecret", "-" * 36):
        answer = await alice.request(method, f"/schedules/{bad}{suffix}", json={})
        assert (answer.status, answer.body["details"][0]["field"]) == (422, "scheduleId")


async def test_an_id_may_be_written_in_capitals(alice: Caller) -> None:
    made = await create(alice)
    answer = await alice.request("GET", f"/schedules/{made['ScheduleID'].upper()}")
    assert answer.body["schedule"] == made


# --- changing


async def test_what_is_left_out_stays_as_it_is(site: Site, alice: Caller) -> None:
    made = await create(alice, job={**JOB, "priority": 2}, jitterSeconds=5, startAt="2026-04-01T00:00:00Z")
    site.now += timedelta(minutes=1)
    changed = await change(alice, made, name="renamed", job={"command": "echo changed"})
    expected = {**made, "Name": "renamed", "UpdatedAt": "2026-03-28T12:01:00.000000Z"}
    expected["Job"] = {**made["Job"], "Command": "echo changed"}
    assert changed == expected
    assert (await alice.request("GET", f"/schedules/{made['ScheduleID']}")).body["schedule"] == expected
    assert site.changes == 2


async def test_an_empty_change_changes_nothing_of_the_schedule(alice: Caller) -> None:
    made = await create(alice)
    assert await change(alice, made) == made


async def test_start_end_and_optional_fields_of_the_job_can_be_taken_away(alice: Caller) -> None:
    job = {**JOB, "timeoutSeconds": 5.0}
    made = await create(alice, job=job, startAt="2026-04-01T00:00:00Z", endAt="2026-05-01T00:00:00Z")
    changed = await change(alice, made, startAt=None, endAt=None, job={"timeoutSeconds": None})
    assert changed["StartAt"] is changed["EndAt"] is changed["Job"]["TimeoutSeconds"] is None
    assert changed["NextRunAt"] == "2026-03-29T02:30:00.000000Z"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        *(
            ({name: None}, name)
            for name in (
                *("name", "cron", "timezone", "enabled", "overlapPolicy", "misfirePolicy"),
                *("misfireGraceSeconds", "jitterSeconds", "job"),
            )
        ),
        ({"job": {"command": None}}, "job.command"),
        ({"job": {"jobName": None}}, "job.jobName"),
        ({"job": {"executionMode": None}}, "job.executionMode"),
        ({"job": {"runAt": "2026-05-01T00:00:00Z"}}, "job"),
        ({"job": {"shell": "bash"}}, "job.shell"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "0 */36 * * *"}, "cron"),
        ({"timezone": "Nowhere"}, "timezone"),
        ({"name": "x" * 101}, "name"),
        ({"endAt": "2026-03-28T11:00:00Z"}, "endAt"),
        ({"startAt": "2026-06-02T00:00:00Z"}, "endAt"),
        ({"lastFiredAt": "2026-06-02T00:00:00Z"}, "lastFiredAt"),
        ({"userId": "bob"}, "userId"),
    ],
)
async def test_a_bad_change_is_named_and_changes_nothing(
    alice: Caller, fields: dict[str, Any], field: str
) -> None:
    made = await create(alice, endAt="2026-06-01T00:00:00Z")
    path = f"/schedules/{made['ScheduleID']}"
    answer = await alice.request("PATCH", path, json=fields)
    assert answer.status == 422, answer.body
    assert [fault["field"] for fault in answer.body["details"]] == [field]
    assert (await alice.request("GET", path)).body["schedule"] == made


async def test_a_schedule_can_be_disabled_and_enabled(site: Site, alice: Caller) -> None:
    made = await create(alice)
    disabled = await change(alice, made, enabled=False)
    assert (disabled["Enabled"], disabled["NextRunAt"]) == (False, None)
    answer = await alice.request("GET", f"/schedules/{made['ScheduleID']}/next")
    assert answer.body == {"success": True, "count": 0, "runs": []}
    site.now += timedelta(days=3)
    enabled = await change(alice, made, enabled=True)
    assert enabled["NextRunAt"] == "2026-04-01T02:30:00.000000Z"
    assert enabled["ActiveSince"] == "2026-03-31T12:00:00.000000Z"


async def test_a_cron_line_of_before_it_was_refused_stays_until_it_is_changed(
    site: Site, alice: Caller
) -> None:
    made = await create(alice)
    site.store.change(
        made["ScheduleID"], lambda schedule: schedule.model_copy(update={"cron": "*/90 * * * *"})
    )
    changed = await change(alice, made, name="renamed", enabled=False)
    assert (changed["Name"], changed["Cron"]) == ("renamed", "*/90 * * * *")
    assert (await change(alice, made, enabled=True, cron="*/90 * * * *"))["NextRunAt"].startswith(
        "2026-03-28T13:00"
    )
    path = f"/schedules/{made['ScheduleID']}"
    assert (await alice.request("PATCH", path, json={"cron": "*/91 * * * *"})).status == 422


async def test_tabs_between_the_fields_of_a_cron_line_are_taken(alice: Caller) -> None:
    assert (await create(alice, cron="0\t3\t*\t*\t*"))["Cron"] == "0 3 * * *"
    query = {"cron": "0\t3 * * fri-sun"}
    assert (await alice.request("GET", "/schedules/preview", params=query)).status == 200


async def test_one_that_has_come_to_its_end_can_be_renamed_but_not_enabled_again(
    site: Site, alice: Caller
) -> None:
    made = await create(alice, endAt="2026-04-01T00:00:00Z")
    site.now += timedelta(days=30)
    assert (await change(alice, made, name="old", enabled=False))["Name"] == "old"
    answer = await alice.request("PATCH", f"/schedules/{made['ScheduleID']}", json={"enabled": True})
    assert (answer.status, answer.body["details"][0]["field"]) == (422, "endAt")


async def test_deleted_is_gone_with_its_claims(site: Site, alice: Caller) -> None:
    made = await create(alice)
    claims = FiredMomentFiles(site.config.base_dir)
    claim = claims.take(made["ScheduleID"], NOW, str(uuid4()))
    assert claim is not None
    claims.finish(claim)
    path = f"/schedules/{made['ScheduleID']}"
    answer = await alice.request("DELETE", path)
    assert answer.body == {"success": True, "message": "Schedule deleted successfully"}
    assert (await alice.request("GET", path)).status == 404
    assert (await alice.request("DELETE", path)).status == 404
    assert site.changes == 2
    left = [path.name for path in (site.config.base_dir / "Schedules").rglob("*")]
    assert not [name for name in left if made["ScheduleID"] in name]


async def test_no_secret_of_the_server_is_shown(site: Site, alice: Caller) -> None:
    made = await create(alice)
    stored = (site.config.base_dir / "Schedules" / f"{made['ScheduleID']}.json").read_text()
    signature = json.loads(stored)["Signature"]
    answer = await alice.request("GET", "/schedules")
    assert signature not in json.dumps(answer.body)
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_cron_line_is_tried_before_there_is_a_schedule(site: Site, alice: Caller) -> None:
    query = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "count": "2"}
    answer = await alice.request("GET", "/schedules/preview", params=query)
    runs = [(run["ScheduledFor"][:16], run["Local"]) for run in answer.body["runs"]]
    assert runs == [
        ("2026-03-29T01:00", "2026-03-29T03:00:00+02:00"),
        ("2026-03-30T00:30", "2026-03-30T02:30:00+02:00"),
    ]
    assert site.store.all() == []
    assert site.changes == 0


async def test_a_preview_begins_and_ends_where_the_schedule_would(alice: Caller) -> None:
    query = {"cron": "@daily", "startAt": "2026-04-01T00:00:00Z", "endAt": "2026-04-03T00:00:00Z"}
    answer = await alice.request("GET", "/schedules/preview", params=query)
    days = [run["ScheduledFor"][:10] for run in answer.body["runs"]]
    assert (answer.body["count"], days) == (3, ["2026-04-01", "2026-04-02", "2026-04-03"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "cron"),
        ({"cron": "99 * * * *"}, "cron"),
        ({"cron": "* * *"}, "cron"),
        ({"cron": "0 0 30 2 1"}, "cron"),
        ({"cron": "0 0 31 2 *"}, "cron"),
        ({"cron": "0 " * 500}, "cron"),
        ({"cron": "@daily", "timezone": "../../etc/passwd"}, "timezone"),
        ({"cron": "@daily", "timezone": "Mars/Olympus"}, "timezone"),
        ({"cron": "@daily", "count": "101"}, "count"),
        ({"cron": "@daily", "startAt": "soon"}, "startAt"),
        ({"cron": "@daily", "colour": "red"}, "colour"),
    ],
)
async def test_what_is_wrong_with_a_preview_is_said(alice: Caller, query: dict[str, str], field: str) -> None:
    answer = await alice.request("GET", "/schedules/preview", params=query)
    assert (answer.status, answer.body["details"][0]["field"]) == (422, field)
    assert answer.body["error"].endswith(".")


async def test_a_preview_is_for_anybody_who_is_signed_in(site: Site) -> None:
    path = "/schedules/preview?cron=@daily"
    assert (await site.stranger().request("GET", path)).status == 401
    assert (await site.caller("authenticated").request("GET", path)).status == 200

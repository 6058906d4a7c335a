"""Functions in schedules: those that people make, and those that are in the host's code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from aiohttp_jobs import ConfigurationError, Functions
from aiohttp_jobs.engine.embedded.records import ScheduleStore
from aiohttp_jobs.model.schedule import Schedule, code_schedule_id

from ..conftest import Answer, Caller, Host
from ..gate import until_answered
from . import sample

StartHost = Callable[..., Awaitable[Host]]
PREFIX = "/apps/WebHostTaskManagement"
RUNNERS = {"roles": {"librarian"}}


async def create(caller: Caller, job: dict[str, Any], **fields: Any) -> Answer:
    body = {"name": "nightly", "cron": "0 * * * *", "job": job, **fields}
    return await caller.request("POST", "/schedules", json=body)


def miss_a_moment(host: Host, schedule_id: str) -> None:
    """As if the host, which is stopped, had been so for hours, and made up for that."""
    store = ScheduleStore(host.base_dir)
    store.open()
    changes = {"active_since": datetime.now(UTC) - timedelta(hours=3), "misfire_policy": "run_once"}
    store.change(schedule_id, lambda each: Schedule.model_validate({**dict(each), **changes}))


async def first_result(caller: Caller) -> dict[str, Any]:
    async def ended() -> bool:
        return bool(await caller.results())

    await until_answered(ended, "the schedule's job")
    return (await caller.results())[0]


class TestOfPeople:
    """A schedule's job may be a function instead of a command."""

    async def test_is_shown_as_it_was_made_and_fires(self, start_host: StartHost) -> None:
        host = await start_host(functions=sample.jobs)
        caller = host.caller("librarian", "task_manager")
        job = {"function": "rebuild", "values": {"index": "users"}, "jobName": "by night", "priority": 2}
        answer = await create(caller, job, overlapPolicy="queue")
        assert answer.status == 201, answer.body
        made = answer.body["schedule"]
        assert made["FromCode"] is False
        assert made["Job"] == {
            "Function": "rebuild",
            "Values": {"index": "users"},
            "JobName": "by night",
            "Priority": 2,
        }
        await host.stop()
        miss_a_moment(host, made["ScheduleID"])
        host = await start_host(functions=sample.jobs)
        result = await first_result(host.caller("librarian"))
        assert (result["Function"], result["FunctionValues"]) == ("rebuild", {"index": "users"})
        assert (result["JobName"], result["ScheduleID"]) == ("by night", made["ScheduleID"])

    @pytest.mark.parametrize(
        ("job", "field"),
        [
            ({"function": "rebuild"}, "job.values.index"),
            ({"function": "rebuild", "values": {"index": "x"}}, "job.values.index"),
            ({"function": "greet!"}, "job.function"),
            ({"function": 5}, "job.function"),
            ({"function": "rebuild", "values": {"index": "users"}, "command": "true"}, "job.command"),
            ({"function": "rebuild", "values": {"index": "users"}, "delaySeconds": 1.0}, "job"),
            (
                {"function": "rebuild", "values": {"index": "users"}, "executionMode": "MainLoop"},
                "job.executionMode",
            ),
            (
                {"function": "rebuild", "values": {"index": "users"}, "timeoutSeconds": 1e9},
                "job.timeoutSeconds",
            ),
            ({"function": "login", "values": {"user": "a", "password": "12345"}}, "job.values.password"),
        ],
    )
    async def test_bad_ones_are_told_by_field(
        self, start_host: StartHost, job: dict[str, Any], field: str
    ) -> None:
        host = await start_host(functions=sample.jobs)
        answer = await create(host.caller("librarian", "debug"), job)
        assert (answer.status, [fault["field"] for fault in answer.body["details"]]) == (422, [field])

    async def test_a_function_that_is_not_the_callers_to_run_looks_as_if_it_were_not_there(
        self, start_host: StartHost
    ) -> None:
        host = await start_host(functions=sample.jobs)
        caller = host.caller("task_manager")
        answers = [
            (name, await create(caller, {"function": name, "values": {"index": "users"}}))
            for name in ("rebuild", "nothing")
        ]
        told = [(answer.status, answer.body["error"].replace(name, "it")) for name, answer in answers]
        assert told == [(404, "There is no function it.")] * 2

    async def test_is_changed_by_part_and_to_a_command_and_back(self, start_host: StartHost) -> None:
        host = await start_host(functions=sample.jobs)
        caller = host.caller("librarian", "task_manager")
        made = (await create(caller, {"function": "rebuild", "values": {"index": "users"}})).body["schedule"]
        path = f"/schedules/{made['ScheduleID']}"
        command = {"jobName": "x", "command": "true", "executionMode": "BackgroundJob"}
        for change, job in (
            ({"values": {"index": "orders"}}, {"Function": "rebuild", "Values": {"index": "orders"}}),
            (command, {"JobName": "x", "Command": "true", "ExecutionMode": "BackgroundJob"}),
            (
                {"function": "rebuild", "values": {"index": "users"}},
                {"Function": "rebuild", "Values": {"index": "users"}},
            ),
        ):
            answer = await caller.request("PATCH", path, json={"job": change})
            assert answer.status == 200, answer.body
            assert answer.body["schedule"]["Job"] == job
        wrong = await caller.request("PATCH", path, json={"job": {"values": {}}})
        assert (wrong.status, wrong.body["details"][0]["field"]) == (422, "job.values.index")
        no_key = await caller.request("PATCH", path, json={"job": {"concurrencyKey": "x"}})
        assert (no_key.status, no_key.body["code"]) == (409, "conflict")
        await caller.request("PATCH", path, json={"job": command})
        no_values = await caller.request("PATCH", path, json={"job": {"values": {}}})
        assert (no_values.status, no_values.body["code"]) == (409, "conflict")

    async def test_fires_with_the_roles_of_now(self, start_host: StartHost) -> None:
        roles = {"alice": frozenset({"librarian", "task_manager"})}

        async def resolve(user_id: str) -> frozenset[str] | None:
            return roles.get(user_id)

        host = await start_host(functions=sample.jobs, roles_resolver=resolve)
        caller = host.caller("librarian", "task_manager")
        made = (await create(caller, {"function": "rebuild", "values": {"index": "users"}})).body["schedule"]
        await host.stop()
        miss_a_moment(host, made["ScheduleID"])
        roles["alice"] = frozenset({"task_manager"})
        host = await start_host(functions=sample.jobs, roles_resolver=resolve)
        caller = host.caller("task_manager")

        async def told() -> Any:
            shown = await caller.request("GET", f"/schedules/{made['ScheduleID']}")
            return shown.body["schedule"]["LastError"]

        await until_answered(told, "the refusal")
        assert await told() == "There is no function rebuild."
        assert await caller.results() == []


def with_cron(cron: str | None = "0 3 * * *", **options: Any) -> Functions:
    functions = Functions()
    functions.function(mode="MainLoop", roles={"authenticated"}, cron=cron, **options)(sample.greet.plain)
    return functions


GREET = code_schedule_id(PREFIX, "greet")
NAMED: dict[str, Any] = {"values": {"name": "ann"}}


class TestInCode:
    """``cron=`` at a function: made, changed and removed when the host starts."""

    async def test_is_made_at_the_start_and_shown_as_the_codes(self, start_host: StartHost) -> None:
        host = await start_host(functions=with_cron(timezone="Europe/Berlin", title="Greet", **NAMED))
        root = host.caller("site_admin", user_id="root")
        [made] = (await root.request("GET", "/schedules?scope=all")).body["schedules"]
        assert (made["ScheduleID"], made["FromCode"], made["UserID"]) == (GREET, True, "host")
        assert (made["Name"], made["Cron"], made["Timezone"]) == ("Greet", "0 3 * * *", "Europe/Berlin")
        assert made["Job"] == {"Function": "greet", "Values": {"name": "ann"}}
        shown = (await host.caller().request("GET", "/functions/greet")).body["function"]["Schedule"]
        assert shown == {
            "ScheduleID": GREET,
            "Cron": "0 3 * * *",
            "Timezone": "Europe/Berlin",
            "Enabled": True,
        }

    async def test_follows_the_code_and_goes_with_it(self, start_host: StartHost) -> None:
        found = []
        for functions in (
            with_cron(**NAMED),
            with_cron("30 4 * * *", user="nightly", values={"name": "bob"}),
            with_cron(None),
        ):
            host = await start_host(functions=functions)
            root = host.caller("site_admin", user_id="root")
            shown = (await root.request("GET", "/schedules?scope=all")).body["schedules"]
            found.append([(each["Cron"], each["UserID"], each["Job"]["Values"]) for each in shown])
            await host.stop()
        assert found == [
            [("0 3 * * *", "host", {"name": "ann"})],
            [("30 4 * * *", "nightly", {"name": "bob"})],
            [],
        ]

    async def test_is_not_written_again_when_nothing_changed(self, start_host: StartHost) -> None:
        written = []
        for _ in range(2):
            host = await start_host(functions=with_cron(**NAMED))
            written.append((host.base_dir / "Schedules" / f"{GREET}.json").read_text())
            await host.stop()
        assert written[0] == written[1]

    async def test_leaves_the_schedules_of_people_alone(self, start_host: StartHost) -> None:
        host = await start_host(functions=with_cron(**NAMED))
        caller = host.caller("task_manager")
        job = {"function": "greet", "values": {"name": "cat"}}
        made = (await create(caller, job)).body["schedule"]
        await host.stop()
        host = await start_host(functions=with_cron(None))
        caller = host.caller("task_manager")
        [kept] = (await caller.request("GET", "/schedules")).body["schedules"]
        assert kept["ScheduleID"] == made["ScheduleID"]

    async def test_is_paused_by_who_manages_schedules_and_stays_so(self, start_host: StartHost) -> None:
        host = await start_host(functions=with_cron(**NAMED))
        root, path = host.caller("site_admin", user_id="root"), f"/schedules/{GREET}"
        assert (await host.caller("debug").request("PATCH", path, json={"enabled": False})).status == 403
        assert (await root.request("PATCH", path, json={"enabled": False})).status == 200
        await host.stop()
        renamed = with_cron("30 4 * * *", name="welcome", old_names=["greet"], **NAMED)
        for functions, schedule_id in (
            (with_cron("30 4 * * *", **NAMED), GREET),
            (renamed, code_schedule_id(PREFIX, "welcome")),
        ):
            host = await start_host(functions=functions)
            root = host.caller("site_admin", user_id="root")
            [shown] = (await root.request("GET", "/schedules?scope=all")).body["schedules"]
            kept = (shown["ScheduleID"], shown["Cron"], shown["Enabled"], shown["DisabledBy"])
            assert kept == (schedule_id, "30 4 * * *", False, "root")
            await host.stop()

    @pytest.mark.parametrize(
        "change",
        [
            {"cron": "* * * * *"},
            {"name": "mine"},
            {"job": {"values": {"name": "eve"}}},
            {"job": {"jobName": "x", "command": "id", "executionMode": "BackgroundJob"}},
            {"enabled": False, "timezone": "UTC"},
            {"overlapPolicy": "replace"},
        ],
    )
    async def test_nothing_else_of_it_is_changed_by_anybody(
        self, start_host: StartHost, change: dict[str, Any]
    ) -> None:
        host = await start_host(functions=with_cron(**NAMED))
        root, path = host.caller("site_admin", "debug", user_id="root"), f"/schedules/{GREET}"
        before = (await root.request("GET", path)).body
        for caller in (root, host.caller("debug", user_id="host")):
            answer = await caller.request("PATCH", path, json=change)
            assert (answer.status, answer.body["code"]) == (403, "forbidden")
            assert (await caller.request("DELETE", path)).status == 403
        assert (await root.request("GET", path)).body == before

    async def test_nobody_can_claim_to_be_the_code(self, start_host: StartHost) -> None:
        host = await start_host(functions=with_cron(**NAMED))
        job = {"function": "greet", "values": {"name": "eve"}}
        for claim in ({"fromCode": True}, {"submittedWith": "code"}, {"FromCode": True}):
            assert (await create(host.caller("debug"), job, **claim)).status == 422

    async def test_fires_without_a_role_as_its_user(self, start_host: StartHost) -> None:
        async def resolve(user_id: str) -> frozenset[str] | None:
            return frozenset() if user_id == "alice" else None

        functions = with_cron("0 * * * *", user="nightly", **NAMED)
        host = await start_host(functions=functions)
        await host.stop()
        miss_a_moment(host, GREET)
        host = await start_host(functions=functions, roles_resolver=resolve)
        store = host.base_dir / "JobResults"

        async def ended() -> bool:
            return bool(list(store.glob("*.json")))

        await until_answered(ended, "the schedule's job")
        [result] = [path.read_text() for path in store.glob("*.json")]
        assert '"UserID": "nightly"' in result
        assert '"Status": "Rejected"' not in result
        assert f'"ScheduleID": "{GREET}"' in result

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"cron": "every day", **NAMED}, "cron"),
            ({"cron": "0 3 31 2 *", **NAMED}, "cron"),
            ({"timezone": "Europe/Nowhere", **NAMED}, "timezone is not a known IANA time zone"),
            ({}, "missing a required argument: 'name'"),
            ({"values": {"name": "no\0"}}, "values.name must not contain a NUL character"),
            ({"values": {"name": 5}}, "values.name takes no int"),
            ({"values": {"name": "x", "what": "x"}}, "unexpected keyword argument 'what'"),
        ],
    )
    async def test_one_that_cannot_be_is_told_when_the_host_is_made(
        self, start_host: StartHost, options: dict[str, Any], why: str
    ) -> None:
        with pytest.raises(
            ConfigurationError, match=f"The schedule of the function greet cannot be used: .*{why}"
        ):
            await start_host(functions=with_cron(**options))

    async def test_secrets_and_dates_in_its_values(self, start_host: StartHost) -> None:
        functions = Functions()

        @functions.function(mode="MainLoop", cron="0 3 * * *", values={"since": date(2026, 1, 31)})
        async def report(since: date) -> None: ...

        host = await start_host(functions=functions)
        root = host.caller("site_admin", user_id="root")
        [made] = (await root.request("GET", "/schedules?scope=all")).body["schedules"]
        assert made["Job"]["Values"] == {"since": "2026-01-31"}

        @functions.function(mode="MainLoop", cron="0 3 * * *", values={"token": SecretStr("hunter22")})
        async def secret(token: SecretStr) -> None: ...

        with pytest.raises(ConfigurationError, match="token is a secret, which no schedule keeps"):
            await start_host(functions=functions)

    async def test_of_two_plugins_each_has_its_own(self, start_host: StartHost, tmp_path: Path) -> None:
        """Even where they share a data folder, neither removes what the other has."""
        shared = {"data_dir": tmp_path / "data"}
        first = await start_host(functions=with_cron(**NAMED), **shared)
        await start_host(functions=with_cron(None), prefix="/other", **shared)
        root = first.caller("site_admin", user_id="root")
        assert (await root.request("GET", "/schedules?scope=all")).body["count"] == 1

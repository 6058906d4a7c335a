"""Schedules from the command line."""

from __future__ import annotations

import json
from typing import Any

from ..conftest import Host
from .command import access_to, run


async def test_a_schedule_is_made_shown_changed_disabled_and_deleted(host: Host) -> None:
    env = access_to(host, "debug")

    async def ok(*arguments: str) -> str:
        code, out, err = await run("schedule", *arguments, env=env)
        assert (code, err) == (0, "")
        return out

    async def shown() -> Any:
        return json.loads(await ok("show", "nightly", "--json"))

    job = ("--retries", "2", "--timeout", "60", "--mode", "Runspace")
    when = (
        "--cron",
        "0 3 * * *",
        "--timezone",
        "Europe/Berlin",
        "--overlap",
        "queue",
        "--end-at",
        "2199-01-01T00:00Z",
    )
    schedule_id = (await ok("create", "--name", "nightly", *when, *job, "--", "-x --help")).strip()
    record = await shown()
    assert (record["ScheduleID"], record["OverlapPolicy"]) == (schedule_id, "queue")
    assert (record["Job"]["Command"], record["Job"]["Retry"]["count"]) == ("-x --help", 2)
    assert "nightly" in await ok("list")
    assert len(json.loads(await ok("next", schedule_id, "--count", "3", "--json"))) == 3
    assert len(json.loads(await ok("preview", "@daily", "--count", "2", "--json"))) == 2
    await ok("change", "nightly", "--cron", "0 4 * * *", "--end-at", "", "--command", "echo new")
    record = await shown()
    assert (record["Cron"], record["EndAt"], record["Job"]["Command"]) == ("0 4 * * *", None, "echo new")
    assert record["Job"]["ExecutionMode"] == "Runspace"
    assert await ok("disable", "nightly") == "nightly is disabled.\n"
    assert "will not run" in await ok("next", "nightly")
    assert "runs next at" in await ok("enable", "nightly")
    assert await ok("delete", "nightly") == "nightly is deleted.\n"
    assert json.loads(await ok("list", "--json")) == []


async def test_mistakes_end_with_a_sentence(host: Host) -> None:
    env = access_to(host, "debug")
    assert (await run("schedule", "create", "--name", "text", "--cron", "@daily", "true", env=env))[0] == 0
    for arguments, sentence in [
        (("show", "nothing"), "There is no schedule with the name 'nothing'."),
        (("show", "00000000-0000-4000-8000-000000000000"), "There is no schedule 0"),
        (("change", "nothing"), "Say what to change"),
        (("change", "text", "--value", "a=b"), "is a command, which has no values"),
        (("create", "--name", "x", "--cron", "61 * * * *", "true"), "cron"),
    ]:
        code, _, err = await run("schedule", *arguments, env=env)
        assert (code, sentence in err, "Traceback" in err) == (1, True, False), err

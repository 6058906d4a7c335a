"""Ids at the command line: never cut, and their beginnings are taken wherever an id is."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable

import pytest

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys

from ..conftest import Host
from ..engine.embedded.drops import Drops
from ..processes import printed_by
from .command import Terminal, access_to, opened_terminal, run, start

StartHost = Callable[..., Awaitable[Host]]


async def shown_on(terminal: Terminal, *arguments: str, env: dict[str, str]) -> str:
    """What the command shows on a terminal of 80 columns."""
    process = await start(*arguments, env={"COLUMNS": "80", **env}, forked=True, stdout=terminal.theirs)
    _, err = await printed_by(process)
    assert process.returncode == 0, err
    await terminal.shows("\n")
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown.decode())


async def test_ids_are_whole_and_times_short_at_80_columns(host: Host) -> None:
    env = access_to(host, "debug", "system_admin")
    name = "a name that is rather long for one line of a terminal"
    job_id = (await run("submit", "--wait", "--json", "--name", name, "false", env=env))[1]
    job_id = json.loads(job_id)["JobID"]
    schedule_id = (await run("schedule", "create", "--name", name, "--cron", "@daily", "true", env=env))[1]
    template_id = (await run("template", "create", "--name", name, "true", env=env))[1]
    for arguments, shown_id in (
        (("jobs",), job_id),
        (("results",), job_id),
        (("schedule", "list"), schedule_id.strip()),
        (("template", "list"), template_id.strip()),
        (("api-key", "list", "--data-dir", str(host.config.data_dir)), None),
    ):
        with opened_terminal() as terminal:
            shown = await shown_on(terminal, *arguments, env=env)
        found = re.findall("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", shown)
        assert found, (arguments, shown)
        assert shown_id is None or found == [shown_id], arguments
        assert "…" not in shown
        assert not re.search(r"\d{4}-\d\d-\d\dT", shown), arguments
        assert max(map(len, shown.splitlines())) <= 80, shown


async def test_every_command_takes_the_beginning_of_an_id(host: Host) -> None:
    env = access_to(host, "debug", "system_admin")
    job_id = json.loads((await run("submit", "--wait", "--json", "echo hi", env=env))[1])["JobID"]
    short = job_id[:8]
    assert await run("output", short, env=env) == (0, "hi\n", "")
    assert await run("watch", short.upper(), env=env) == (0, "hi\n", "")
    assert json.loads((await run("attempts", job_id[:13], "--json", env=env))[1])[0]["JobID"] == job_id
    assert json.loads((await run("results", "show", job_id[:20], "--json", env=env))[1])["JobID"] == job_id
    assert await run("rerun", "--wait", short, env=env) == (0, "hi\n", "")
    assert (await run("notices", "--job", short, "--json", env=env))[:2] == (0, "[]\n")
    code, _, err = await run("cancel", short, env=env)
    assert (code, err) == (1, "aiohttp-jobs: The job has ended already (Succeeded).\n")
    waiting = (await run("submit", "--delay", "3600", "true", env=env))[1].strip()
    done = json.loads((await run("cancel", waiting[:9], "--json", env=env))[1])
    assert done == {"jobId": waiting, "status": "Cancelling"}
    assert (await run("results", "delete", short, env=env))[:2] == (0, "Deleted 1 result.\n")
    code, _, err = await run("output", short, env=env)
    assert (code, err) == (1, f"aiohttp-jobs: There is no job whose id begins with '{short}'.\n")
    for none in ("2099", "nonsense", "../../etc/passwd"):
        code, _, err = await run("output", none, env=env)
        assert (code, "8 characters or more" in err) == (1, True), none


async def test_schedules_templates_and_keys_are_found_by_the_beginning_of_their_ids(host: Host) -> None:
    env = access_to(host, "debug", "system_admin")
    schedule_id = (await run("schedule", "create", "--name", "s", "--cron", "@daily", "true", env=env))[1]
    template_id = (await run("template", "create", "--name", "t", "true", env=env))[1]
    code, out, _ = await run("schedule", "show", schedule_id[:8], "--json", env=env)
    assert json.loads(out)["ScheduleID"] == schedule_id.strip()
    assert (await run("schedule", "delete", schedule_id[:10], env=env))[:2] == (0, "s is deleted.\n")
    code, out, _ = await run("template", "show", template_id[:8], "--json", env=env)
    assert json.loads(out)["TemplateID"] == template_id.strip()
    code, _, err = await run("template", "show", "00000000", env=env)
    assert (code, "no template with the name '00000000'" in err) == (1, True)
    keys = ApiKeys.in_data_dir(host.config.data_dir)
    key, _ = keys.create(name="other", user_id="bob", roles=())
    folder = ("--data-dir", str(host.config.data_dir))
    code, out, _ = await run("api-key", "disable", key.key_id[:8], *folder, env=env)
    assert (code, key.key_id in out) == (0, True)
    code, _, err = await run("api-key", "delete", "ffffffffff", *folder, env=env)
    assert (code, "no key whose id begins" in err) == (1, True)


@pytest.mark.parametrize("everyone", [True, False])
async def test_a_beginning_that_fits_several_names_them_and_does_nothing(host: Host, everyone: bool) -> None:
    """Ids are the host's to choose, but a dropped file brings its own."""
    ids = [f"209941f3-5be6-4d31-8000-{number:012d}" for number in range(3)]
    drops, caller = Drops(host), host.caller("debug")
    for job_id in ids:
        drops.put(drops.signed(JobID=job_id), name=f"{job_id}.json")
    for job_id in ids:
        await caller.result(job_id)
    env = access_to(host, "debug", *(["system_admin"] if everyone else []))
    code, out, err = await run("output", "209941f3-5be6", env=env)
    assert (code, out) == (1, "")
    assert "several job ids" in err
    assert all(job_id in err for job_id in ids)
    found = await caller.request("GET", "/jobs?idPrefix=209941F3")
    assert {job["JobID"] for job in found.body["jobs"]} == set(ids)
    for wrong in ("209941f", "x" * 8, "2" * 37):
        assert (await caller.request("GET", f"/jobs?idPrefix={wrong}")).status == 422
    for digits in ("2" * 36, "209941f35be6"):
        assert (await caller.request("GET", f"/jobs?idPrefix={digits}")).body["jobs"] == []


async def test_nobody_finds_others_jobs_by_the_beginning_of_an_id(host: Host) -> None:
    alice, bob = host.caller("debug"), host.caller("debug", user_id="bob")
    job_id = (await alice.run("true"))["JobID"]
    assert (await bob.request("GET", f"/jobs?idPrefix={job_id[:8]}")).body["jobs"] == []
    assert (await bob.request("GET", f"/jobs?idPrefix={job_id[:8]}&scope=all")).status == 403

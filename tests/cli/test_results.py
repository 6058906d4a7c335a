"""Listing, searching, showing and deleting results from the command line."""

from __future__ import annotations

import json

from ..conftest import Host
from .command import access_to, run


async def submitted(env: dict[str, str], *arguments: str) -> str:
    """The id of a job that has ended."""
    out = (await run("submit", "--wait", "--json", *arguments, env=env))[1]
    job_id: str = json.loads(out)["JobID"]
    return job_id


async def test_results_are_listed_shown_and_deleted(host: Host) -> None:
    env = access_to(host, "debug")
    job_id = await submitted(env, "--name", "fruit", "echo apple; exit 3")
    code, out, _ = await run("results", env=env)
    assert (code, "fruit" in out, "Failed" in out) == (0, True, True)
    (record,) = json.loads((await run("results", "--json", env=env))[1])
    assert (record["JobID"], record["ExitCode"]) == (job_id, 3)
    code, out, _ = await run("results", "show", job_id, env=env)
    assert (code, "ExitCode" in out, out.endswith("\napple\n[ERROR] The command exited with code 3.\n")) == (
        0,
        True,
        True,
    )
    assert json.loads((await run("results", "show", job_id, "--json", env=env))[1])["Output"].startswith(
        "apple"
    )
    assert (await run("results", "delete", job_id, env=env))[:2] == (0, "Deleted 1 result.\n")
    code, _, err = await run("results", "delete", job_id, env=env)
    assert (code, err) == (1, f"aiohttp-jobs: There is no job {job_id}.\n")


async def test_what_to_delete_must_be_said(host: Host) -> None:
    code, _, err = await run("results", "delete", env=access_to(host))
    assert (code, "Say which results" in err) == (1, True)


async def test_a_date_that_is_none_is_named(host: Host) -> None:
    code, _, err = await run("results", "--since", "yesterday", env=access_to(host))
    assert (code, err.startswith("aiohttp-jobs: --since: 'yesterday' is not")) == (1, True)


async def test_results_are_searched_filtered_and_deleted_together(host: Host) -> None:
    env = access_to(host, "debug")
    for number in range(4):
        await submitted(env, "--name", f"fruit {number}", f"echo apple {number}; exit {number % 2}")

    async def names(*options: str) -> list[str]:
        code, out, err = await run("results", "--json", *options, env=env)
        assert code == 0, err
        return [record["JobName"] for record in json.loads(out)]

    assert await names("--search", "apple", "--status", "Failed", "--sort", "name") == ["fruit 1", "fruit 3"]
    assert await names("--name", "fruit*", "--since", "2020-01-01", "--limit", "1") == ["fruit 3"]
    assert await names("--until", "2020-01-01", "--all-pages") == []
    assert len(await names("--all-pages", "--mode", "BackgroundJob")) == 4
    code, out, _ = await run("results", "--search", "apple", env=env)
    assert (code, "Found" in out) == (0, True)
    assert (await run("results", "stats", env=env))[0] == 0
    code, out, _ = await run("results", "delete", "--status", "Failed", env=env, stdin="n\n")
    assert code == 1
    code, out, _ = await run("results", "delete", "--status", "Failed", "--yes", env=env)
    assert (code, out) == (0, "Deleted 2 results.\n")

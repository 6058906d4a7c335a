"""The command line over HTTP: a real process against a real host."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from aiohttp_jobs.auth.api_keys import ApiKeys
from aiohttp_jobs.client import ClientError, JobsClient

from ..conftest import Host


async def run(*arguments: str, env: dict[str, str], stdin: str = "") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``aiohttp-jobs`` with these arguments."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aiohttp_jobs.cli", *arguments,
        stdin=-1, stdout=-1, stderr=-1, env={**os.environ, "COLUMNS": "200", **env},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    return process.returncode or 0, out.decode(), err.decode()


def access_to(host: Host, *roles: str) -> dict[str, str]:
    """The environment of somebody with a key."""
    key = ApiKeys.in_data_dir(host.config.data_dir).create(name="n", user_id="alice", roles=roles)[1]
    url = host.address + host.config.prefix
    return {"AIOHTTP_JOBS_URL": url, "AIOHTTP_JOBS_API_KEY": key}


async def test_submit_and_wait_shows_the_output_and_exits_as_the_job_does(host: Host) -> None:
    env = access_to(host, "debug")
    assert await run("submit", "--wait", "echo one; echo two >&2", env=env) == (0, "one\ntwo\n", "")
    code, out, _ = await run("submit", "--wait", env=env, stdin="echo from stdin; exit 7")
    assert (code, out.splitlines()[0]) == (7, "from stdin")
    code, out, _ = await run("submit", "--wait", "kill -9 $$", env=env)
    assert code == 137
    code, _, err = await run("submit", "--wait", "--timeout", "0.3", "sleep 9", env=env)
    assert (code, err) == (1, "aiohttp-jobs: the job ended as TimedOut\n")
    code, out, _ = await run("submit", "--wait", "--json", "echo hi", env=env)
    assert (code, json.loads(out)["Output"]) == (0, "hi\n")


async def test_jobs_are_listed_watched_and_cancelled(host: Host) -> None:
    env = access_to(host, "debug")
    _, out, _ = await run("submit", "--name", "nap", "echo up; sleep 60", env=env)
    job_id = out.strip()
    _, out, _ = await run("jobs", "--json", env=env)
    assert [job["JobID"] for job in json.loads(out)] == [job_id]
    watching = asyncio.create_task(run("watch", job_id, env=env))
    code, out, _ = await run("cancel", job_id, env=env)
    assert code == 0
    code, out, err = await watching
    assert (code, "cancelled by alice" in out, "Cancelled" in err) == (1, True, True)
    code, out, _ = await run("results", env=env)
    assert (code, "nap" in out, "Cancelled" in out) == (0, True, True)
    code, _, err = await run("cancel", job_id, env=env)
    assert (code, err) == (1, "aiohttp-jobs: The job has ended already (Cancelled).\n")


async def test_refusals_end_with_the_servers_sentence(host: Host) -> None:
    code, _, err = await run("submit", "true", env=access_to(host))
    assert (code, "requires elevated roles" in err, "Traceback" in err) == (1, True, False)
    nobody = {"AIOHTTP_JOBS_URL": "http://127.0.0.1:9", "AIOHTTP_JOBS_API_KEY": "k"}
    code, _, err = await run("jobs", env=nobody)
    assert (code, err.startswith("aiohttp-jobs: The server at http://127.0.0.1:9 cannot")) == (1, True)


async def test_the_key_file_must_be_private(host: Host, tmp_path: Path) -> None:
    env = access_to(host, "debug")
    file = tmp_path / "aiohttp-jobs" / "config.toml"
    file.parent.mkdir()
    file.write_text(f'url = "{env["AIOHTTP_JOBS_URL"]}"\napi_key = "{env["AIOHTTP_JOBS_API_KEY"]}"\n')
    file.chmod(0o644)
    code, _, err = await run("jobs", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert (code, "chmod 600" in err) == (1, True)
    file.chmod(0o600)
    code, _, err = await run("jobs", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert (code, err) == (0, "")


async def test_the_client_waits_for_results_and_names_refusals(host: Host) -> None:
    env = access_to(host, "debug")
    async with JobsClient(env["AIOHTTP_JOBS_URL"], env["AIOHTTP_JOBS_API_KEY"]) as client:
        job_id = await client.submit("seq 1 100000", name="long")
        text = "".join([event.text async for event in client.follow(job_id)])
        result = await client.wait(job_id)
        assert text == result.output == await client.output(job_id)
        await client.delete_result(job_id)
        with pytest.raises(ClientError) as refused:
            await client.result(job_id)
        assert (refused.value.status, refused.value.code) == (404, "not_found")

"""Workers from the command line: starting one wrongly, listing them, and draining one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ..conftest import Host
from ..engines import HostEngine
from .command import access_to, run

StartHost = Callable[..., Awaitable[Host]]
SECRET = {"AIOHTTP_JOBS_SECRET": "x" * 40}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "Say where the database is"),
        (("--dsn", "postgresql://nowhere"), "Say in which folder"),
        (("--dsn", "d", "--data-dir", "d", "--concurrency", "many"), "--concurrency takes runspace=4"),
        (("--dsn", "d", "--data-dir", "d", "--concurrency", "mainloop=1"), "There is no kind of jobs"),
        (("--dsn", "d", "--data-dir", "d", "--concurrency", "background=0"), "needs a place for a job"),
        (("--dsn", "d", "--data-dir", "d", "--label", "GPU"), "Labels have lower-case letters"),
        (("--dsn", "d", "--data-dir", "d", "--import", "no.such"), "There is no module no.such here"),
        (
            ("--dsn", "d", "--data-dir", "d", "--import", "json"),
            "No aiohttp_jobs.Functions was found in json",
        ),
        (("--config", "json:dumps"), "json:dumps is no JobsConfig"),
        (("--config", "json"), "--config takes module:name"),
    ],
)
async def test_what_is_wrong_with_a_worker_is_said_in_a_sentence(
    options: tuple[str, ...], sentence: str
) -> None:
    code, shown, said = await run("worker", *options, env=SECRET)
    assert (code, shown) == (1, "")
    assert sentence in said
    assert "Traceback" not in said


async def test_a_secret_that_others_can_read_is_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("x" * 40)
    file.chmod(0o644)
    options = ("--dsn", "d", "--data-dir", "d", "--secret-file", str(file))
    code, _, said = await run("worker", *options, env={})
    assert (code, "can be read by others" in said) == (1, True)


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_hosts_and_workers_are_listed(start_host: StartHost, engine: HostEngine) -> None:
    host = await start_host()
    secret = host.caller("system_admin").session.headers["Authorization"].removeprefix("Bearer ")
    env = {"AIOHTTP_JOBS_URL": host.api.removesuffix("/api/v1"), "AIOHTTP_JOBS_API_KEY": secret}
    code, shown, _ = await run("workers", env=env)
    assert (code, shown.split()[:2]) == (0, ["WorkerID", "Kind"])
    found = json.loads((await run("workers", "show", "--json", env=env))[1])
    (worker_id,) = [each["WorkerID"] for each in found if each["Places"]]
    code, _, said = await run("workers", "drain", worker_id, env=env)
    assert (code, "This is a host" in said) == (1, True)
    code, _, said = await run("workers", "drain", str(uuid.uuid4()), env=env)
    assert (code, "There is no worker" in said) == (1, True)


async def test_on_a_data_folder_there_are_none(host: Host) -> None:
    assert json.loads((await run("workers", "--json", env=access_to(host, "system_admin")))[1]) == []

"""The queue, the workers and oneself from the command line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest

from ..conftest import Host
from .command import access_to, run

StartHost = Callable[..., Awaitable[Host]]


async def test_the_queue_is_paused_shown_and_resumed(host: Host) -> None:
    env = access_to(host, "debug", "system_admin")
    assert (await run("queue", "pause", env=env))[0] == 0
    job_id = (await run("submit", "--name", "later", "true", env=env))[1].strip()
    for arguments in (["queue"], ["queue", "show"]):
        code, out, _ = await run(*arguments, env=env)
        assert (code, "later" in out, job_id in out, out.splitlines()[0].split()) == (
            0,
            True,
            True,
            ["Paused", "yes"],
        )
    assert json.loads((await run("queue", "--json", env=env))[1])["paused"] is True
    assert (await run("queue", "resume", "--json", env=env))[:2] == (0, '{\n  "paused": false\n}\n')
    code, _, err = await run("queue", "pause", env=access_to(host))
    assert (code, "requires elevated roles" in err) == (1, True)


@pytest.mark.usefixtures("warm_workers")
async def test_the_workers_are_listed(start_host: StartHost) -> None:
    host = await start_host(max_parallel_runspace=2)
    env = access_to(host, "debug")
    code, out, _ = await run("runspaces", env=env)
    assert (code, out.split()[0]) == (0, "Worker")
    assert len(json.loads((await run("runspaces", "--json", env=env))[1])) == 2


async def test_one_sees_who_one_is(host: Host) -> None:
    env = access_to(host, "debug")
    code, out, _ = await run("me", env=env)
    assert (code, out.splitlines()[0].split()) == (0, ["User", "alice"])
    assert json.loads((await run("me", "--json", env=env))[1])["userId"] == "alice"


async def test_the_session_of_the_main_loop_is_begun_anew_by_who_may(host: Host) -> None:
    code, out, _ = await run("restart-mainloop", env=access_to(host, "debug"))
    assert (code, "begins a new session" in out) == (0, True)
    code, _, err = await run("restart-mainloop", env=access_to(host, "task_manager"))
    assert (code, "requires" in err) == (1, True)

"""Workers as an attacker would want them: with rights of yesterday, or what was written to the database."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

import psycopg

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.base import Limits, cancelled_by
from aiohttp_jobs.engine.postgres.api_keys import KeysAtPickUp
from aiohttp_jobs.engine.postgres.host_rights import HostRights
from aiohttp_jobs.engine.postgres.jobs import JobTable
from aiohttp_jobs.engine.postgres.telling import ToldResults
from aiohttp_jobs.model.job import ExecutionMode
from aiohttp_jobs.system.signing import Signer

from ..conftest import Host
from ..contract.jobs import MOST, submission, submit
from ..engine.postgres.host import started
from ..engine.postgres.support import SECRET, installation
from ..engines import HostEngine
from ..gate import PATIENCE_SECONDS, until_answered
from ..workers import worker

StartHost = Callable[..., Awaitable[Host]]
ON_POSTGRES = pytest.mark.parametrize("engine", ["postgres"], indirect=True)
BACKGROUND = ExecutionMode.BACKGROUND_JOB


@ON_POSTGRES
async def test_a_worker_asks_for_rights_of_now_and_shows_jobs_no_secret(
    start_host: StartHost, engine: HostEngine, tmp_path: Path
) -> None:
    host = await start_host(runs_jobs=False, mode_roles={"BackgroundJob": {"clerk", "task_manager"}})
    clerk, mallory = host.caller("clerk"), host.caller("task_manager", user_id="mallory")
    allowed = await host.caller("task_manager").submit("env; tr '\\0' '\\n' < /proc/$PPID/cmdline")
    assert (await clerk.request("POST", "/jobs/submit", json={})).status == 403
    late = await mallory.submit("echo ran > " + str(tmp_path / "ran"))
    assert host.keys is not None
    (key,) = [each for each in host.keys.all() if each.user_id == "mallory"]
    host.keys.delete(key.key_id)
    dsn = str(engine.settings["dsn"])
    async with worker(dsn, tmp_path / "worker"):
        printed = (await host.caller("task_manager").result(allowed))["Output"]
        assert "PATH=" in printed
        assert SECRET not in printed
        assert dsn not in printed
        rejected = await host.caller("system_admin", user_id="mallory").result(late)
        assert rejected["Status"] == "Rejected"
        assert not (tmp_path / "ran").exists()
        # What a host that starts says of roles counts on the worker too, whatever the first host takes.
        await start_host(runs_jobs=False, data_dir=tmp_path / "other", mode_roles={BACKGROUND: {"auditor"}})
        operator = host.caller("task_manager")

        async def is_rejected() -> bool:
            return (await operator.run("true"))["Status"] == "Rejected"

        await until_answered(is_rejected, "going by the tables of the host that has started last")


@ON_POSTGRES
async def test_a_worker_with_another_secret_does_not_start(
    start_host: StartHost, engine: HostEngine, tmp_path: Path
) -> None:
    await start_host()
    dsn = str(engine.settings["dsn"])
    async with worker(dsn, tmp_path / "worker", secret="x" * 40, is_ready=False) as there:
        assert await there.ended() == 1
    said = " ".join(there.said)
    assert "another secret" in said
    assert SECRET not in said


async def test_a_key_that_was_taken_away_is_gone_for_what_is_claimed_afterwards(postgres: str) -> None:
    kept = installation(postgres)
    kept.open()
    try:
        table = JobTable(kept.database, kept.presence.process_id, kept.signer("submission"), 5.0)
        keys = KeysAtPickUp(kept.api_keys)

        async def is_known(key_id: str) -> bool:
            keys.learn(
                time.monotonic(), table.ask(table.to_claim({}, Limits({}), 600.0, uuid.uuid4())).keys_number
            )
            return (await keys.now()).get(key_id) is not None

        with closing(installation(postgres)) as other:
            other.open()
            key, _ = other.api_keys.create(name="k", user_id="mallory", roles=["debug"])
            assert await is_known(key.key_id)
            other.api_keys.delete(key.key_id)
            assert not await is_known(key.key_id)
            key, _ = other.api_keys.create(name="k", user_id="mallory", roles=["debug"])
            keys.learn(time.monotonic() - 1.0, 2)
            assert (await keys.now()).get(key.key_id) is not None
    finally:
        kept.close()


def test_tables_of_roles_that_somebody_wrote_into_the_database_are_not_believed(
    postgres: str, tmp_path: Path
) -> None:
    kept = installation(postgres)
    kept.open()
    try:
        rights = HostRights(kept.database, kept.signer("rights"))
        assert rights.now() is None
        rights.say(JobsConfig(data_dir=tmp_path, mode_roles={BACKGROUND: {"clerk"}}))
        found = rights.now()
        assert found is not None
        assert found.modes[BACKGROUND] == {"clerk"}
        with psycopg.connect(postgres) as connection:
            row = connection.execute("SELECT rights FROM aiohttp_jobs.installation").fetchone()
            assert row is not None
            row[0]["ModeRoles"][BACKGROUND] = ["authenticated"]
            connection.execute("UPDATE aiohttp_jobs.installation SET rights = %s", (json.dumps(row[0]),))
        assert rights.now() is None
    finally:
        kept.close()


def test_a_job_is_not_led_to_a_worker_that_it_did_not_ask_for(postgres: str) -> None:
    kept = installation(postgres)
    kept.open()
    try:
        me, signer = kept.presence.process_id, kept.signer("submission")
        table = JobTable(kept.database, me, signer, 5.0, ["interpreter shell"])
        table.submit(submission(labels=("vault",)), MOST, only_here=False)
        with psycopg.connect(postgres) as connection:
            connection.execute("UPDATE aiohttp_jobs.jobs SET needs = '{}'")
        (claim,) = table.ask(table.to_claim({BACKGROUND: 1}, Limits({}), 600.0, uuid.uuid4())).claims
        assert "What this job needs was changed" in (claim.problem or "")
    finally:
        kept.close()


async def test_a_result_that_was_not_told_by_a_host_or_worker_is_not_believed(
    postgres: str, tmp_path: Path
) -> None:
    # Every role of the database may say what it likes to all who listen.
    async with AsyncExitStack() as stack:
        engine = await started(postgres, tmp_path, 30.0, stack, places=None)
        job_id = await submit(engine.queue)
        waiting = asyncio.create_task(engine.queue.end_of(job_id, PATIENCE_SECONDS))
        forged = {"JobID": job_id, "Status": "Succeeded", "Output": "forged"}
        signed = Signer(b"a key of somebody else's").sign(forged)
        with psycopg.connect(postgres, autocommit=True) as connection:
            for text in (json.dumps(forged), json.dumps(signed), "{", "[]", "1"):
                said = f"{uuid.uuid4()} progress {job_id} {text}"
                connection.execute("SELECT pg_notify('aiohttp_jobs_news', %s)", (said,))
                await asyncio.sleep(0)
        await engine.queue.cancel(job_id, cancelled_by("bob"))
        record = await waiting
    assert record is not None
    assert record["Status"] == "Cancelled"


def test_of_a_result_that_was_told_nothing_can_be_changed_nor_told_of_another_job() -> None:
    told = ToldResults(Signer(b"k" * 32))
    record = {"JobID": "one", "Output": "\ud800 done"}
    text = told.text(record)
    assert told.read("one", text) == record
    assert told.read("two", text) is None
    assert told.read("one", text.replace("done", "gone")) is None
    assert told.text({"JobID": "one", "Output": "x" * 5000}) == ""

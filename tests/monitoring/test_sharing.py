"""Passing numbers on: nothing is lost, or counted twice, whatever becomes of a try; nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from aiohttp_jobs.engine.base import NumbersOfAll
from aiohttp_jobs.engine.embedded.numbers import NumberFile
from aiohttp_jobs.errors import StorageUnavailableError
from aiohttp_jobs.monitoring import sharing
from aiohttp_jobs.monitoring.counting import LAG, SUM, JobCounts, key
from aiohttp_jobs.monitoring.sharing import Sharing
from aiohttp_jobs.system.storage_state import StorageState


class Troubled:
    """An engine whose numbers are on a disk that can be told to fail, after it has written, or to hang."""

    def __init__(self, folder: Path) -> None:
        self.numbers = self
        self.file = NumberFile(folder, folder / "Running", lambda: "me")
        self.fails = False
        self.goes_on = threading.Event()
        self.goes_on.set()

    def exchange(self, turn: int, counted: Mapping[str, float], present: Mapping[str, float]) -> NumbersOfAll:
        assert self.goes_on.wait(60)
        found = self.file.exchange(turn, counted, present)
        if self.fails:
            raise OSError("it was written, but who knows")
        return found


def made(tmp_path: Path) -> tuple[Troubled, JobCounts, Sharing]:
    engine, counts = Troubled(tmp_path), JobCounts()
    return engine, counts, Sharing(cast("Any", engine), counts, dict, StorageState(tmp_path))


async def test_what_may_have_been_written_is_not_counted_twice_and_what_came_since_not_lost(
    tmp_path: Path,
) -> None:
    engine, counts, shared = made(tmp_path)
    engine.fails = True
    counts.lagged(0.25)
    for _ in range(3):
        with pytest.raises(OSError, match="who knows"):
            await shared.of_all()
    counts.lagged(0.5)
    engine.fails = False
    assert (await shared.of_all()).counted[key(LAG, SUM)] == 0.75
    await shared.close()


async def test_a_disk_that_hangs_is_given_up_and_asked_once_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_PATIENCE_SECONDS", 0.05)
    engine, counts, shared = made(tmp_path)
    engine.goes_on.clear()
    for _ in range(3):
        counts.lagged(0.5)
        with pytest.raises(StorageUnavailableError):
            await shared.of_all()
    engine.goes_on.set()
    monkeypatch.setattr(sharing, "_PATIENCE_SECONDS", 60.0)
    assert (await shared.of_all()).counted[key(LAG, SUM)] == 1.5
    await shared.close()


@pytest.mark.parametrize(
    "found", [b"no", b"[]", b'{"Counted":{"a":"x","b":-1,"c":NaN},"Processes":{"../..":{},"p":5}}']
)
def test_whatever_a_job_writes_there_is_no_number(tmp_path: Path, found: bytes) -> None:
    numbers = NumberFile(tmp_path, tmp_path / "Running", lambda: "me")
    (tmp_path / "Metrics").mkdir()
    (tmp_path / "Metrics" / "numbers.json").write_bytes(found)
    assert {name: value for name, value in numbers.exchange(1, {"d": 2.0}, {}).counted.items() if value} == {
        "d": 2.0
    }

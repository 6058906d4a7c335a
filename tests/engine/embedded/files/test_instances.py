"""A process among others on one data folder, while they come and go."""

from __future__ import annotations

import threading
from pathlib import Path

from aiohttp_jobs.engine.embedded.files.instances import Instance


def test_a_process_that_starts_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    """However others look for dead ones meanwhile."""
    (tmp_path / "running").mkdir()
    looking = Instance(tmp_path / "running", tmp_path / "work")
    looking.open()
    found: list[Path] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            with looking.dead() as dead:
                found.extend(dead)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(300):
            other = Instance(tmp_path / "running", tmp_path / "work")
            other.open()  # raised that its lock was locked
            other.close()
    finally:
        stop.set()
        thread.join()
        looking.close()
    assert found == []

"""How often a function's progress is told."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from aiohttp_jobs.worker.functions import telling
from aiohttp_jobs.worker.functions.telling import ProgressTeller


def test_a_timer_that_comes_late_does_not_tell_what_came_after_it_too_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, told, timers = [100.0], list[str](), list[Callable[[], None]]()
    monkeypatch.setattr(telling, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def later(_seconds: float, tell: Callable[[], None]) -> telling.Timer:
        timers.append(tell)
        return SimpleNamespace(cancel=lambda: None)

    teller = ProgressTeller(told.append, later)

    def report(text: str) -> int:
        """How many have been told after it."""
        teller.report(None, text)
        return len(told)

    assert report("first") == 1
    assert report("second") == 1
    now[0] += 0.2  # the timer should have come long ago
    assert report("third") == 2
    assert report("fourth") == 2
    timers[0]()
    assert len(told) == 2
    timers[1]()
    assert "fourth" in told[2]

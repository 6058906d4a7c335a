"""Which schedules are left to other processes on the same storage, as only those have what they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from ..functions.registry import Functions
from ..model.schedule import Schedule, ScheduledFunction


class FunctionsElsewhere:
    """Goes by the `functions` of this process, and by the names of the others', which `names` tells; blocks.

    For a function that nobody has, `patience` seconds are waited: whoever has it may be starting anew.
    """

    def __init__(self, functions: Functions, names: Callable[[], Collection[str]], patience: float) -> None:
        self._functions = functions
        self._names = names
        self._patience = patience
        self._began: float | None = None

    def has(self, name: str) -> bool:
        """Whether another process that lives has a function of this name."""
        return name in self._names()

    def leaves(self, schedule: Schedule, late: float) -> bool:
        """Whether `schedule`, a moment of which passed `late` seconds ago, is another process's to fire."""
        self._began = time.monotonic() if self._began is None else self._began
        job = schedule.job
        if not isinstance(job, ScheduledFunction) or self._functions.get(job.function) is not None:
            return False
        return min(late, time.monotonic() - self._began) < self._patience or self.has(job.function)

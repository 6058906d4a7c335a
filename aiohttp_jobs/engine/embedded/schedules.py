"""Schedules as files, ``Schedules/<ScheduleID>.json``.

Which moments were fired is left to ``fired_moments``.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ...errors import TooManyKeptError
from ...model.schedule import Schedule
from .records import SignedRecords

FOLDER = "Schedules"


class ScheduleStore(SignedRecords[Schedule]):
    """The schedules below the data folder `base`. All calls block."""

    FOLDER = FOLDER
    KEY = "schedule.key"
    NOUN = "schedule"

    def __init__(self, base: Path) -> None:
        super().__init__(base, Schedule.model_validate)

    def add(self, schedule: Schedule, max_per_user: int) -> None:
        """Keep a new schedule durably. Raises `TooManyKeptError` when its owner has `max_per_user`."""

        def require_room(every: Collection[Schedule]) -> None:
            mine = sum(each.user_id == schedule.user_id for each in every)
            if mine >= max_per_user:
                raise TooManyKeptError(
                    "max_schedules_per_user",
                    most=max_per_user,
                    used=mine,
                    what="schedules",
                    advice="Delete one first.",
                )

        self.insert(schedule, require_room)

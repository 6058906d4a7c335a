"""What one process has of an engine's records, over each engine, and a process of its own that is killed.

``python -m tests.contract.records ENGINE PLACE SCHEDULE_ID`` takes the moment `START` of a schedule, leads in
sending notices, says so, and waits to be killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp_jobs.engine.base import (
    ApiKeyRecords,
    FiredMoments,
    NoticeRecords,
    RecordStore,
    SessionRecords,
)
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.engine.embedded.fired_moments import FiredMomentFiles
from aiohttp_jobs.engine.embedded.notices import NoticeStore
from aiohttp_jobs.engine.embedded.records import ScheduleStore, TemplateStore
from aiohttp_jobs.engine.embedded.session_registry import SessionRegistry
from aiohttp_jobs.model.schedule import Schedule
from aiohttp_jobs.model.template import Template

from ..engine.postgres.support import SECRET
from ..scheduling.support import START

MAX_AGE = 3600.0
MOST_SESSIONS = 3
STALL_SECONDS = 6.0  # as long as a busy machine may keep a process from being heard of
JOB_ID = "a7f3e8d9-4b2c-4f5a-9e7d-6c8b3a2f1e0d"


@dataclass
class KeptRecords:
    """What one process has."""

    schedules: RecordStore[Schedule]
    templates: RecordStore[Template]
    notices: NoticeRecords
    fired_moments: FiredMoments[Any]
    sessions: SessionRecords
    api_keys: ApiKeyRecords


StartRecords = Callable[[], KeptRecords]


def embedded(place: str, stack: ExitStack) -> KeptRecords:
    """In the data folder `place`."""
    base = Path(place)
    schedules, templates = ScheduleStore(base), TemplateStore(base)
    notices, moments = NoticeStore(base), FiredMomentFiles(base)
    sessions = SessionRegistry(base, MAX_AGE, MOST_SESSIONS)
    stack.callback(notices.step_down)
    for each in (schedules, templates, notices, moments, sessions):
        each.open()
    return KeptRecords(
        schedules, templates, notices, moments, sessions, ApiKeys(base / "Secrets" / "keys.json")
    )


def postgres(place: str, stack: ExitStack) -> KeptRecords:
    """In the database `place`."""
    from aiohttp_jobs.engine.postgres.installation import PostgresInstallation  # noqa: PLC0415 - needs psycopg

    installation = PostgresInstallation(
        place,
        SECRET.encode(),
        session_max_age=MAX_AGE,
        max_sessions_per_user=MOST_SESSIONS,
        stall_seconds=STALL_SECONDS,
    )
    installation.open()
    stack.callback(installation.close)
    for each in (installation.notices, installation.fired_moments, installation.sessions):
        each.open()
    return KeptRecords(
        installation.schedules,
        installation.templates,
        installation.notices,
        installation.fired_moments,
        installation.sessions,
        installation.api_keys,
    )


ENGINES: dict[str, Callable[[str, ExitStack], KeptRecords]] = {"embedded": embedded, "postgres": postgres}


if __name__ == "__main__":
    name, storage, schedule_id = sys.argv[1:]
    records = ENGINES[name](storage, ExitStack())
    taken = records.fired_moments.take(schedule_id, START, JOB_ID)
    print(taken is not None and records.notices.lead(), flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)

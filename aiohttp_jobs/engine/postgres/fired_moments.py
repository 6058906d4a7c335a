"""Claims on the moments of schedules, as rows. All calls block."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Lock

from ..base import FiredMoment
from .database import Database
from .presence import Presence

_KEEP_NEWEST = 10

_TAKE = """
INSERT INTO aiohttp_jobs.fired_moments (schedule_id, moment, job_id, skipped, holder)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (schedule_id, moment) DO NOTHING
"""
_TAKE_OVER = """
UPDATE aiohttp_jobs.fired_moments f SET holder = %(me)s
WHERE NOT f.is_finished AND (
    f.holder IS NULL OR f.holder = %(me)s OR NOT EXISTS (
        SELECT FROM aiohttp_jobs.processes p
        WHERE p.process_id = f.holder AND p.heard_at > clock_timestamp() - %(stall)s * interval '1 s'))
RETURNING f.schedule_id, f.moment, f.job_id, f.skipped
"""
_FORGET_DELETED = """
DELETE FROM aiohttp_jobs.fired_moments f WHERE NOT EXISTS (
    SELECT FROM aiohttp_jobs.records r WHERE r.kind = 'schedule' AND r.record_id = f.schedule_id)
"""
_FINISH = """
UPDATE aiohttp_jobs.fired_moments SET is_finished = true, holder = NULL WHERE schedule_id = %s AND moment = %s
"""
_RELEASE = """
UPDATE aiohttp_jobs.fired_moments SET holder = NULL WHERE schedule_id = %s AND moment = %s AND holder = %s
"""
# Those that no clock is wrong enough to come upon again.
_PRUNE = """
DELETE FROM aiohttp_jobs.fired_moments
WHERE schedule_id = %(schedule)s AND is_finished AND moment < %(moment)s::timestamptz - interval '1 day'
    AND moment < (
        SELECT min(moment) FROM (
            SELECT moment FROM aiohttp_jobs.fired_moments WHERE schedule_id = %(schedule)s
            ORDER BY moment DESC LIMIT %(newest)s) AS kept)
"""
_HANDLED = """
SELECT max(moment) FILTER (WHERE moment <= %(now)s), count(*) FROM aiohttp_jobs.fired_moments
WHERE schedule_id = %(schedule)s
"""


class PostgresFiredMoments:
    """The `FiredMoments` in the database. A claim is held by a process for as long as that lives."""

    def __init__(self, database: Database, presence: Presence) -> None:
        self.in_thread = database.until_done
        self._database = database
        self._presence = presence
        self._guard = Lock()
        self._held: set[tuple[str, datetime]] = set()

    def open(self) -> None:
        """Delete what deleted schedules have left."""
        self._database.change(_FORGET_DELETED)

    def take(
        self, schedule_id: str, moment: datetime, job_id: str | None, skipped: str | None = None
    ) -> FiredMoment | None:
        # When the answer is lost on the way, this process may have the moment without knowing: `take_over`
        # gives it what it has and does not hold.
        values = (schedule_id, moment, job_id, skipped, self._presence.process_id)
        with self._guard:
            if not self._database.change(_TAKE, values):
                return None
            self._held.add((schedule_id, moment))
        return FiredMoment(schedule_id, moment, job_id, skipped)

    def take_over(self) -> list[FiredMoment]:
        values = {"me": self._presence.process_id, "stall": self._presence.stall_seconds}
        with self._guard:
            found = [
                FiredMoment(str(schedule_id), moment.astimezone(UTC), job_id and str(job_id), skipped)
                for schedule_id, moment, job_id, skipped in self._database.rows(_TAKE_OVER, values)
            ]
            taken = [each for each in found if (each.schedule_id, each.moment) not in self._held]
            self._held.update((each.schedule_id, each.moment) for each in taken)
        return sorted(taken, key=lambda each: each.moment)

    def any_unfinished(self) -> bool:
        return bool(
            self._database.rows("SELECT FROM aiohttp_jobs.fired_moments WHERE NOT is_finished LIMIT 1")
        )

    def finish(self, claim: FiredMoment) -> None:
        with self._guard:
            self._database.change(_FINISH, (claim.schedule_id, claim.moment))
            self._held.discard((claim.schedule_id, claim.moment))
        values = {"schedule": claim.schedule_id, "moment": claim.moment, "newest": _KEEP_NEWEST}
        self._database.change(_PRUNE, values)

    def release(self, claim: FiredMoment) -> None:
        with self._guard:
            self._held.discard((claim.schedule_id, claim.moment))
            self._database.change(_RELEASE, (claim.schedule_id, claim.moment, self._presence.process_id))

    def handled_until(self, schedule_id: str, now: datetime) -> datetime | None:
        past, count = self._database.rows(_HANDLED, {"schedule": schedule_id, "now": now})[0]
        if past is not None:
            until: datetime = past.astimezone(UTC)
            return until
        return now if count else None

    def forget(self, schedule_id: str) -> None:
        self._database.change("DELETE FROM aiohttp_jobs.fired_moments WHERE schedule_id = %s", (schedule_id,))

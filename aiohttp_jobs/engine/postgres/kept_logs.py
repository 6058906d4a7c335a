"""KeptLogs: the outputs of ended attempts that this process keeps on its disk, as they are too long for the
database. Giving them to others is left to ``log_exchange``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from ...system.owned_tasks import end_tasks
from ...system.storage_state import free_bytes
from ...worker.output.segments import kept_spans
from ..running.outputs import FilesOutput
from .database import Database, DatabaseUnavailableError
from .jobs import Claim, StaleClaimError
from .run_folders import VERDICT, RunFolders, RunningFolders

_LOOK_SECONDS = 300.0
_ROOM_SECONDS = 20.0
_KEEP = """
INSERT INTO aiohttp_jobs.kept_logs (job_id, attempt, user_id, process_id)
SELECT job_id, attempt, user_id, %(me)s::uuid FROM aiohttp_jobs.jobs
WHERE job_id = %(job_id)s AND fence = %(fence)s AND process_id = %(holder)s AND state = 'running'
ON CONFLICT (job_id, attempt) DO UPDATE SET process_id = excluded.process_id
"""
_FORGET = """
DELETE FROM aiohttp_jobs.kept_logs k USING unnest(%s::uuid[], %s::smallint[]) AS gone (job_id, attempt)
WHERE k.job_id = gone.job_id AND k.attempt = gone.attempt AND k.process_id = %s
"""
_DELETED = """
SELECT job_id::text, attempt FROM aiohttp_jobs.kept_logs
WHERE process_id = %s AND NOT aiohttp_jobs.is_known_1(job_id)
"""
_FORGET_DEAD = """
DELETE FROM aiohttp_jobs.kept_logs k
WHERE NOT EXISTS (SELECT FROM aiohttp_jobs.processes p WHERE p.process_id = k.process_id)
"""
_logger = logging.getLogger(__name__)

Key = tuple[str, int]
"""A job's id, and which attempt."""


@dataclass(slots=True)
class _Kept:
    user_id: str
    size: int
    run_dir: str
    has_ended: bool = False
    """Its verdict is given: until then the folder is needed for that."""


class KeptLogs:
    """Of the process `me`: at most `most` bytes in all, and only while `min_free` bytes are free on the disk.

    When there is no room, the oldest goes of whoever has most. An output goes with its result, and with this
    process.
    """

    def __init__(
        self, database: Database, me: str, folders: RunningFolders, *, most: int, min_free: int
    ) -> None:
        self._database = database
        self._me = me
        self._folders = folders
        self._most = most
        self._min_free = min_free
        self._kept: dict[Key, _Kept] = {}
        self._look = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._keep_looking(), name="aiohttp-jobs-kept-logs")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await end_tasks([self._task], 0.0)

    def find(self, job_id: str, attempt: int) -> FilesOutput | None:
        """The whole output of an attempt, if it is here."""
        kept = self._kept.get((job_id, attempt))
        return None if kept is None else FilesOutput(f"{kept.run_dir}/log", kept.size, attempt)

    async def keep(self, claim: Claim, attempt: int, user_id: str, folders: RunFolders) -> None:
        """Keep the log in the folders of an attempt that is about to end, if there is room.

        Raises `StaleClaimError` when the job is this process's no longer, and ``OSError``.
        """
        key, run_dir = (claim.job_id, attempt), folders.run_dir
        size, room = await asyncio.to_thread(self._measure, run_dir)
        if key not in self._kept:
            gone = self._in_the_way(user_id, size, room)
            if gone is None:
                return
            self._kept[key] = _Kept(user_id, size, run_dir)
            await self.forget(*gone)
        values = {
            "me": self._me,
            "job_id": claim.job_id,
            "fence": claim.fence,
            "holder": claim.holder or self._me,
        }
        if not await self._database.in_thread(self._database.change, _KEEP, values):
            raise StaleClaimError(claim.job_id)

    def without_kept(self, folders: RunFolders) -> RunFolders:
        """What of an attempt's folders may be removed once its verdict is given."""
        for kept in self._kept.values():
            if kept.run_dir == folders.run_dir:
                kept.has_ended = True
                # A verdict that was kept there, too: the next process would give it again.
                return RunFolders(f"{folders.run_dir}/{VERDICT}", folders.job_dir)
        return folders

    async def forget(self, *keys: Key) -> None:
        """Remove these, of whose results there is none. Does not fail."""
        if gone := [key for key in keys if key in self._kept]:
            for key in gone:
                self._folders.remove(RunFolders(self._kept.pop(key).run_dir, ""))
            jobs, attempts = [job_id for job_id, _ in gone], [attempt for _, attempt in gone]
            with suppress(DatabaseUnavailableError):  # who asks for them hears that they are not here
                await self._database.in_thread(self._database.change, _FORGET, (jobs, attempts, self._me))

    def deleted(self, job_id: str) -> None:
        """A result was deleted; an empty id: some were."""
        if self._kept and (not job_id or any(job_id == each for each, _ in self._kept)):
            self._look.set()

    def _measure(self, run_dir: str) -> tuple[int, int]:
        """How many bytes there are, and how many more may be. Blocks."""
        size = sum(span.stop - span.start for span in kept_spans(f"{run_dir}/log"))
        return size, self._room(run_dir)

    def _room(self, run_dir: str) -> int:
        return free_bytes(run_dir) - self._min_free

    def _in_the_way(self, user_id: str, size: int, room: int) -> list[Key] | None:
        """What has to go so that there is room for one more; ``None``: that one is the largest itself."""
        used = Counter({user_id: size})
        for each in self._kept.values():
            used[each.user_id] += each.size
        # The new one lies on the disk already.
        too_much = max(used.total() - self._most, -room)
        gone: list[Key] = []
        while too_much > 0:
            largest, _ = used.most_common(1)[0]
            theirs = [key for key, each in self._kept.items() if each.user_id == largest and each.has_ended]
            oldest = next((key for key in theirs if key not in gone), None)
            if oldest is None:
                return None
            gone.append(oldest)
            used[largest] -= self._kept[oldest].size
            too_much -= self._kept[oldest].size
        return gone

    async def _give_room(self) -> None:
        """Let go of what keeps the disk from having the room that jobs are to have."""
        newest = next(reversed(self._kept.values()), None)
        if newest is None:
            return
        with suppress(OSError):  # a job has removed it
            room = await asyncio.to_thread(self._room, newest.run_dir)
            await self.forget(*(self._in_the_way("", 0, room) or ()))

    async def _keep_looking(self) -> None:
        """Remove now and then what was deleted, and rows of processes that have ended."""
        clock = asyncio.get_running_loop().time
        due = clock() + _LOOK_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_ROOM_SECONDS):
                    await self._look.wait()
            try:
                await self._give_room()
                if not self._look.is_set() and clock() < due:
                    continue
                self._look.clear()
                due = clock() + _LOOK_SECONDS
                await self._database.in_thread(self._database.change, _FORGET_DEAD)
                if self._kept:
                    gone = await self._database.in_thread(self._database.rows, _DELETED, (self._me,))
                    await self.forget(*((job_id, attempt) for job_id, attempt in gone))
            except DatabaseUnavailableError as error:
                _logger.debug("Cannot look for outputs that are kept and were deleted: %s", error)
            except Exception:
                _logger.exception("Cannot look for outputs that are kept and were deleted")

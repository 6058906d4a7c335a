"""Copies of outputs, in chunks in the database: for watchers on other machines, and for outputs too long for
a result.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...model.job import JobStatus
from ...model.output import CHUNK, OutputPart, Span
from ...model.progress import Progress
from ...system.atomic import make_folder
from ...worker.output.log import OutputLog
from ...worker.output.segments import SegmentWriter, of_whole_characters, read_segments
from ..base import StopReason
from ..running.active import ActiveJob
from .database import Database, DatabaseUnavailableError
from .jobs import IS_MINE, Claim, StaleClaimError
from .telling import Teller

_COPY_SECONDS = 0.25
_WATCHED_SECONDS = 12.0
_PROGRESS_SECONDS = 1.0
_AT_ONCE = 16 * CHUNK
_MOST_SEGMENTS = 100_000
_TAKEN = StopReason(JobStatus.INTERRUPTED, "The job was stopped because another server has taken it over.")
_logger = logging.getLogger(__name__)

_NOTE = (
    """
UPDATE aiohttp_jobs.jobs SET pid = %(pid)s, output_size = %(size)s, progress = %(progress)s::json
WHERE """
    + IS_MINE
)
# Of a put whose answer was lost the last piece is there already; by now there is more of it.
_PUT = """
INSERT INTO aiohttp_jobs.output_chunks (job_id, attempt, start, data)
SELECT %(job_id)s, %(attempt)s, piece.start, piece.data
FROM unnest(%(starts)s::bigint[], %(pieces)s::bytea[]) AS piece (start, data)
ON CONFLICT (job_id, attempt, start) DO UPDATE SET data = excluded.data
WHERE length(output_chunks.data) < length(excluded.data)
"""
_DROP_MIDDLE = """
DELETE FROM aiohttp_jobs.output_chunks
WHERE job_id = %s AND attempt = %s AND start >= %s AND start + length(data) < %s
"""
# From the piece that has the offset, or the first one behind it.
_READ = """
SELECT start, data FROM aiohttp_jobs.output_chunks
WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND start + length(data) > %(offset)s
    AND start >= coalesce((
    SELECT max(start) FROM aiohttp_jobs.output_chunks
    WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND start <= %(offset)s), 0)
ORDER BY start LIMIT %(limit)s
"""
_SPANS = """
SELECT min(start), max(stop) FROM (
    SELECT start, stop, sum(is_first) OVER (ORDER BY start) AS stretch FROM (
        SELECT start, start + length(data) AS stop,
            (start IS DISTINCT FROM lag(start + length(data)) OVER (ORDER BY start))::int AS is_first
        FROM aiohttp_jobs.output_chunks WHERE job_id = %s AND attempt = %s
    ) AS pieces
) AS stretches GROUP BY stretch ORDER BY 1
"""


class OutputChunks:
    """The pieces of all jobs; `most` bytes of each attempt are kept, half from the start, half from the end.

    While nobody watches, the first `unwatched` bytes are. All calls block. Writing is this process's, `me`,
    for the jobs that it has.
    """

    def __init__(self, database: Database, me: str, most: int, unwatched: int = 1 << 16) -> None:
        self.unwatched = min(unwatched, most // 2)
        self._database = database
        self._me = me
        self._half = most // 2
        self._teller = Teller(database, me)
        self.in_thread = database.in_thread

    def next_start(self, copied: int, size: int) -> int:
        """Where copying goes on after `copied` bytes of `size`: what would not be kept is left out."""
        return copied if copied < self._half else max(copied, size - self._half)

    def put(
        self,
        claim: Claim,
        attempt: int,
        part: OutputPart,
        pid: int | None = None,
        progress: Progress | None = None,
        tell: Sequence[str] = (),
    ) -> None:
        """Append the next chunk and record the job's state; `tell` is sent to the other processes. Raises
        `StaleClaimError`.
        """
        start, data = part.offset, part.data
        starts = list(range(start, start + len(data), CHUNK))
        size = start + len(data)
        values = {
            "job_id": claim.job_id,
            "fence": claim.fence,
            "me": claim.holder or self._me,
            "attempt": attempt,
            "pid": pid,
            "size": size,
            "progress": None if progress is None else json.dumps(asdict(progress)),
            "starts": starts,
            "pieces": [data[each - start : each - start + CHUNK] for each in starts],
        }
        with self._database.transaction() as connection:
            if not connection.execute(_NOTE, values).rowcount:
                raise StaleClaimError(claim.job_id)
            if data:
                connection.execute(_PUT, values)
        if size > 2 * self._half:
            self._database.change(_DROP_MIDDLE, (claim.job_id, attempt, self._half, size - self._half))
        for news in tell:
            self._teller.note(news, claim.job_id)
        if tell:
            self._teller.tell()

    def read(self, job_id: str, attempt: int, offset: int, most: int, *, whole: bool) -> OutputPart:
        """From `offset` on, or from where the output goes on behind a gap; at most `most` bytes."""
        values = {"job_id": job_id, "attempt": attempt, "offset": offset, "limit": most // CHUNK + 2}
        data, at = b"", None
        for start, piece in self._database.rows(_READ, values):
            if at is None:
                at = max(start, offset)
                data = bytes(piece)[at - start :]
            elif start == at + len(data):
                data += bytes(piece)
            else:
                break
        if at is None:
            return OutputPart(offset, b"")
        part = OutputPart(at, data)
        return of_whole_characters(part, offset, most) if whole else OutputPart(at, data[:most])

    def leaves_out(self, size: int) -> bool:
        """Whether some of an output of so many bytes is not kept here."""
        return size > 2 * self._half

    def write_out(self, job_id: str, attempt: int, folder: str) -> None:
        """Write what was copied of an attempt to the new `folder`, up to the first gap, as its log was."""
        make_folder(Path(folder))
        writer = SegmentWriter(folder, _MOST_SEGMENTS, _MOST_SEGMENTS, 0)
        try:
            while True:
                part = self.read(job_id, attempt, writer.written, _AT_ONCE, whole=False)
                if not part.data or part.offset != writer.written:
                    return
                writer.write(part.data)
        finally:
            writer.close()

    def spans(self, job_id: str, attempt: int) -> list[Span]:
        """The stretches that are kept."""
        return [Span(start, stop) for start, stop in self._database.rows(_SPANS, (job_id, attempt))]


class OutputCopy:
    """Copies the output of one attempt to the database, up to a quarter of a second late.

    While nobody watches, only its beginning is copied, so that something is left if this process dies, and
    its progress. `finish` copies what is to be kept.
    """

    def __init__(self, chunks: OutputChunks, claim: Claim, attempt: int) -> None:
        self._chunks = chunks
        self._claim = claim
        self._attempt = attempt
        self._watched_until = float("-inf")
        self._noted: tuple[int | None, Progress | None] = (None, None)
        self._noted_at = float("-inf")
        self._active: ActiveJob[Any] | None = None
        self.copied = 0
        """So much of the output, in bytes, is known to others: it outlives this process."""

    def watch(self) -> None:
        """Somebody watches, for some seconds from now on."""
        was_watched, self._watched_until = self._is_watched, time.monotonic() + _WATCHED_SECONDS
        if not was_watched and self._active is not None:
            self._active.notify()

    @asynccontextmanager
    async def kept_up(self, active: ActiveJob[Any]) -> AsyncIterator[None]:
        """While the block runs, what `active` prints is copied. A refusal to take it stops the job."""
        self._active = active
        task = asyncio.create_task(self._keep_up(active))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def finish(self, run_dir: str, size: int) -> None:
        """Copy what is to be kept of `size` bytes from the folder of the run.

        Raises `StaleClaimError` and ``OSError``.
        """
        while True:
            start = self._chunks.next_start(self.copied, size)
            part = await asyncio.to_thread(read_segments, f"{run_dir}/log", start, _AT_ONCE, whole=False)
            if not part.data:
                return
            await self._put(part)

    @property
    def _is_watched(self) -> bool:
        return time.monotonic() < self._watched_until

    def _wanted(self, log: OutputLog) -> int:
        """Up to where the output is to be copied now."""
        return log.size if self._is_watched else min(log.size, self._chunks.unwatched)

    async def _keep_up(self, active: ActiveJob[Any]) -> None:
        while True:
            change = active.next_change()
            log = active.log
            if log is None or not self._has_news(log, active):
                await asyncio.wait([change])
                continue
            if not self._is_watched:
                await asyncio.sleep(_COPY_SECONDS)  # what ends by then is not copied at all
            try:
                await self._copy(log, active)
                await self._note(active)
                active.notify()
            except DatabaseUnavailableError:
                pass  # said by those who renew this process's sign of life; tried again
            except StaleClaimError:
                active.stop(_TAKEN)
                return
            except Exception:
                _logger.exception("The output of job %s cannot be copied", self._claim.job_id)
            if self._is_watched:
                await asyncio.sleep(_COPY_SECONDS)

    def _has_news(self, log: OutputLog, active: ActiveJob[Any]) -> bool:
        return self.copied < self._wanted(log) or active.progress != self._noted[1]

    async def _note(self, active: ActiveJob[Any]) -> None:
        """Let the others see how far the job is, once in a second at most."""
        if active.progress != self._noted[1] and time.monotonic() > self._noted_at + _PROGRESS_SECONDS:
            self._noted_at = time.monotonic()
            self._noted = active.worker, active.progress
            await self._put(OutputPart(self.copied, b""), "output", "progress")

    async def _copy(self, log: OutputLog, active: ActiveJob[Any]) -> None:
        while self.copied < (wanted := self._wanted(log)):
            start = self._chunks.next_start(self.copied, log.size)
            most = min(_AT_ONCE, wanted - start)
            part = log.read(start, most, whole=False)
            if part is None:
                part = await asyncio.to_thread(log.read_files, start, most, whole=False)
            if not part.data:
                return
            self._noted = active.worker, self._noted[1]
            await self._put(part, *(["output"] if self._is_watched else []))

    async def _put(self, part: OutputPart, *tell: str) -> None:
        pid, progress = self._noted
        await self._chunks.in_thread(self._chunks.put, self._claim, self._attempt, part, pid, progress, tell)
        self.copied = part.offset + len(part.data)

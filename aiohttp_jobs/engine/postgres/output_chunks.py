"""What jobs print, in pieces in the database: for who watches elsewhere, and what results have no room for.

Reading an output piece by piece is left to ``outputs``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ...model.job import JobStatus
from ...model.output import CHUNK, OutputPart, Span
from ...system.atomic import make_folder
from ...worker.output.log import OutputLog
from ...worker.output.segments import SegmentWriter, drop_partial_start, read_segments, whole_characters
from ..base import StopReason
from ..running.active import ActiveJob
from .database import Database, DatabaseUnavailableError
from .jobs import IS_MINE, Claim, GivenUpError, notify

_COPY_SECONDS = 0.25
_AT_ONCE = 16 * CHUNK
_MOST_SEGMENTS = 100_000
_TAKEN = StopReason(JobStatus.INTERRUPTED, "The job was stopped because another server has taken it over.")
_logger = logging.getLogger(__name__)

_NOTE = "UPDATE aiohttp_jobs.jobs SET pid = %(pid)s, output_size = %(size)s WHERE " + IS_MINE  # noqa: S608 - of constants
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

    All calls block. Writing is this process's, `me`, for the jobs that it has.
    """

    def __init__(self, database: Database, me: str, most: int) -> None:
        self._database = database
        self._me = me
        self._half = most // 2
        self.in_thread = database.in_thread

    def put(self, claim: Claim, attempt: int, start: int, data: bytes, pid: int | None) -> None:
        """Add what follows, from `start` on. Raises `GivenUpError`."""
        starts = list(range(start, start + len(data), CHUNK))
        size = start + len(data)
        values = {
            "job_id": claim.job_id,
            "fence": claim.fence,
            "me": self._me,
            "attempt": attempt,
            "pid": pid,
            "size": size,
            "starts": starts,
            "pieces": [data[each - start : each - start + CHUNK] for each in starts],
        }
        with self._database.transaction() as connection:
            if not connection.execute(_NOTE, values).rowcount:
                raise GivenUpError(claim.job_id)
            connection.execute(_PUT, values)
            notify(connection, f"{self._me} output {claim.job_id}")
        if size > 2 * self._half:
            self._database.change(_DROP_MIDDLE, (claim.job_id, attempt, self._half, size - self._half))

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
        if at > offset and whole:
            clean = drop_partial_start(data)
            at, data = at + len(data) - len(clean), clean
        return OutputPart(at, whole_characters(data, most) if whole else data[:most])

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
    """Puts what one attempt prints into the database, behind it by a quarter of a second."""

    def __init__(self, chunks: OutputChunks, claim: Claim, attempt: int) -> None:
        self._chunks = chunks
        self._claim = claim
        self._attempt = attempt
        self.copied = 0
        """So much of the output, in bytes, is known to others: it outlives this process."""

    @asynccontextmanager
    async def kept_up(self, active: ActiveJob[Any]) -> AsyncIterator[None]:
        """While the block runs, what `active` prints is copied. A refusal to take it stops the job."""
        task = asyncio.create_task(self._keep_up(active))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def finish(self, run_dir: str) -> None:
        """Copy the rest from the folder of the run. Raises `GivenUpError` and ``OSError``."""
        while True:
            part = await asyncio.to_thread(
                read_segments, f"{run_dir}/log", self.copied, _AT_ONCE, whole=False
            )
            if not part.data:
                return
            await self._put(part, None)

    async def _keep_up(self, active: ActiveJob[Any]) -> None:
        while True:
            change = active.next_change()
            log = active.log
            if log is None or self.copied >= log.size:
                await asyncio.wait([change])
                continue
            try:
                await self._copy(log, active.worker)
                active.notify()
            except DatabaseUnavailableError:
                pass  # said by those who renew this process's sign of life; tried again
            except GivenUpError:
                active.stop(_TAKEN)
                return
            except Exception:
                _logger.exception("The output of job %s cannot be copied", self._claim.job_id)
            await asyncio.sleep(_COPY_SECONDS)

    async def _copy(self, log: OutputLog, pid: int | None) -> None:
        while self.copied < log.size:
            part = log.read(self.copied, _AT_ONCE, whole=False)
            if part is None:
                part = await asyncio.to_thread(log.read_files, self.copied, _AT_ONCE, whole=False)
            if not part.data:
                return
            await self._put(part, pid)

    async def _put(self, part: OutputPart, pid: int | None) -> None:
        await self._chunks.in_thread(
            self._chunks.put, self._claim, self._attempt, part.offset, part.data, pid
        )
        self.copied = part.offset + len(part.data)

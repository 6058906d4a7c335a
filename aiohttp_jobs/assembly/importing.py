"""Moves a stopped installation from its data folder into a PostgreSQL database: ``aiohttp-jobs db import``.

Can be repeated: what is in the database already is left unchanged. Sessions are not moved; users sign in
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.base import JobOutput
from ..engine.embedded.api_keys import ApiKeys
from ..engine.embedded.files.instances import count_running
from ..engine.embedded.files.layout import Layout
from ..engine.embedded.fired_moments import FiredMomentFiles
from ..engine.embedded.notices import NoticeStore
from ..engine.embedded.outputs import EmbeddedOutputs
from ..engine.embedded.records import ScheduleStore, TemplateStore
from ..engine.embedded.store import FileSystemStore
from ..engine.postgres import postgres_needed
from ..errors import ConfigurationError, ForbiddenError
from ..model.job import Submission, utc_now
from ..model.notice import NoticeState
from ..model.results import ResultFilter, Sort
from ..notify.outbox import Outbox
from ..system.app_folder import APP_FOLDER
from ..system.derived_keys import InstallationKeys
from ..system.jsontext import loads
from ..system.secret_box import Vault
from ..system.storage_state import StorageState

if TYPE_CHECKING:
    from ..engine.postgres.imports import PostgresImport

_AT_ONCE = 100
_PIECE = 1024 * 1024
_LARGEST_SUBMISSION = 64 * 1024 * 1024
MOVED = "Moved"
"""The folder, beside ``JobSubmission``, for what waited, to be run or sent: not here as well."""


@dataclass
class ImportCount:
    """How many records of one kind were imported, were there already, or were left out because they cannot be
    used.
    """

    new: int = 0
    known: int = 0
    refused: int = 0

    def add(self, is_new: bool) -> None:
        if is_new:
            self.new += 1
        else:
            self.known += 1


def import_data_dir(data_dir: Path, dsn: str, secret: str) -> dict[str, ImportCount]:
    """Import everything into the database; return the counts by kind.

    Raises `ConfigurationError` when a host still runs on the folder or has left running jobs behind, and when
    the database cannot be used. Blocks.
    """
    base = data_dir.absolute() / APP_FOLDER
    if not base.is_dir():
        raise ConfigurationError(f"There is no installation below {data_dir}: {base} is missing.")
    if count_running(Layout(base).running):
        raise ConfigurationError(
            f"A host runs on {base}. Stop it, and all others on that folder, and import again."
        )
    return asyncio.run(_import(base, data_dir, dsn, secret))


async def _import(base: Path, data_dir: Path, dsn: str, secret: str) -> dict[str, ImportCount]:
    with postgres_needed():
        from ..engine.postgres.imports import PostgresImport  # noqa: PLC0415 - psycopg may be missing
    keys = InstallationKeys(base, secret)
    if await asyncio.to_thread(keys.has_secret):
        await asyncio.to_thread(keys.require_same_secret)
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(PostgresImport(dsn, secret.encode()))
        moving = _Moving(base, data_dir, keys, target)
        await moving.open(stack)
        counts = await moving.move()
    # Without the secret no host starts on the folder from now on: what it has would run there as well.
    await asyncio.to_thread(keys.require_same_secret)
    return counts


class _Moving:
    """One installation below `base` on its way to `target`."""

    def __init__(self, base: Path, data_dir: Path, keys: InstallationKeys, target: PostgresImport) -> None:
        # With `keys`, what key files signed and encrypted is believed beside what the secret did.
        self._base = base
        self._target = target
        self._vault = Vault(keys)
        self._store = FileSystemStore(
            base, max_submission_bytes=_LARGEST_SUBMISSION, allow_unsigned=False, keys=keys
        )
        self._outputs = EmbeddedOutputs(self._store, lambda job_id: None)
        self._schedules, self._templates = ScheduleStore(base, keys), TemplateStore(base, keys)
        self._moments = FiredMomentFiles(base)
        self._notices = NoticeStore(base)
        self._api_keys = ApiKeys.in_data_dir(data_dir)
        self.counts = {
            name: ImportCount()
            for name in ("results", "notices", "waiting", "schedules", "templates", "api_keys")
        }

    async def open(self, stack: AsyncExitStack) -> None:
        await asyncio.to_thread(self._vault.open)
        await self._store.open()
        stack.push_async_callback(self._store.close)
        if lost := await self._store.lost():
            raise ConfigurationError(
                f"{len(lost)} jobs were running when the host of {self._base} died. Start it once more, and "
                "stop it when they have their results; then import again."
            )
        for records in (self._schedules, self._templates, self._notices):
            await asyncio.to_thread(records.open)

    async def move(self) -> dict[str, ImportCount]:
        await asyncio.to_thread(self._move_records)
        await self._move_results()
        await self._move_notices()
        await self._move_waiting()
        return self.counts

    def _move_records(self) -> None:
        """Keys first: without them nobody could see the rest."""
        now, counts = utc_now(), self.counts
        for key in self._api_keys.all():
            counts["api_keys"].add(self._target.keep_api_key(key))
        for template in self._templates.all():
            counts["templates"].add(self._target.keep_template(template))
        for schedule in self._schedules.all():
            handled = self._moments.handled_until(schedule.record_id, now)
            counts["schedules"].add(self._target.keep_schedule(schedule, handled))

    async def _move_results(self) -> None:
        """Oldest first."""
        await self._store.results.catch_up()
        cursor: str | None = None
        while True:
            page = await self._store.results.page(
                ResultFilter(None), Sort.COMPLETED, cursor, _AT_ONCE, outputs=True
            )
            for text in page.records:
                await self._move_result(loads(text))
            if (cursor := page.cursor) is None:
                return

    async def _move_result(self, record: dict[str, Any]) -> None:
        count = self.counts["results"]
        if await self._target.has_result(record["JobID"]):
            count.known += 1
            return
        earlier = await self._store.attempts_of(record)
        submission = await self._store.submission_of(record)
        sealed = None if submission is None else self._sealed_anew(submission)
        try:
            count.add(
                await self._target.keep_result(record, earlier, sealed, self._pieces([*earlier, record]))
            )
        except (ValueError, KeyError):  # somebody has written it by hand
            count.refused += 1

    async def _pieces(self, records: list[dict[str, Any]]) -> AsyncIterator[tuple[int, int, bytes]]:
        """The outputs that lie beside results, which have not all of them."""
        for record in records:
            if not record.get("OutputTruncated"):
                continue
            output = self._outputs.kept(record)
            for span in await output.spans():
                async for start, data in _read(output, span.start, span.stop):
                    yield output.attempt, start, data

    async def _move_notices(self) -> None:
        """After the results, which they tell of. One not sent yet is put aside: it is to be sent once."""
        outbox = Outbox(self._notices, self._store, storage=StorageState(self._base))
        await outbox.settle(at_once=True)  # what a host that died had prepared
        outbox.close()
        await asyncio.to_thread(self._move_settled_notices)

    def _move_settled_notices(self) -> None:
        for known in self._notices.all():
            notice = self._notices.get(known.notice_id)
            self.counts["notices"].add(self._target.keep_notice(notice))
            if notice.state is NoticeState.PENDING:
                self._put_aside(self._base / NoticeStore.FOLDER / f"{notice.notice_id}.json")

    async def _move_waiting(self) -> None:
        """Each is put aside when it is in the database: it would run twice, were it in both."""
        count, known = self.counts["waiting"], set[str]()
        while True:
            found = await self._store.scan(known)
            for pending in found.jobs:
                known.add(pending.key)
                submission = await self._store.current_submission(pending.job_id)
                if pending.problem is not None or submission is None:
                    count.refused += 1
                    continue
                earlier = await self._store.attempts(submission)
                sealed = self._sealed_anew(submission)
                count.add(await asyncio.to_thread(self._target.keep_waiting, sealed, earlier))
                await asyncio.to_thread(self._put_aside, Path(pending.key))
            if not found.there_are_more:
                return

    def _put_aside(self, path: Path) -> None:
        folder = self._base / MOVED / path.parent.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.rename(folder / path.name)

    def _sealed_anew(self, submission: Submission) -> Submission:
        """With its secret values encrypted by the key that the database's hosts have."""
        if submission.sealed_values is None:
            return submission
        try:
            values = self._vault.unseal(submission.job_id, submission.sealed_values)
        except ForbiddenError:  # it is told so, should it run
            return submission
        sealed = self._vault.seal(submission.job_id, values)
        return submission.model_copy(update={"sealed_values": sealed})


async def _read(output: JobOutput, start: int, stop: int) -> AsyncIterator[tuple[int, bytes]]:
    while start < stop:
        part = await output.read(start, min(stop - start, _PIECE), whole=False)
        if part.offset != start or not part.data:
            return
        yield start, part.data
        start += len(part.data)

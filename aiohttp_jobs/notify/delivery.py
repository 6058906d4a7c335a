"""Delivery: the task that sends notices: when, how many at once, how often to retry, and how long to keep
them.

Channels send single notices; the outbox supplies them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import zip_longest

from ..config import JobsConfig
from ..engine.base import NoticeRecords
from ..errors import NotFoundError
from ..model.job import utc_now
from ..model.notice import Notice, NoticeState
from ..system.owned_tasks import end_tasks
from ..system.storage_state import StorageState, retry_until_written
from .channel import Channel, DeliveryError
from .outbox import Outbox

# Few to the one mail server; and one kind that does not get through holds up no other.
_AT_ONCE, _PER_USER = 16, 8
_MAILS_AT_ONCE, _MAILS_PER_USER = 3, 2
_MAX_WAIT_SECONDS = 3600.0
_MARGIN_SECONDS = 5.0
_CLEAN_SECONDS = 600.0
_CLOSE_SECONDS = 5.0
_logger = logging.getLogger(__name__)


class Delivery:
    """Sends the notices in `store`; of several processes that share it, one at a time is active.

    Looks every `interval` seconds (the configured interval by default), and at once when woken. Users take
    turns, so a receiver that does not respond delays only its own user. Delivery is at least once: after a
    crash between sending and recording it, a notice is sent again with the same id.
    """

    def __init__(
        self,
        config: JobsConfig,
        store: NoticeRecords,
        outbox: Outbox,
        channels: Mapping[str, Channel],
        interval: float | None = None,
        *,
        storage: StorageState,
    ) -> None:
        self._config = config
        self._interval = config.poll_interval if interval is None else interval
        self._store = store
        self._outbox = outbox
        self._storage = storage
        self._channels = channels
        self._wake = asyncio.Event()
        self._closing = False
        self._is_behind = True
        self._loop_task: asyncio.Task[None] | None = None
        self._sending: dict[str, asyncio.Task[bool]] = {}
        self._busy: Counter[str] = Counter()
        self._busy_of: Counter[tuple[str, str]] = Counter()
        self._served: dict[str, int] = {}
        self._started = 0
        self._next_cleaning = 0.0

    async def open(self) -> None:
        await self._store.in_thread(self._store.open)
        for channel in self._channels.values():
            await channel.open()
        self._loop_task = asyncio.create_task(self._run(), name="aiohttp-jobs-notices")

    def wake(self) -> None:
        """Look at once, because there is something to send."""
        self._wake.set()

    look_soon = wake

    def has_news(self) -> bool:
        """Whether a look would find unplanned changes. Blocks."""
        return self._store.lead() and (self._is_behind or self._store.has_changed())

    def begin_closing(self) -> None:
        """Start sending nothing more. Unsent notices are sent after the next start."""
        self._closing = True
        self._wake.set()

    async def close(self) -> None:
        """Wait up to 5 s for notices that are being sent."""
        self.begin_closing()
        if self._loop_task is not None:
            await end_tasks({self._loop_task}, _CLOSE_SECONDS)
        await end_tasks(self._sending.values(), _CLOSE_SECONDS)
        try:
            await self._store.in_thread(self._store.step_down)
        except OSError as error:
            _logger.warning("Others send notices once they find that this process has ended: %s", error)
        self._outbox.close()
        for channel in self._channels.values():
            await channel.close()

    async def _run(self) -> None:
        is_first = True
        while not self._closing:
            pause = self._interval
            try:
                pause = await self._look(is_first=is_first)
                is_first = False
            except Exception as error:
                self._is_behind = True
                self._storage.report(error, _logger, "Cannot look for notices; trying again soon")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            self._wake.clear()

    async def _look(self, *, is_first: bool) -> float:
        """Start sending what is due; the seconds until the next look."""
        interval = self._interval
        self._is_behind = False
        if not await self._store.in_thread(self._store.lead):
            self._is_behind = True
            return interval
        await self._settle(at_once=is_first)
        notices = await self._store.in_thread(self._store.all)
        if time.monotonic() >= self._next_cleaning:
            await self._store.in_thread(self._clean, notices)
            self._next_cleaning = time.monotonic() + _CLEAN_SECONDS
        now = utc_now()
        waiting = [
            each
            for each in notices
            if each.state is NoticeState.PENDING and each.notice_id not in self._sending
        ]
        self._send([each for each in waiting if _due_at(each) <= now])
        following = min((_due_at(each) for each in waiting if _due_at(each) > now), default=None)
        if following is None:
            return interval
        return max(0.0, min(interval, (following - now).total_seconds()))

    def _send(self, due: list[Notice]) -> None:
        """Start as many as may be sent at once. Users take turns, whoever was served longest ago first."""
        lines: defaultdict[tuple[str, str], list[Notice]] = defaultdict(list)
        for notice in sorted(due, key=lambda each: (_due_at(each), each.notice_id)):
            line = lines[notice.user_id, notice.channel]
            if len(line) < _most_per_user(notice.channel):
                line.append(notice)
        self._served = {user: self._served.get(user, 0) for user, _ in lines}
        order = sorted(lines, key=lambda line: self._served[line[0]])
        for turn in zip_longest(*(lines[line] for line in order)):
            for notice in filter(None, turn):
                self._start_if_there_is_room(notice)

    def _start_if_there_is_room(self, notice: Notice) -> None:
        channel, user = notice.channel, notice.user_id
        if self._closing or self._busy[channel] >= _most_at_once(channel):
            return
        if self._busy_of[user, channel] >= _most_per_user(channel):
            return
        self._started += 1
        self._served[user] = self._started
        self._start(notice.notice_id, user, channel)

    async def _settle(self, *, at_once: bool) -> None:
        try:
            await self._outbox.settle(at_once=at_once)
        except OSError as error:
            # What is pending can be sent all the same.
            self._is_behind = True
            message = "Cannot look for notices that processes which died prepared"
            self._storage.report(error, _logger, message)

    def _start(self, notice_id: str, user: str, channel: str) -> None:
        task = asyncio.create_task(self._deliver(notice_id))
        self._sending[notice_id] = task
        self._busy[channel] += 1
        self._busy_of[user, channel] += 1
        task.add_done_callback(lambda task: self._ended(notice_id, user, channel, task))

    def _ended(self, notice_id: str, user: str, channel: str, task: asyncio.Task[bool]) -> None:
        del self._sending[notice_id]
        self._busy[channel] -= 1
        self._busy_of[user, channel] -= 1
        if not self._busy_of[user, channel]:
            del self._busy_of[user, channel]
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._is_behind = True
            self._storage.report(error, _logger, "Notice %s could not be sent", notice_id)
        elif task.result():
            self._wake.set()

    async def _deliver(self, notice_id: str) -> bool:
        """Whether anything came of it."""
        try:
            notice = await self._store.in_thread(self._store.get, notice_id)
        except NotFoundError:
            return False
        # `all` may have been read before the last attempt was noted.
        if notice.state is not NoticeState.PENDING or _due_at(notice) > utc_now():
            return False
        await self._note(notice_id, await self._try(notice))
        return True

    async def _try(self, notice: Notice) -> DeliveryError | None:
        limit = max(self._config.smtp_timeout, self._config.webhook_timeout) + _MARGIN_SECONDS
        try:
            async with asyncio.timeout(limit):
                await self._channels[notice.channel].send(notice)
        except DeliveryError as error:
            return error
        except TimeoutError:
            return DeliveryError("Sending took too long.")
        except Exception:
            _logger.exception("Notice %s could not be sent", notice.notice_id)
            return DeliveryError("The server met an error of its own while sending; see its log.")
        return None

    async def _note(self, notice_id: str, error: DeliveryError | None) -> None:
        """Write down how it went; while that fails (a full disk), hold on to it instead of sending again."""
        message = "What became of notice %s cannot be written"

        async def write() -> None:
            with contextlib.suppress(NotFoundError):  # deleted meanwhile
                await self._store.in_thread(
                    self._store.change, notice_id, lambda notice: self._after(notice, error)
                )

        await retry_until_written(write, self._storage, _logger, message, notice_id)

    def _after(self, notice: Notice, error: DeliveryError | None) -> Notice:
        attempts = notice.attempts + 1
        changes: dict[str, object] = {"attempts": attempts}
        if error is None:
            changes |= {
                "state": NoticeState.SENT,
                "sent_at": utc_now(),
                "last_error": None,
                "next_attempt_at": None,
                "remaining": (),
            }
        else:
            changes["last_error"] = str(error)
            if error.remaining is not None:
                changes["remaining"] = error.remaining
            if error.is_final or attempts >= self._config.notice_max_attempts:
                changes |= {"state": NoticeState.FAILED, "next_attempt_at": None}
            else:
                wait = max(self._wait(attempts), min(error.retry_after or 0.0, _MAX_WAIT_SECONDS))
                changes["next_attempt_at"] = utc_now() + timedelta(seconds=wait)
        return notice.model_copy(update=changes)

    def _wait(self, attempts: int) -> float:
        """Doubling, with jitter, so that not all come back to a server at once."""
        longest = min(_MAX_WAIT_SECONDS, self._config.notice_retry_seconds * 2.0 ** min(attempts - 1, 30))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 (not a secret)

    def _clean(self, notices: list[Notice]) -> None:
        """Delete what is old, and the oldest of users who have too many."""
        now = utc_now()
        keep = {
            NoticeState.SENT: timedelta(seconds=self._config.notice_keep_sent),
            NoticeState.FAILED: timedelta(seconds=self._config.notice_keep_failed),
        }
        kept: defaultdict[tuple[str, NoticeState], int] = defaultdict(int)
        gone: list[str] = []
        for notice in reversed(notices):
            if notice.state not in keep:
                continue
            kept[notice.user_id, notice.state] += 1
            is_too_many = kept[notice.user_id, notice.state] > self._config.notice_max_kept
            if is_too_many or now - notice.created_at > keep[notice.state]:
                gone.append(notice.notice_id)
        if gone:
            self._store.remove(gone)


def _due_at(notice: Notice) -> datetime:
    return notice.next_attempt_at or notice.created_at


def _most_at_once(channel: str) -> int:
    return _MAILS_AT_ONCE if channel == "email" else _AT_ONCE


def _most_per_user(channel: str) -> int:
    return _MAILS_PER_USER if channel == "email" else _PER_USER

"""How much a job may ask for, and whether there is room for it: on the disk, and in what its user may store.

What waits is counted by the engine; results are deleted by ``services.retention``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from yarl import URL

from ..config import JobsConfig
from ..errors import (
    InsufficientStorageError,
    InvalidFieldsError,
    TooLargeError,
    TooMuchKeptError,
    field_error,
)
from ..model.job import ExecutionMode, InterpreterName
from ..model.notice_rules import CHANNELS, Rule, WebhookRule
from ..system.storage_state import StorageState, free_bytes

_NO_MAIL = "'email' cannot be used: no mail server is set up here (smtp_host)"
_NO_WORKERS = "cannot be asked for: this server runs all jobs itself, and has no workers (engine 'postgres')"
_NO_LABELS_IN_MAIN_LOOP = "cannot be asked for in MainLoop, which is the host's own and no worker's"
_NO_WEBHOOKS = "'webhook' cannot be used: this server sends none (webhook_enabled)"
_DISK_SECONDS = 1.0
_KEPT_SECONDS = 30.0
_COST_FACTOR = 100.0
_PATIENCE_SECONDS = 2.0
_MOST_USERS = 10_000
_logger = logging.getLogger(__name__)


class LimitedCommand(Protocol):
    """The part of a submission, a schedule's job or a template that limits apply to."""

    @property
    def command(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def interpreter(self) -> InterpreterName | None: ...
    @property
    def timeout_seconds(self) -> float | None: ...
    @property
    def execution_mode(self) -> ExecutionMode: ...
    @property
    def labels(self) -> Collection[str]: ...


class LimitPolicy:
    """The configured limits of a submission.

    `installed` are the available interpreters; `takes_labels`: there may be workers with labels.
    """

    def __init__(
        self, config: JobsConfig, installed: Collection[InterpreterName], *, takes_labels: bool = False
    ) -> None:
        self._config = config
        self._takes_labels = takes_labels
        self._installed = installed

    def interpreter_of(self, command: LimitedCommand) -> InterpreterName:
        """The requested interpreter, or the configured default."""
        return command.interpreter or self._config.default_interpreter

    def require_within(
        self,
        command: LimitedCommand,
        name: str,
        notify: Sequence[Rule] = (),
        *,
        field: str = "{}",
        name_field: str = "jobName",
    ) -> None:
        """Raise `TooLargeError` or `InvalidFieldsError` for what exceeds a limit.

        `name` is the job's name, which the error calls `name_field`; `field` maps other field names to those
        in the error.
        """
        config = self._config
        size = len(command.command.encode())
        if size > config.max_command_bytes:
            raise TooLargeError(
                f"The command has {size} bytes; at most {config.max_command_bytes} are allowed."
            )
        faults = []
        if len(name) > config.max_name_length:
            faults.append(_too_long(name_field, config.max_name_length))
        if len(command.description) > config.max_description_length:
            faults.append(_too_long("description", config.max_description_length))
        if command.timeout_seconds is not None and command.timeout_seconds > config.max_timeout:
            faults.append(field_error("timeoutSeconds", f"must be at most {config.max_timeout:g}"))
        interpreter = self.interpreter_of(command)
        if interpreter not in self._installed:
            names = ", ".join(sorted(self._installed))
            faults.append(field_error("interpreter", f"{interpreter.absence}; installed are: {names}"))
        if command.labels and not self._takes_labels:
            faults.append(field_error("labels", _NO_WORKERS))
        elif command.labels and command.execution_mode is ExecutionMode.MAIN_LOOP:
            faults.append(field_error("labels", _NO_LABELS_IN_MAIN_LOOP))
        if notify:
            faults += _notify_faults(config, notify)
        if faults:
            raise InvalidFieldsError.of(
                [{**fault, "field": field.format(fault["field"])} for fault in faults]
            )

    def require_name(self, name: str) -> None:
        """Raise `InvalidFieldsError` for a name (the field ``name``) that is too long."""
        if len(name) > (most := self._config.max_name_length):
            raise InvalidFieldsError.of([_too_long("name", most)])


def _too_long(field: str, most: int) -> dict[str, Any]:
    return field_error(field, f"must have at most {most} characters")


def notice_channels(config: JobsConfig) -> list[str]:
    """The channels that jobs may ask notices from."""
    usable = {"email": config.smtp_host is not None, "webhook": config.webhook_enabled}
    return [name for name in CHANNELS if usable.get(name, True)]


def _notify_faults(config: JobsConfig, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    faults = []
    channels = notice_channels(config)
    for index, rule in enumerate(rules):
        if rule.channel not in channels:
            message = _NO_MAIL if rule.channel == "email" else _NO_WEBHOOKS
            faults.append(field_error(f"notify.{index}.channel", message))
            continue
        if isinstance(rule, WebhookRule):
            # A courtesy only: what counts is the address that is connected to.
            fault = config.webhook_targets.fault(URL(rule.url))
            faults += [] if fault is None else [field_error(f"notify.{index}.url", fault)]
    return faults


@dataclass(slots=True)
class _Seen:
    """A number of bytes, and until when it need not be looked for again."""

    bytes: int | None = None
    fresh_until: float = 0.0
    look: asyncio.Task[None] | None = None


class StorageLimits:
    """Whether there is room for another job. Looking takes time, so what was seen of late is used again.

    `kept_bytes` returns how many bytes a user's results take, including outputs that are stored beside them.
    """

    def __init__(
        self, config: JobsConfig, kept_bytes: Callable[[str], Awaitable[int]], storage: StorageState
    ) -> None:
        self._folder = config.base_dir
        self._min_free = config.min_free_bytes
        self._most_kept = config.max_kept_bytes_per_user
        self._kept_bytes = kept_bytes
        self._storage = storage
        self._free = _Seen()
        self._kept: OrderedDict[str, _Seen] = OrderedDict()

    async def close(self) -> None:
        """Cancel the checks that are running."""
        looks = [seen.look for seen in (self._free, *self._kept.values()) if seen.look is not None]
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    async def require_room(self, user_id: str) -> None:
        """Raise `InsufficientStorageError` or `TooMuchKeptError` when no job of the user may be accepted."""
        now = asyncio.get_running_loop().time()
        if now >= self._free.fresh_until:
            self._look(self._free, self._free_bytes, _DISK_SECONDS)
        if self._free.bytes is None and self._free.look is not None:
            await asyncio.wait([self._free.look], timeout=_PATIENCE_SECONDS)
        if self._free.bytes is not None and self._free.bytes < self._min_free:
            raise InsufficientStorageError(
                "The server's disk is almost full, so it takes no new jobs. Try again when there is room, or "
                "tell whoever looks after it."
            )
        kept = self._kept_of(user_id)
        if now >= kept.fresh_until:
            self._look(kept, lambda: self._kept_bytes(user_id), _KEPT_SECONDS)
        if kept.bytes is not None and kept.bytes >= self._most_kept:
            raise TooMuchKeptError(
                "max_kept_bytes_per_user",
                most=self._most_kept,
                used=kept.bytes,
                what="bytes of results and outputs",
                advice="Delete some results first; that they are gone shows within a minute.",
            )

    async def _free_bytes(self) -> int:
        free = await asyncio.to_thread(free_bytes, self._folder)
        self._storage.tell_free(free, self._min_free)
        return free

    def _kept_of(self, user_id: str) -> _Seen:
        kept = self._kept.get(user_id)
        if kept is None:
            kept = self._kept[user_id] = _Seen()
        self._kept.move_to_end(user_id)
        while len(self._kept) > _MOST_USERS:
            _, oldest = self._kept.popitem(last=False)
            if oldest.look is not None:
                oldest.look.cancel()
        return kept

    def _look(self, seen: _Seen, find: Callable[[], Awaitable[int]], seconds: float) -> None:
        """Have it looked for, unless that is being done; it is fresh for `seconds` then."""
        if seen.look is None:
            seen.look = asyncio.create_task(self._find(seen, find, seconds))

    async def _find(self, seen: _Seen, find: Callable[[], Awaitable[int]], seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            seen.bytes = await find()
        except Exception as error:
            self._storage.report(error, _logger, "How much room there is cannot be found out")
        finally:
            # What takes long to find is looked for less often.
            seen.fresh_until = clock() + max(seconds, _COST_FACTOR * (clock() - began))
            seen.look = None

"""API keys in the database, signed, so that somebody who can only write to the database cannot create one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, ParamSpec, TypeVar, Unpack

from pydantic import ValidationError

from ...errors import BusyError, NotFoundError, RightsUnavailableError
from ...model.api_key import ApiKey, ApiKeyFields
from ...system.jsontext import dumps
from ...system.one_by_one import pausing
from ...system.signing import Signer
from ..credentials import KeyRing, new_api_key, require_another_key
from .database import Database, DatabaseUnavailableError
from .each_job import EachJob
from .records import NUMBER, Change, RecordTable

_RECENT_SECONDS = 0.5
P = ParamSpec("P")
T = TypeVar("T")
_logger = logging.getLogger(__name__)


def _allow(_key: ApiKey) -> None:
    """Whoever can write to the database with the installation's key may change every key."""


class PostgresApiKeys:
    """The `ApiKeyRecords`. Every method raises `RightsUnavailableError` while the database is away."""

    def __init__(self, database: Database, signer: Signer) -> None:
        self._database = database
        self._signer = signer
        self._table = RecordTable(database, "api_key", self._line)
        self._guard = Lock()
        self._known: tuple[int, KeyRing] | None = None
        """After how many changes the keys were read last, and what they are. Replaced together."""
        self.each_job: EachJob | None = None
        """Who asks in the event loop whether they were changed, once there is somebody."""

    async def now(self) -> KeyRing:
        """The current keys. One statement, and those that were changed are read in a thread."""
        if self.each_job is not None and self._known is not None:
            with _telling_what_it_means():
                number = await self.each_job.row(NUMBER, (self._table.kind,))
            ring = None if number is None else self.ring_at(number[0])
            if ring is not None:
                return ring
        return await self.in_thread(self.read)

    async def in_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function`, which asks for keys or changes them, returns; it is called in a thread."""
        with _telling_what_it_means():
            return await self._database.in_thread(function, *args, **kwargs)

    def read(self) -> KeyRing:
        """The current keys. Blocks."""
        with _telling_what_it_means(), self._guard:
            if self._known is None or self._table.has_changed():
                lines = sorted(self._table.items())
                self._known = self._table.seen, KeyRing(line for _, line in lines)
            return self._known[1]

    def ring_at(self, number: int) -> KeyRing | None:
        """The keys after so many changes, if those are the ones that are known. Does not block."""
        # Not by what the table has seen: that is ahead of the keys while another thread makes them.
        known = self._known
        return known[1] if known is not None and known[0] == number else None

    def all(self) -> list[ApiKey]:
        return list(pausing(self.read().all()))

    def create(self, *, most: int | None = None, **fields: Unpack[ApiKeyFields]) -> tuple[ApiKey, str]:
        key, secret = new_api_key(**fields)
        with _telling_what_it_means(), self._table.changing() as change:
            used, _ = change.count(key.user_id)
            require_another_key(used, most)
            self._put(change, key)
        return key, secret

    def add(self, key: ApiKey) -> bool:
        """Store a key that was created elsewhere; false when its id exists already."""
        with _telling_what_it_means(), self._table.changing() as change:
            if change.find(key.key_id) is not None:
                return False
            self._put(change, key)
            return True

    def change(
        self, key_id: str, make: Callable[[ApiKey], ApiKey], require: Callable[[ApiKey], None] = _allow
    ) -> ApiKey:
        with _telling_what_it_means(), self._table.changing() as change:
            key = self._existing(change, key_id)
            require(key)
            changed = make(key)
            self._put(change, changed)
            return changed

    def delete(self, key_id: str, require: Callable[[ApiKey], None] = _allow) -> ApiKey:
        with _telling_what_it_means(), self._table.changing() as change:
            key = self._existing(change, key_id)
            require(key)
            change.remove(key_id)
            return key

    def _put(self, change: Change, key: ApiKey) -> None:
        change.put(key.key_id, key.user_id, self._signer.sign(key.to_record()))

    def _existing(self, change: Change, key_id: str) -> ApiKey:
        found = change.find(key_id)
        if found is not None and self._signer.is_valid(found):
            try:
                return ApiKey.model_validate(found)
            except ValidationError:
                _logger.error("The record of API key %s is damaged", key_id)
        raise NotFoundError(f"There is no API key with the KeyID {key_id!r}.")

    def _line(self, key_id: str, record: dict[str, Any]) -> tuple[str, bytes] | None:
        """When a key was made, and its line in the ring."""
        if not self._signer.is_valid(record):
            _logger.error("The API key %s was not made by a host; it does not work", key_id)
            return None
        return str(record.get("CreatedAt")), dumps(record)


class KeysAtPickUp:
    """The keys for jobs that this process has just claimed: each claim says whether there are others by now.

    So most jobs are checked without a statement of their own.
    """

    def __init__(self, keys: PostgresApiKeys) -> None:
        self._keys = keys
        self._asked_at, self._number = float("-inf"), -1

    def learn(self, asked_at: float, number: int) -> None:
        """By a claim that was asked for at `asked_at`, by the monotonic clock, keys were changed so often."""
        self._asked_at, self._number = asked_at, number

    async def now(self) -> KeyRing:
        """Those of the last claim, or of this moment when that is longer ago.

        Raises `RightsUnavailableError`.
        """
        if time.monotonic() < self._asked_at + _RECENT_SECONDS:
            ring = self._keys.ring_at(self._number)
            if ring is not None:
                return ring
        return await self._keys.now()


@contextmanager
def _telling_what_it_means() -> Iterator[None]:
    try:
        yield
    except DatabaseUnavailableError:
        raise RightsUnavailableError(
            "API keys cannot be checked at the moment, as the server's database is away. Try again."
        ) from None
    except BusyError:
        raise RightsUnavailableError(
            "API keys cannot be changed at the moment, as another program changes them. Try again."
        ) from None

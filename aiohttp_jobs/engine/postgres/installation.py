"""One process's connection to an installation: its records, and the keys that all processes share."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import ConfigurationError
from ...model.schedule import Schedule
from ...model.template import Template
from ...model.template_trigger import TemplateTrigger
from ...system.derived_keys import derived_key, fingerprint
from ...system.signing import Signer
from .api_keys import PostgresApiKeys
from .database import WAIT_SECONDS, Database, DatabaseUnavailableError
from .fired_moments import PostgresFiredMoments
from .notices import PostgresNotices
from .presence import STALL_SECONDS, AboutProcess, Presence
from .records import PostgresRecords
from .sessions import PostgresSessions

_LONGEST_SECONDS = 100 * 365 * 86400.0
_FIRST = """
UPDATE aiohttp_jobs.installation SET secret_fingerprint = coalesce(secret_fingerprint, %s)
RETURNING secret_fingerprint
"""


class PostgresInstallation:
    """The `Records` of the engine, with sessions and API keys. Nothing happens before it is opened.

    `secret` is the same in all processes: what they sign is signed with keys that are made of it.
    """

    def __init__(
        self,
        dsn: str,
        secret: bytes,
        *,
        session_max_age: float,
        max_sessions_per_user: int,
        stall_seconds: float = STALL_SECONDS,
        about: AboutProcess | None = None,
    ) -> None:
        self._secret = secret
        self.database = Database(dsn)
        # However much else is asked, the sign of life has a connection.
        self._heartbeats = Database(dsn, most=1, wait_seconds=min(WAIT_SECONDS, stall_seconds / 4))
        self.presence = Presence(self.database, self._heartbeats, stall_seconds, about)
        self.schedules = PostgresRecords(
            self.database, "schedule", self.signer("schedule"), Schedule.model_validate
        )
        self.templates = PostgresRecords(
            self.database, "template", self.signer("template"), Template.model_validate
        )
        self.triggers = PostgresRecords(
            self.database, "trigger", self.signer("trigger"), TemplateTrigger.model_validate
        )
        self.notices = PostgresNotices(self.database, self.presence)
        self.fired_moments = PostgresFiredMoments(self.database, self.presence)
        self.api_keys = PostgresApiKeys(self.database, self.signer("api key"))
        self.sessions = PostgresSessions(self.database, session_max_age, max_sessions_per_user)

    def open(self) -> None:
        """Raises `ConfigurationError` when this process does not belong to the installation. Blocks."""
        self.open_records()
        try:
            self._heartbeats.open()
            self.presence.open()
        except BaseException:
            self._heartbeats.close()
            self.database.close()
            raise

    def open_records(self) -> None:
        """The same for who only looks at records or changes them, and is none of the hosts and workers."""
        self.database.open()
        try:
            self._require_same_secret()
        except BaseException:
            self.database.close()
            raise

    def close(self) -> None:
        """Let the others know, and disconnect. Blocks."""
        self.presence.close()
        self._heartbeats.close()
        self.database.close()

    def signer(self, purpose: str) -> Signer:
        """What signs, and checks, for one purpose."""
        return Signer(derived_key(self._secret, f"sign {purpose}"))

    def _require_same_secret(self) -> None:
        mine = fingerprint(self._secret)
        row = self.database.row(_FIRST, (mine,))
        if row is None or not hmac.compare_digest(row[0], mine):
            raise ConfigurationError(
                "This database belongs to hosts and workers with another secret. Give all of them the same "
                "one (AIOHTTP_JOBS_SECRET): what one of them signs, the others have to believe."
            )


@contextmanager
def opened_records(dsn: str, secret: bytes) -> Iterator[PostgresInstallation]:
    """The records of an installation, for who is none of its hosts and workers; sessions end as promised."""
    installation = PostgresInstallation(
        dsn, secret, session_max_age=_LONGEST_SECONDS, max_sessions_per_user=1
    )
    try:
        installation.open_records()
    except DatabaseUnavailableError as error:
        raise ConfigurationError(f"The database cannot be used: {error.__cause__ or error}") from None
    try:
        yield installation
    finally:
        installation.database.close()

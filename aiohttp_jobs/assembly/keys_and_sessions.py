"""API keys and sessions of an installation whose host may not be running, for the command line.

Opens a data folder or, with a dsn, a database. The commands themselves are in ``cli``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..engine.base import ApiKeyRecords, SessionRecords
from ..engine.embedded.api_keys import ApiKeys
from ..engine.embedded.session_registry import SessionRegistry
from ..engine.postgres import postgres_needed
from ..errors import ConfigurationError
from ..system.operating_system import require_supported_system


@dataclass(frozen=True, slots=True)
class Access:
    """The API keys and sessions of one installation."""

    api_keys: ApiKeyRecords
    sessions: SessionRecords


@contextmanager
def opened_access(
    *, data_dir: Path | None = None, dsn: str | None = None, secret: str | None = None
) -> Iterator[Access]:
    """Open the keys and sessions in the database `dsn`, with the installation's `secret`, or else in a data
    folder.

    Raises `ConfigurationError` when that is not possible. Blocks.
    """
    require_supported_system()
    if dsn is None:
        if data_dir is None:
            raise ConfigurationError(
                "Say where the keys are: --data-dir (AIOHTTP_JOBS_DATA_DIR) or --dsn (AIOHTTP_JOBS_DSN)."
            )
        yield Access(ApiKeys.in_data_dir(data_dir), SessionRegistry.in_data_dir(data_dir))
        return
    if not secret:
        raise ConfigurationError(
            "The database's API keys are signed: set AIOHTTP_JOBS_SECRET to the secret that its hosts have."
        )
    with postgres_needed():
        from ..engine.postgres.installation import opened_records  # noqa: PLC0415 - it needs psycopg
    with opened_records(dsn, secret.encode()) as records:
        yield Access(records.api_keys, records.sessions)

"""The engine for many machines: jobs, results and records in a PostgreSQL database.

Its modules are imported only where it is configured, because they need psycopg (``aiohttp-jobs[postgres]``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import ConfigurationError


@contextmanager
def postgres_needed() -> Iterator[None]:
    """Turns a failing import of this package's modules inside the block into a `ConfigurationError` that says
    what to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in {"psycopg", "psycopg_pool"}:
            raise
        raise ConfigurationError("PostgreSQL needs more: pip install 'aiohttp-jobs[postgres]'.") from None

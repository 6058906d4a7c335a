"""Facts about a database before a host starts on it, by reading only. Blocks."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from ...system.derived_keys import fingerprint
from .migrations import connected

_FACTS = """
SELECT current_setting('server_version'), coalesce(s.ssl, false), inet_server_addr() IS NULL, r.rolsuper,
    pg_size_pretty(pg_database_size(current_database()))
FROM pg_roles r LEFT JOIN pg_stat_ssl s ON s.pid = pg_backend_pid() WHERE r.rolname = current_user
"""
_OURS = """
SELECT i.secret_fingerprint,
    (SELECT count(*) FROM aiohttp_jobs.processes WHERE heard_at > clock_timestamp() - interval '30 s')
FROM aiohttp_jobs.installation i
"""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """`has_secret`: whether the given secret is that of the hosts; ``None``: there is none to compare.

    `is_local`: it is reached through a socket of this machine. So many hosts and workers are `alive`.
    """

    version: str
    size: str
    is_encrypted: bool
    is_local: bool
    is_superuser: bool
    has_secret: bool | None
    alive: int


def database_facts(dsn: str, secret: str | None) -> DatabaseFacts:
    """Those of a database whose tables are up to date. Raises `ConfigurationError`."""
    with connected(dsn) as connection:
        version, is_encrypted, is_local, is_superuser, size = connection.execute(_FACTS).fetchall()[0]
        kept, alive = connection.execute(_OURS).fetchall()[0]
    mine = None if secret is None else fingerprint(secret.encode())
    return DatabaseFacts(
        version=version,
        size=size,
        is_encrypted=is_encrypted,
        is_local=is_local,
        is_superuser=is_superuser,
        has_secret=None if mine is None or kept is None else hmac.compare_digest(mine, kept),
        alive=alive,
    )

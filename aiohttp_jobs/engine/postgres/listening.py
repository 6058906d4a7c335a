"""Whether a PostgreSQL server is there at all, and takes connections; nothing is asked of a database."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn, Ping

from ...errors import ConfigurationError

START_SECONDS = 60.0
"""How long a process that starts waits for the server."""
_SECONDS = 2.0
_PING_SECONDS = 5
_PAUSE_SECONDS = 0.5
_AWAY = {Ping.REJECT: "the server is starting or stopping", Ping.NO_RESPONSE: "nobody answers"}
_logger = logging.getLogger(__name__)


def nobody_listens(host: str, port: int) -> bool:
    """Whether the connection is refused at every address of `host`, or there is no socket in that folder.

    False when it is not known: nobody answers, or somebody listens. Blocks.
    """
    if host.startswith("/"):
        return _is_refused(socket.AF_UNIX, f"{host}/.s.PGSQL.{port}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(found) and all(_is_refused(family, address) for family, _, _, _, address in found)


def _is_refused(family: int, address: str | tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_SECONDS)
        try:
            probe.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
    return False


async def until_it_listens(dsn: str, seconds: float = START_SECONDS) -> None:
    """Wait until the server of `dsn` takes connections; of which it lets in is not asked.

    Raises `ConfigurationError` when none does within `seconds`.
    """
    end = time.monotonic() + seconds
    has_said = False
    while (why := await asyncio.to_thread(_why_away, dsn)) is not None:
        there = _described(dsn)
        if time.monotonic() >= end:
            raise ConfigurationError(
                f"PostgreSQL took no connections at {there} for {seconds:g} s: {why}. Start it, or say with "
                "AIOHTTP_JOBS_DSN where it is; then start this process again."
            )
        if not has_said:
            message = "PostgreSQL takes no connections at %s yet, as %s: waiting for it, for %g s at most."
            _logger.warning(message, there, why, seconds)
            has_said = True
        await asyncio.sleep(_PAUSE_SECONDS)


def _why_away(dsn: str) -> str | None:
    """Why the server takes no connections; ``None`` when it does, or when `dsn` is wrong."""
    try:
        text = make_conninfo(dsn, connect_timeout=_PING_SECONDS)
    except psycopg.ProgrammingError:
        return None  # whoever connects is told what is wrong
    return _AWAY.get(Ping(PGconn.ping(text.encode())))


def _described(dsn: str) -> str:
    """Where that is, without what nobody is to read."""
    found = conninfo_to_dict(dsn)
    where = found.get("host") or found.get("hostaddr") or "this machine"
    return f"{where}, port {found['port']}" if found.get("port") else str(where)

"""Whether a PostgreSQL server is listening and accepts connections, and the wait at start until it does.

No statement is sent.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import psycopg

from ...errors import ConfigurationError

START_SECONDS = 60.0
"""How long a process that starts waits for the server."""
_SECONDS = 2.0
_CONNECT_SECONDS = 5
_PAUSE_SECONDS = 0.5
_REFUSALS = ("authentication failed", "does not exist", "pg_hba.conf", "no password supplied", "certificate")
"""What a server says that will say it again. In another language it is waited for, in vain."""
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


async def until_it_listens(dsn: str, seconds: float = START_SECONDS) -> bool:
    """Wait until the server of `dsn` can be reached; return whether it lets this process in.

    Raises `ConfigurationError` when it cannot within `seconds`.
    """
    end = time.monotonic() + seconds
    has_said = False
    while isinstance(answer := await asyncio.to_thread(_answer, dsn), str):
        if time.monotonic() >= end:
            raise ConfigurationError(
                f"The database could not be reached for {seconds:g} s: {answer}. Start it, or say with "
                "AIOHTTP_JOBS_DSN where it is; then start this process again."
            )
        if not has_said:
            message = "The database cannot be reached yet, and is waited for, for %g s at most: %s"
            _logger.warning(message, seconds, answer)
            has_said = True
        await asyncio.sleep(_PAUSE_SECONDS)
    return answer


def _answer(dsn: str) -> bool | str:
    """Whether the server lets this process in; or why it cannot be reached, if it is some use to wait."""
    # Not libpq's ping: it holds all threads of this process until it has an answer.
    try:
        psycopg.connect(dsn, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg.ProgrammingError:
        return False
    except psycopg.OperationalError as error:
        why = " ".join(str(error).split())
        return False if any(words in why for words in _REFUSALS) else why
    return True

"""Whether a PostgreSQL server is there at all, asked of its machine and not of the server."""

from __future__ import annotations

import socket

_SECONDS = 2.0


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

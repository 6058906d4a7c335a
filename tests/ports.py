"""Ports for programs that are told theirs: free ones, which no connection of another test gets meanwhile."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack
from pathlib import Path

_FIRST = 15_000


def free_port() -> int:
    """One at which nobody listens on 127.0.0.1."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """As many of them."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = _FIRST + secrets.randbelow(_first_of_connections() - _FIRST)
            try:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            found.append(port)
        return found


def _first_of_connections() -> int:
    """From there on the kernel takes ports for connections, and for whoever asks for any."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32_768

"""The socket to a worker: requests and answers, each ended by a line feed."""

from __future__ import annotations

import socket

_BUFFER = 1 << 20


def control_pair() -> tuple[socket.socket, socket.socket]:
    """The two ends. Each takes a whole message at once; the first one is non-blocking."""
    try:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:  # macOS has streams only, in which a message may arrive in several pieces
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for end in (here, there):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    here.setblocking(False)
    return here, there

"""Asks a process of `prefork` for a program: ``python -IS tests/asking.py SOCKET ARGUMENT…`` stands for it.

In a shell, that is: it has its own arguments, environment, folder and standard streams, of which none may be
closed. It imports little, to start in a hundredth of a second.
"""

from __future__ import annotations

import json
import os
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NUMBER = 4
"""Bytes of the process's number, and of how it ended: what is answered."""


def ask(
    path: str, arguments: Sequence[str], streams: Sequence[int], env: Mapping[str, str], folder: str
) -> socket.socket:
    """A connection over which the answers come; the program is killed when it is closed before."""
    asked = {"arguments": [*arguments], "env": dict(env), "cwd": folder}
    request = os.memfd_create("asked")
    with os.fdopen(request, "wb") as file:
        file.write(json.dumps(asked).encode())
        file.flush()
        file.seek(0)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        socket.send_fds(connection, [b"."], [request, *streams])
    return connection


def main(path: str, *arguments: str) -> int:
    """Be the program. Returns its exit code, as a shell would tell it."""
    with ask(path, arguments, (0, 1, 2), os.environ, os.getcwd()) as connection:
        connection.recv(NUMBER)
        code = os.waitstatus_to_exitcode(int.from_bytes(connection.recv(NUMBER), "big"))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

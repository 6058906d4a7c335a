"""The start of the process that runs the host's functions: a warm worker, or one for a single job. What it
does then is in ``serving``.

Started by path with the descriptors of a socket and a pipe, and the host's process id. The first message
contains the host's ``sys.path``, from which the package itself is imported too.
"""

from __future__ import annotations

import json
import socket
import sys

_MAX_MESSAGE = 1 << 20


def first_message(control: socket.socket) -> bytes:
    message = b""
    while not message.endswith(b"\n"):
        message += control.recv(_MAX_MESSAGE)
        if not message:
            sys.exit(0)
    return message


def main(arguments: list[str]) -> int:
    descriptor, output, parent = map(int, arguments)
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    told = json.loads(first_message(control))
    sys.path[:] = told["path"]
    sys.argv[1:] = []
    from aiohttp_jobs.worker.functions import serving  # noqa: PLC0415 - found only now

    return serving.main(control, output, parent, told)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

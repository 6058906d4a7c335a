"""Whether jobs can run on this operating system at all: any Unix will do, Windows will not."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec

from .errors import ConfigurationError


def require_supported_system() -> None:
    """Raise `ConfigurationError`, which says what is missing, where jobs cannot run."""
    needed = {
        "file locks (flock)": find_spec("fcntl") is not None,
        "process groups (killpg)": hasattr(os, "killpg"),
        "Unix sockets": hasattr(socket, "AF_UNIX"),
    }
    if missing := [name for name, is_there in needed.items() if not is_there]:
        raise ConfigurationError(
            f"Jobs cannot run on this operating system, which has no {', no '.join(missing)}: "
            "run the host on Linux or macOS (on Windows, in WSL or a container). "
            "The client and the command line work here, with a host that runs elsewhere."
        )

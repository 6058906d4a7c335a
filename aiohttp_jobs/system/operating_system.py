"""Whether hosts can run on this operating system: any Unix, not Windows."""

from __future__ import annotations

import os

from ..errors import ConfigurationError

try:
    import fcntl
except ImportError:
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = hasattr(fcntl, "flock")


def require_supported_system() -> None:
    """Raise `ConfigurationError`, which says what is missing, where jobs cannot run."""
    needed = {"file locks (flock)": _HAS_LOCKS, "process groups (killpg)": hasattr(os, "killpg")}
    if missing := [name for name, is_there in needed.items() if not is_there]:
        raise ConfigurationError(
            f"Jobs cannot run on this operating system, which has no {' and no '.join(missing)}: "
            "run the host on Linux or macOS (on Windows, in WSL or a container). "
            "The client and the command line work here, with a host that runs elsewhere."
        )

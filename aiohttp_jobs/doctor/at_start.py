"""What a host looks at before it starts: a data folder that others can reach, and running as root."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ..errors import ConfigurationError
from .access import access_faults
from .finding import Finding, Status

_logger = logging.getLogger(__name__)


def require_private_data_folder(data_dir: Path, *, allow_unsigned: bool, allow_shared: bool) -> None:
    """Raise `ConfigurationError`, a sentence that says what to do, when others can reach the data folder.

    With `allow_shared`, and for what may be meant so, that is a warning in the log. Blocks.
    """
    faults = access_faults(data_dir, allow_unsigned=allow_unsigned)
    problems = [fault for fault in faults if fault.status is Status.PROBLEM]
    if problems and not allow_shared:
        raise ConfigurationError(
            f"{_first(problems, data_dir)} With allow_shared_data_dir=True "
            "(AIOHTTP_JOBS_ALLOW_SHARED_DATA_DIR=true) the host starts all the same."
        )
    if faults:
        _logger.warning("%s", _first(problems or faults, data_dir))


def warn_of_root() -> None:
    """Say in the log that this process, and so each of its jobs, may do anything on this machine."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        _logger.warning(
            "This host runs as root, and so does every command that its users submit. Run it as a user of "
            "its own, which owns the data folder and nothing else."
        )


def _first(faults: list[Finding], data_dir: Path) -> str:
    more = f" ({len(faults) - 1} more: see 'aiohttp-jobs doctor --data-dir {data_dir}'.)"
    return str(faults[0]) + (more if len(faults) > 1 else "")

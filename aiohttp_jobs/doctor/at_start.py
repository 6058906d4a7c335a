"""The checks before a host starts: a data folder that others can reach, no usable storage, or running as
root.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ..errors import ConfigurationError, StorageUnavailableError
from ..system.atomic import make_folder
from ..system.storage_faults import FaultKind, fault_of
from ..system.storage_state import try_to_write
from .access import access_faults
from .finding import Finding, Status
from .people import HAS_PEOPLE, described_user

_NEEDED_BYTES = 1024 * 1024
_NEEDED_FILES = 50
_logger = logging.getLogger(__name__)


def require_private_data_folder(data_dir: Path, *, allow_unsigned: bool, allow_shared: bool) -> None:
    """Raise `ConfigurationError` with advice when other users can reach the data folder.

    With `allow_shared`, and where it may be intended, a warning is logged instead. Blocks.
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


def require_usable_storage(base: Path, min_free_bytes: int) -> None:
    """Raise `ConfigurationError` with advice when nothing can be written below `base`.

    Creates `base` if it does not exist. Blocks.
    """
    try:
        make_folder(base)
        _require_room(base, min_free_bytes)
        try_to_write(base, 4096)
    except OSError as error:
        raise start_error(base, error) from None


def start_error(base: Path, error: Exception) -> ConfigurationError:
    """The error for a failing disk while a host starts on the folder `base`."""
    fault = fault_of(error)
    if fault is None:
        reason = error.strerror if isinstance(error, OSError) else None
        return ConfigurationError(f"The data folder {base} cannot be used: {reason or error}.")
    sentence = fault.sentence(base)
    if fault.kind is FaultKind.FULL:
        return ConfigurationError(f"{sentence} {_needed(base)}")
    return ConfigurationError(f"{sentence} The host, which runs as {_own_name()}, cannot start without it.")


def cannot_start(error: StorageUnavailableError) -> ConfigurationError:
    """What is said when a database was lost while a process started."""
    return ConfigurationError(f"{error.message} So this process does not start now: start it again.")


def _require_room(base: Path, min_free_bytes: int) -> None:
    state = os.statvfs(base)
    free = state.f_bavail * state.f_frsize
    if free < _NEEDED_BYTES:
        more = (
            f" New jobs are taken from {min_free_bytes >> 20} MB on (min_free_bytes)."
            if min_free_bytes
            else ""
        )
        raise ConfigurationError(f"There is no room for {base}: {free} bytes are free. {_needed(base)}{more}")
    if state.f_files and state.f_favail < _NEEDED_FILES:
        raise ConfigurationError(
            f"There is no room for {base}: only {state.f_favail} more files fit on its file system, and "
            f"{_NEEDED_FILES} are needed to start. Remove files there, or choose another data_dir."
        )


def _own_name() -> str:
    return described_user(os.geteuid()) if HAS_PEOPLE else "this user"


def _needed(base: Path) -> str:
    return (
        f"To start, at least {_NEEDED_BYTES >> 20} MB is needed on the file system of {base}. Free some room "
        "there, or choose another data_dir."
    )


def warn_of_root() -> None:
    """Log a warning if this process, and so each of its jobs, runs as root."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        _logger.warning(
            "This host runs as root, and so does every command that its users submit. Run it as a user of "
            "its own, which owns the data folder and nothing else."
        )


def _first(faults: list[Finding], data_dir: Path) -> str:
    more = f" ({len(faults) - 1} more: see 'aiohttp-jobs doctor --data-dir {data_dir}'.)"
    return str(faults[0]) + (more if len(faults) > 1 else "")

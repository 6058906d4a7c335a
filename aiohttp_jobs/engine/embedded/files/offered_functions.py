"""Which of the host's functions each process on the data folder has: its release and settings may be its own.

Who may run them, and whether the values fit, is left to ``access``. All calls block, and may come from any
thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ....functions.registry import Functions
from ....system.atomic import put_file
from ....system.guarded_files import UnreadableFileError, read_file
from .instances import Instance, is_alive

Versions = Mapping[str, frozenset[str]]
"""The names of functions, old ones included, each with the versions in which it is had."""

_FILE = "functions"
_LARGEST = 1024 * 1024


class OfferedFunctions:
    """Tells the others of `functions`, which the process `instance` has, and what those have.

    ``Running/<instance>/functions`` has them; none where a process has no functions.
    """

    def __init__(self, instance: Instance, functions: Functions) -> None:
        self._instance = instance
        self._functions = functions

    def open(self) -> None:
        """Tell the others."""
        names = {
            name: function.version
            for function in self._functions
            for name in (function.name, *function.options.old_names)
        }
        if names:
            put_file(self._instance.folder / _FILE, json.dumps(names).encode(), self._instance.scratch)

    def elsewhere(self) -> Versions:
        """What the other processes have that live."""
        found: dict[str, frozenset[str]] = {}
        for folder in self._instance.others():
            names = _read(folder / _FILE)
            if names and is_alive(folder):
                for name, version in names.items():
                    found[name] = found.get(name, frozenset()) | {version}
        return found


def _read(path: Path) -> dict[str, str]:
    """Anybody may have written it: what is no name with its version is passed over."""
    try:
        names = json.loads(read_file(path, _LARGEST))
    except (FileNotFoundError, UnreadableFileError, NotADirectoryError, ValueError, RecursionError):
        return {}
    if not isinstance(names, dict):
        return {}
    return {name: version for name, version in names.items() if isinstance(version, str)}

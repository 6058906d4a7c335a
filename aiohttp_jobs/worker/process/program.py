"""What to start as a process; ``starting`` decides how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from subprocess import DEVNULL
from typing import Any


@dataclass(frozen=True, slots=True)
class Program:
    """The file `path`, run with `arguments` (the first is its name) in the folder `folder`.

    It gets only the variables in `environment`, an empty stdin, the descriptor `output` as stdout and stderr,
    and the descriptors in `pass_fds`. Without `path`, the first argument is the file.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    output: int
    path: str | None = None
    pass_fds: Sequence[int] = ()

    def options(self) -> dict[str, Any]:
        """The keyword arguments for ``subprocess.Popen`` and ``asyncio.create_subprocess_exec``.

        The process leads its own session and process group.
        """
        return {
            "executable": self.path,
            "stdin": DEVNULL,
            "stdout": self.output,
            "stderr": self.output,
            "cwd": self.folder,
            "env": self.environment,
            "start_new_session": True,
            "pass_fds": tuple(self.pass_fds),
        }

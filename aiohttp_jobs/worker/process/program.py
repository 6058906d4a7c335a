"""What is to be started as a process; how that is done is left to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from subprocess import DEVNULL
from typing import Any


@dataclass(frozen=True, slots=True)
class Program:
    """The file `path`, run with `arguments` (the first of them its name) in the folder `folder`.

    It gets `environment` and no other variables, an empty stdin, the descriptor `output` as stdout and as
    stderr, and of other descriptors those in `pass_fds`. Without `path` the first argument is the file.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    output: int
    path: str | None = None
    pass_fds: Sequence[int] = ()

    def options(self) -> dict[str, Any]:
        """All but `arguments`, as ``subprocess.Popen`` and ``asyncio.create_subprocess_exec`` name it.

        It leads a session, and so a process group, of its own.
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

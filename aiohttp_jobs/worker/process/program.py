"""What is to be started as a process; how that is done is left to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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

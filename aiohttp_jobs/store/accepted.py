"""What this process has accepted and checked already, so that it is not parsed a second time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass

from ..models import Submission

_MOST = 4096
_LARGEST = 16 * 1024


@dataclass(frozen=True, slots=True)
class AcceptedFile:
    """A submission, and the digest of the file that was written for it."""

    submission: Submission
    digest: bytes

    def is_in(self, path: str) -> bool:
        """Whether the file `path` holds what was written when it was accepted. Blocks."""
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return hashlib.sha256(os.read(descriptor, _LARGEST + 1)).digest() == self.digest
            finally:
                os.close(descriptor)
        return False


class Accepted:
    """By path; bounded, so that what waits long or is large is read from its file instead."""

    def __init__(self) -> None:
        self._files: dict[str, AcceptedFile] = {}

    def add(self, path: str, data: bytes, submission: Submission) -> None:
        if len(self._files) < _MOST and len(data) <= _LARGEST:
            self._files[path] = AcceptedFile(submission, hashlib.sha256(data).digest())

    def take(self, path: str) -> AcceptedFile | None:
        return self._files.pop(path, None)

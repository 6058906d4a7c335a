"""A cache of the submissions that this process has accepted, so that their files are not parsed again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ....model.job import Submission
from ....system.guarded_files import read_start

_MOST_SUBMISSIONS = 4096
_MOST_DIGESTS = 100_000
_LARGEST = 16 * 1024


@dataclass(frozen=True, slots=True)
class AcceptedFile:
    """The digest of a submission file that this process wrote, and the submission, if it is still cached.

    `comings` is `Instance.comings` of when it was written.
    """

    digest: bytes
    submission: Submission | None
    comings: int

    def submission_in(self, path: str) -> Submission | None:
        """The cached submission, if the file `path` still has the content that was written. Blocks."""
        if self.submission is None:
            return None
        try:
            is_same = hashlib.sha256(read_start(path, _LARGEST + 1)).digest() == self.digest
        except OSError:
            return None
        return self.submission if is_same else None


class Accepted:
    """The cache by path, bounded: of old entries only the digests stay, and their files are parsed again."""

    def __init__(self) -> None:
        self._files: dict[str, AcceptedFile] = {}
        self._submissions = 0

    def add(self, path: str, data: bytes, submission: Submission, comings: int) -> None:
        self.take(path)
        if len(self._files) >= _MOST_DIGESTS or len(data) > _LARGEST:
            return
        is_kept = self._submissions < _MOST_SUBMISSIONS
        self._submissions += is_kept
        digest = hashlib.sha256(data).digest()
        self._files[path] = AcceptedFile(digest, submission if is_kept else None, comings)

    def take(self, path: str) -> AcceptedFile | None:
        found = self._files.pop(path, None)
        if found is not None and found.submission is not None:
            self._submissions -= 1
        return found

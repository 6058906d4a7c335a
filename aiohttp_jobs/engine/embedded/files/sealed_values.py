"""Removes the encrypted secret values from submission files of ended jobs, leaving an empty field."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ....system.atomic import replace_file
from ....system.guarded_files import UnreadableFileError, read_file
from ....system.jsontext import indented
from ....system.signing import Signer

_FIELD = "SealedValues"


class SealedValues:
    """Removes them from files of at most `max_bytes` bytes, and signs those again that `signer` had
    signed.
    """

    def __init__(self, signer: Signer, max_bytes: int, scratch: Path) -> None:
        self._signer = signer
        self._max_bytes = max_bytes
        self._scratch = scratch

    def remove_from(self, path: Path) -> None:
        """Remove them durably from the file `path`, if it exists and contains a record. Blocks."""
        with contextlib.suppress(FileNotFoundError, UnreadableFileError, ValueError, RecursionError):
            record = json.loads(read_file(path, self._max_bytes))
            if isinstance(record, dict) and record.get(_FIELD):
                without = {**record, _FIELD: ""}
                if self._signer.is_valid(record):
                    without = self._signer.sign(without)
                replace_file(path, indented(without), self._scratch)

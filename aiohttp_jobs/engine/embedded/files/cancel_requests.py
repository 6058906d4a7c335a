"""Requests of one process to another that a running job be cancelled: signed files in the job's run folder.

A job could put one there itself, or another's: only what was signed for this very run counts, so that nobody
is named who did not ask for it. All calls block.
"""

from __future__ import annotations

import json
from pathlib import Path

from ....system.guarded_files import UnreadableFileError, read_file, set_aside
from ....system.signing import Signer

NAME = "cancel"
_LARGEST = 64 * 1024


def written_request(signer: Signer, run: str, by: str) -> bytes:
    """What asks, in the file `NAME`, on behalf of the user `by` that the run called `run` be cancelled."""
    return json.dumps(signer.sign({"CancelRun": run, "CancelledBy": by})).encode()


def read_request(signer: Signer, folder: Path) -> str | None:
    """Who asks that what runs in `folder` be cancelled; ``None`` when nobody does.

    What is there instead of a request is set aside.
    """
    path = folder / NAME
    try:
        data = read_file(path, _LARGEST)
    except FileNotFoundError:
        return None
    except UnreadableFileError as error:
        if not folder.is_symlink() and folder.is_dir():
            set_aside(path, error.reason)
        return None
    try:
        request = json.loads(data)
        if signer.is_valid(request) and request["CancelRun"] == folder.name:
            return str(request["CancelledBy"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    set_aside(path, "nobody who may has asked for that")
    return None

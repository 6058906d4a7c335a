"""Requests to another process to cancel a job it runs: signed files in the job's run folder.

A job could write such a file itself, so only a signature for this very run counts, and nobody is named who
did not ask for it. All calls block.
"""

from __future__ import annotations

import json
from pathlib import Path

from ....system.guarded_files import UnreadableFileError, read_file, set_aside
from ....system.signing import Signer

NAME = "cancel"
_LARGEST = 64 * 1024


def written_request(signer: Signer, run: str, by: str) -> bytes:
    """The content of the file `NAME` by which the user `by` asks to cancel the run called `run`."""
    return json.dumps(signer.sign({"CancelRun": run, "CancelledBy": by})).encode()


def read_request(signer: Signer, folder: Path) -> str | None:
    """The user who asks to cancel what runs in `folder`; ``None`` if nobody does.

    Anything else in the request's place is moved aside.
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

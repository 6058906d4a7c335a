"""What lies below a folder that a live host goes on changing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def paths_below(folder: Path) -> list[Path]:
    """All files and folders below `folder`; what goes away meanwhile may be left out."""
    return [
        Path(above, name)
        for above, folders, files in os.walk(folder)  # which, unlike rglob, takes no notice of a folder gone
        for name in (*folders, *files)
    ]


def contents_below(folder: Path) -> dict[Path, bytes]:
    """What the files below `folder` hold; those that go away meanwhile may be left out."""
    contents = {}
    for path in paths_below(folder):
        with suppress(FileNotFoundError):
            if path.is_file():
                contents[path] = path.read_bytes()
    return contents

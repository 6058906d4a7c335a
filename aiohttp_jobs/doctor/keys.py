"""Checks that the key files of a data folder are intact. Who can read them is checked in ``access``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..engine.embedded.api_keys import ApiKeys
from ..errors import JobsError
from ..system.key_files import READERS
from .finding import Finding, Status


def key_findings(data_dir: Path, secrets: Path) -> Iterator[Finding]:
    """Check the key files that exist; none is created. Blocks."""
    found: list[str] = []
    for name, read in READERS.items():
        path = secrets / name
        if not path.exists() and not path.is_symlink():
            continue
        try:
            read(path)
        except JobsError as error:
            found.append(error.message)
    try:
        number = len(ApiKeys.in_data_dir(data_dir).all())
    except JobsError as error:
        number = 0
        found.append(error.message)
    for message in found:
        yield Finding("keys", Status.PROBLEM, message)
    if not found:
        yield Finding("keys", Status.OK, f"The key files are whole; there are {number} API keys.")

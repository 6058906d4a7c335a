"""All checks that need no running host, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..engine.embedded.files.layout import Layout
from ..system.app_folder import APP_FOLDER
from .access import CHECK, access_faults
from .contents import content_findings
from .finding import Finding, Status, worst
from .keys import key_findings
from .storage import storage_findings


def data_folder_findings(data_dir: Path) -> Iterator[Finding]:
    """Check a data folder. Changes nothing in it. Blocks, for some seconds."""
    at = Layout(data_dir.absolute() / APP_FOLDER)
    faults = access_faults(data_dir)
    yield from faults
    if worst(faults) is Status.OK:
        yield Finding(CHECK, Status.OK, f"Nobody else can write to {data_dir}, or read the keys in it.")
    try:
        if not at.base.is_dir():
            raise FileNotFoundError
        yield from key_findings(data_dir, at.signing_key.parent)
        yield from storage_findings(at)
        yield from content_findings(at)
    except FileNotFoundError:
        yield Finding(
            "data_folder",
            Status.WARNING,
            f"{at.base} is not there.",
            "See whether --data-dir is right; the first host that starts makes it.",
        )
    except OSError as error:
        message = f"{error.filename or at.base} cannot be read: {error.strerror}."
        yield Finding("data_folder", Status.PROBLEM, message, "Run this command as the host's user.")

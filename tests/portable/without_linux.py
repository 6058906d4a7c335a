"""A Python whose processes, and those of their jobs, have nothing of what only Linux has."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
_HIDE_PROC = 'mount --rbind /proc "$0" && mount -t tmpfs none /proc && exec "$@"'


def can_hide_proc() -> bool:
    """Whether this user may have a mount namespace."""
    probe = ["unshare", "--mount", "true"]
    return os.geteuid() == 0 and subprocess.run(probe, check=False, capture_output=True).returncode == 0


def python_without_linux(folder: Path) -> list[str]:
    """The command line of one, made in `folder`: with an empty /proc where that is possible."""
    proc = folder / "proc"
    proc.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    packages = next((folder / "venv" / "lib").iterdir()) / "site-packages"
    lines = [f"import sys; sys.path.insert(0, {str(HERE)!r})", "import taken_away"]
    lines += [f"import site; site.addsitedir({found!r})" for found in site.getsitepackages()]
    # The jobs' Python is to see nothing of the tests.
    lines += [
        f"import taken_away; taken_away.move_proc({str(proc)!r})",
        f"import sys; sys.path.remove({str(HERE)!r})",
    ]
    (packages / "without_linux.pth").write_text("\n".join(lines) + "\n")
    python = str(folder / "venv" / "bin" / "python")
    return ["unshare", "--mount", "sh", "-c", _HIDE_PROC, str(proc), python] if can_hide_proc() else [python]

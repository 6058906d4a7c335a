"""The configuration file with the server's address and the user's key.

It must be private, or it is refused.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path

from ..system.atomic import replace_file
from .printing import fail


def config_file() -> Path:
    """``$XDG_CONFIG_HOME/aiohttp-jobs/config.toml``, with the keys ``url`` and ``api_key``."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "aiohttp-jobs" / "config.toml"


def read_config() -> dict[str, str]:
    """The file's settings; empty if there is no file. Ends the command when others can read the file."""
    path = config_file()
    try:
        with path.open("rb") as file:
            _require_private(path, os.fstat(file.fileno()))
            return {name: str(value) for name, value in tomllib.loads(file.read().decode()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be read: {error}")


def _require_private(path: Path, status: os.stat_result) -> None:
    if not hasattr(os, "geteuid"):
        return  # Windows: a user's profile is private there, and modes say nothing
    if status.st_uid not in (os.geteuid(), 0):
        fail(f"{path} belongs to somebody else; it is not used.")
    if stat.S_IMODE(status.st_mode) & 0o077:
        fail(f"{path} holds a key and others can read it. Run: chmod 600 {path}")


def write_config(url: str, api_key: str) -> Path:
    """Replace the file, which never exists readable by anybody but its owner."""
    path = config_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, f"url = {_quoted(url)}\napi_key = {_quoted(api_key)}\n".encode())
    except OSError as error:
        fail(f"{path} cannot be written: {error}")
    return path


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

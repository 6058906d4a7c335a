"""The key files in ``Secrets/``: created on first use, and refused when they are not valid. All calls
block.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import ConfigurationError
from .atomic import create_secret, random_key

_KEY_BYTES = 32
_SHORTEST_TEXT = 16
_LONGEST_FILE = 64 * 1024


def hex_key(path: Path) -> bytes:
    """The 32 bytes in the file `path`, in hexadecimal; created (0600) if it does not exist.

    Raises `ConfigurationError` when the file contains anything else.
    """
    text = _text(path, secrets.token_hex(_KEY_BYTES).encode())
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise _damaged(path, text, f"{2 * _KEY_BYTES} hexadecimal digits")
    return key


def fernet_key(path: Path) -> bytes:
    """The Fernet key, 32 bytes in base64url, in the file `path`; created (0600) if it does not exist.

    Raises `ConfigurationError` when the file contains anything else.
    """
    text = _text(path, random_key())
    if decoded_fernet_key(text) is None:
        raise _damaged(path, text, f"{_KEY_BYTES} bytes in base64url")
    return text.encode()


def text_secret(path: Path) -> bytes:
    """The content of the file `path`, at least 16 characters; created (0600) if it does not exist.

    Raises `ConfigurationError` when the file has fewer.
    """
    content = _content(path, secrets.token_hex(_KEY_BYTES).encode())
    text = content.decode("utf-8", "replace").strip()
    if len(text) < _SHORTEST_TEXT:
        raise _damaged(path, text, f"{_SHORTEST_TEXT} characters or more")
    return content


def decoded_fernet_key(text: str) -> bytes | None:
    """The 32 bytes that `text` encodes in base64url; ``None`` if it is not valid."""
    try:
        key = base64.urlsafe_b64decode(text)
    except ValueError:
        return None
    return key if len(key) == _KEY_BYTES else None


def _text(path: Path, new: bytes) -> str:
    return _content(path, new).decode("utf-8", "replace").strip()


def _content(path: Path, new: bytes) -> bytes:
    try:
        _require_readable(path)
        return create_secret(path, new)
    except OSError as error:
        raise ConfigurationError(f"The key file {path} cannot be used: {error.strerror or error}.") from error


def _require_readable(path: Path) -> None:
    """Not a link to what is not the plugin's, nor a pipe, which would never be read to its end."""
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(state.st_mode):
        raise ConfigurationError(
            f"{path} must be a file, and is a link, a pipe or a folder. Put the file with the key itself "
            "there, or remove it: a new key is made at the next start."
        )
    if state.st_size > _LONGEST_FILE:
        raise _damaged(path, "much", "one key")


def _damaged(path: Path, text: str, wanted: str) -> ConfigurationError:
    found = "is damaged" if text else "is empty"
    return ConfigurationError(
        f"The key file {path} {found}: it must hold {wanted}. Put a backup of it back. Without one, "
        "delete it: a new key is made at the next start, and what the old one signed or encrypted is refused."
    )


READERS: Mapping[str, Callable[[Path], bytes]] = {
    "session.key": fernet_key,
    "values.key": fernet_key,
    "submission.key": hex_key,
    "schedule.key": hex_key,
    "template.key": hex_key,
    "trigger.key": hex_key,
    "webhook.key": text_secret,
}
"""What reads, or makes, each file in ``Secrets/``."""

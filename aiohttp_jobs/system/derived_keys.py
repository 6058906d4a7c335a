"""The installation's keys: derived from its secret, the same on all machines, or in files in ``Secrets/``.

All calls block.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import ConfigurationError
from .atomic import create_secret
from .key_files import READERS, fernet_key, hex_key, text_secret
from .signing import Signer

FINGERPRINT = "secret.fingerprint"
"""The file in ``Secrets/`` that says of which secret the keys of a data folder are made."""

_PURPOSES = {
    "session.key": "session",
    "values.key": "values",
    "submission.key": "sign submission",
    "schedule.key": "sign schedule",
    "template.key": "sign template",
    "trigger.key": "sign trigger",
    "webhook.key": "webhook",
}
_FORMS: Mapping[Callable[[Path], bytes], Callable[[bytes], bytes]] = {
    fernet_key: base64.urlsafe_b64encode,
    hex_key: bytes,
    text_secret: lambda key: key.hex().encode(),
}


class InstallationKeys:
    """The keys of the installation below `base`, by the names of their files.

    With a `secret`, keys are derived from it; what was signed or encrypted with existing files is still
    accepted.
    """

    def __init__(self, base: Path, secret: str | None = None) -> None:
        self._folder = base / "Secrets"
        self._secret = None if secret is None else secret.encode()

    def get(self, name: str) -> bytes:
        """The key, in the format of its file. Raises `ConfigurationError`."""
        read = READERS[name]
        if self._secret is None:
            return read(self._folder / name)
        return _FORMS[read](derived_key(self._secret, _PURPOSES[name]))

    def earlier(self, name: str) -> list[bytes]:
        """The key from before there was a secret, if its file still exists."""
        path = self._folder / name
        return [] if self._secret is None or not path.exists() else [READERS[name](path)]

    def signer(self, name: str) -> Signer:
        """A signer with that key. Raises `ConfigurationError`."""
        return Signer(self.get(name), *self.earlier(name))

    def has_secret(self) -> bool:
        """Whether hosts with a secret have used the folder already."""
        return (self._folder / FINGERPRINT).exists()

    def require_same_secret(self) -> None:
        """Raise `ConfigurationError` when other hosts use the folder with another secret, or with one and we
        have none.
        """
        path = self._folder / FINGERPRINT
        if self._secret is None:
            if path.exists():
                raise ConfigurationError(
                    "This data folder belongs to hosts with a secret, and this one has none. Give it the "
                    "same (AIOHTTP_JOBS_SECRET). To do without one from now on, stop all hosts and delete "
                    f"{path}: waiting jobs, schedules and templates that it signed are then refused."
                )
            return
        mine = fingerprint(self._secret)
        try:
            kept = create_secret(path, mine.encode()).decode("utf-8", "replace").strip()
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be used: {error.strerror or error}.") from error
        if not hmac.compare_digest(kept.encode(), mine.encode()):
            raise ConfigurationError(
                "This data folder belongs to hosts with another secret. Give all of them the same one "
                f"(AIOHTTP_JOBS_SECRET). To change it, stop all hosts and delete {path}: waiting jobs, "
                "schedules and templates that the other one signed are then refused."
            )


def derived_key(secret: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one `purpose`; it reveals nothing about `secret` or its other keys."""
    return hmac.digest(secret, purpose.encode(), hashlib.sha256)


def fingerprint(secret: bytes) -> str:
    """Identifies a `secret`, to compare those of two processes; it need not be kept secret."""
    return derived_key(secret, "fingerprint").hex()

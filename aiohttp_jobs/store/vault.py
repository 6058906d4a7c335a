"""Values encrypted at rest with a key of the data folder's own, ``Secrets/values.key``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from ..errors import ForbiddenError
from .durable import create_secret


class Vault:
    """Seals secret values for one job and opens them for the same. `open` comes first, and blocks."""

    def __init__(self, base: Path) -> None:
        self._path = base / "Secrets" / "values.key"

    def open(self) -> None:
        self._fernet = Fernet(create_secret(self._path, Fernet.generate_key()).strip())

    def seal(self, job_id: str, values: Mapping[str, str]) -> str:
        """The text to store (Fernet, https://github.com/fernet/spec); worth nothing in another job's file."""
        plain = json.dumps({"job": job_id, "values": dict(values)}, ensure_ascii=False)
        return self._fernet.encrypt(plain.encode()).decode()

    def unseal(self, job_id: str, sealed: str | None) -> dict[str, str]:
        """The values again, none for ``None``. Raises `ForbiddenError` when they are not this job's."""
        if sealed is None:
            return {}
        try:
            content = json.loads(self._fernet.decrypt(sealed.encode()))
        except InvalidToken:
            content = {}
        if content.get("job") != job_id:
            raise ForbiddenError(
                "The secret values of this job cannot be decrypted: they were encrypted with another key, "
                "or for another job. Run the template anew."
            )
        values: dict[str, str] = content["values"]
        return values

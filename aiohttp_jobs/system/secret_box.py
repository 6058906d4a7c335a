"""Vault: encrypts secret values at rest with the installation's key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import ForbiddenError
from .derived_keys import InstallationKeys

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_KEY = "values.key"


class Vault:
    """Encrypts secret values for one job, and decrypts them for the same job only.

    Call `open` first; it blocks. The first use of the other methods blocks too, because it imports the
    cryptography.
    """

    def __init__(self, keys: InstallationKeys) -> None:
        self._source = keys

    def open(self) -> None:
        self._keys = [self._source.get(_KEY), *self._source.earlier(_KEY)]

    def seal(self, job_id: str, values: Mapping[str, str]) -> str:
        """Encrypt the values (Fernet, https://github.com/fernet/spec); useless in another job's file."""
        plain = json.dumps({"job": job_id, "values": dict(values)}, ensure_ascii=False)
        return self._fernet.encrypt(plain.encode()).decode()

    def unseal(self, job_id: str, sealed: str | None) -> dict[str, str]:
        """Decrypt the values; empty for ``None``. Raises `ForbiddenError` when they are not this job's."""
        if sealed is None:
            return {}
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - see `_fernet`

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

    @cached_property
    def _fernet(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - 7 MB that only secret values need

        return MultiFernet([Fernet(key) for key in self._keys])

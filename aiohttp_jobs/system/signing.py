"""Signatures of records, so that one that was edited where it is kept does not run."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from .key_files import hex_key

FIELD = "Signature"
_SCHEME = "hmac-sha256:"
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Signer:
    """Signs records with HMAC-SHA256 (RFC 2104) over their canonical JSON.

    Canonical is: every field but ``Signature``, names sorted, no white space, non-ASCII escaped.
    """

    def __init__(self, key: bytes) -> None:
        self._begun = hmac.new(key, digestmod="sha256")

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The signer whose 32-byte key lies hexadecimal in `path`, made (0600) on first use.

        Raises `ConfigurationError` when there is something else in it. Blocks.
        """
        return cls(hex_key(path))

    def signature(self, record: Mapping[str, Any]) -> str:
        unsigned = {name: value for name, value in record.items() if name != FIELD}
        mac = self._begun.copy()
        mac.update(_canonical(unsigned).encode())
        return _SCHEME + mac.hexdigest()

    def sign(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of `record` with its ``Signature``."""
        return {**record, FIELD: self.signature(record)}

    def is_valid(self, record: Mapping[str, Any]) -> bool:
        claimed = record.get(FIELD)
        return isinstance(claimed, str) and hmac.compare_digest(
            claimed.encode("utf-8", "replace"), self.signature(record).encode()
        )

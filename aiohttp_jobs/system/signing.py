"""Signatures of records, so that one that was edited where it is kept does not run."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

FIELD = "Signature"
_SCHEME = "hmac-sha256:"
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Signer:
    """Signs records with HMAC-SHA256 (RFC 2104) over their canonical JSON.

    Canonical is: every field but ``Signature``, names sorted, no white space, non-ASCII escaped. What was
    signed with one of the keys `believed` is valid too.
    """

    def __init__(self, key: bytes, *believed: bytes) -> None:
        self._begun, *self._believed = (hmac.new(each, digestmod="sha256") for each in (key, *believed))

    def signature(self, record: Mapping[str, Any]) -> str:
        return _signature(self._begun, record)

    def sign(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of `record` with its ``Signature``."""
        return {**record, FIELD: self.signature(record)}

    def is_valid(self, record: Mapping[str, Any]) -> bool:
        claimed = record.get(FIELD)
        return isinstance(claimed, str) and any(
            hmac.compare_digest(claimed.encode("utf-8", "replace"), _signature(begun, record).encode())
            for begun in (self._begun, *self._believed)
        )


def _signature(begun: hmac.HMAC, record: Mapping[str, Any]) -> str:
    unsigned = {name: value for name, value in record.items() if name != FIELD}
    mac = begun.copy()
    mac.update(_canonical(unsigned).encode())
    return _SCHEME + mac.hexdigest()

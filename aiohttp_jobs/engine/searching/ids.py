"""Job ids as indexes keep them: as sixteen bytes. Pure, and much used, which ``uuid`` is too slow for."""

from __future__ import annotations

import re

_CANONICAL = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def id_bytes(job_id: str) -> bytes:
    """The bytes of a job id (RFC 9562). Raises ``ValueError`` when it is not written as we write them."""
    if _CANONICAL.fullmatch(job_id) is None:
        raise ValueError("not a job id")
    return bytes.fromhex(job_id.replace("-", ""))


def id_text(job_id: bytes) -> str:
    """The job id with these bytes, as we write it."""
    digits = job_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

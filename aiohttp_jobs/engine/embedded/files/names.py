"""Safe file names: any text becomes one path component that cannot leave its folder or collide.

Plain names stay as they are, so that people and other programs can read the folders.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from urllib.parse import unquote

_PLAIN = re.compile(rb"[A-Za-z0-9@+=,._-]")
_ALL_PLAIN = re.compile(r"[A-Za-z0-9@+=,_-](?:[A-Za-z0-9@+=,._-]*[A-Za-z0-9@+=,_-])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
_DIGEST_LENGTH = 32


def safe_component(text: str, max_bytes: int = 120) -> str:
    """`text` as one file-name component of at most `max_bytes` bytes (at least 40).

    Bytes outside ``A-Z a-z 0-9 @ + = , . _ -`` are percent-encoded, and so are a leading or trailing
    dot and the first letter of a name that Windows reserves. What is too long is cut and ended with
    ``~`` and a digest of the whole; ``~`` and ``%`` themselves are always encoded, so that two
    different texts never share a name.
    """
    if len(text) <= max_bytes:
        return _short_component(text, max_bytes)
    return _component(text, max_bytes)


@lru_cache(maxsize=4096)
def _short_component(text: str, max_bytes: int) -> str:
    """The same for what is short enough to be remembered: most names come again with each job."""
    return _component(text, max_bytes)


def _component(text: str, max_bytes: int) -> str:
    if len(text) <= max_bytes and _ALL_PLAIN.fullmatch(text) and not _RESERVED.match(text):
        return text
    raw = text.encode("utf-8", "surrogatepass")
    encoded = "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"%{byte:02X}" for byte in raw)
    if not encoded:
        return "%"
    if encoded.startswith(".") or _RESERVED.match(encoded):
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if encoded.endswith("."):
        encoded = encoded[:-1] + "%2E"
    if len(encoded) <= max_bytes:
        return encoded
    digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_LENGTH]
    return encoded[: max_bytes - _DIGEST_LENGTH - 1] + "~" + digest


def original_text(component: str) -> str:
    """The text behind a name made by `safe_component`; a name that was cut is returned as it is."""
    if component == "%":
        return ""
    return component if "~" in component else unquote(component, errors="replace")


def submission_stem(session_id: str, job_name: str, job_id: str) -> str:
    """``[SessionID]_[JobName]_[JobID]``, at most 197 bytes (specification, "File Format")."""
    return f"{safe_component(session_id, 64)}_{safe_component(job_name, 95)}_{job_id}"

"""Parses messages of the Model Context Protocol: JSON-RPC 2.0, and the protocol's revision.

Methods are in ``methods``, tools in ``tool`` and the modules that define them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NEWEST = "2026-07-28"
"""Each request says by itself what it needs: there is no handshake, and there are no sessions."""
WITH_HANDSHAKE = ("2025-03-26", "2025-06-18", "2025-11-25")
"""Earlier revisions, oldest first; one is agreed upon by ``initialize``."""
SUPPORTED = (*WITH_HANDSHAKE, NEWEST)

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022

_VERSION_HEADER = "MCP-Protocol-Version"
_VERSION = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_MOST_ID = 200
_ENCODED = ("=?base64?", "?=")

MessageID = str | int | None


class RpcError(Exception):
    """An error response to a message: `code` is JSON-RPC's or the protocol's, `status` HTTP's."""

    def __init__(self, code: int, message: str, *, status: int = 400, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data

    def to_json(self, message_id: MessageID) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return {"jsonrpc": "2.0", "id": message_id, "error": error}


@dataclass(frozen=True, slots=True)
class Message:
    """A request or, without an `id`, a notification. `is_newest` selects the protocol's newest revision."""

    method: str
    params: Mapping[str, Any]
    id: MessageID
    is_notification: bool
    is_newest: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def progress_token(self) -> str | int | None:
        """The token under which the caller wants progress reports, if any."""
        token = self.meta.get("progressToken")
        return token if isinstance(token, str | int) and not isinstance(token, bool) else None


def id_of(data: Mapping[str, Any]) -> MessageID:
    """The id to answer to; ``None`` if it is not valid."""
    found = data.get("id")
    is_one = isinstance(found, int) and not isinstance(found, bool)
    return found if is_one or (isinstance(found, str) and len(found) <= _MOST_ID) else None


def read_message(data: Mapping[str, Any], headers: Mapping[str, str]) -> Message:
    """Parse the message in the JSON object `data`, which came with `headers`. Raises `RpcError`."""
    method, params = data.get("method"), data.get("params", {})
    if data.get("jsonrpc") != "2.0" or not isinstance(method, str):
        raise RpcError(
            INVALID_REQUEST, "The body must be one JSON-RPC 2.0 request or notification with its method."
        )
    is_notification = "id" not in data
    if not is_notification and id_of(data) is None:
        message = f"The id of a request must be a whole number, or a text of at most {_MOST_ID} characters."
        raise RpcError(INVALID_REQUEST, message)
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "The params must be an object.")
    meta = params.get("_meta", {})
    if not isinstance(meta, dict):
        raise RpcError(INVALID_PARAMS, "The params' _meta must be an object.")
    version = headers.get(_VERSION_HEADER)
    is_newest = version == NEWEST or _VERSION in meta
    message_of = Message(method, params, id_of(data), is_notification, is_newest, meta)
    if is_newest and not is_notification:
        _require_envelope(message_of, headers)
    elif method != "initialize" and version is not None and version not in SUPPORTED:
        raise _unsupported(version)
    return message_of


def _require_envelope(message: Message, headers: Mapping[str, str]) -> None:
    """What the newest revision wants of each request: see its "Streamable HTTP". Raises `RpcError`."""
    missing = [key for key in (_VERSION, _CAPABILITIES) if key not in message.meta]
    if missing:
        raise RpcError(INVALID_PARAMS, f"The params' _meta lacks {' and '.join(missing)}.")
    expected = {_VERSION_HEADER: message.meta[_VERSION], "Mcp-Method": message.method}
    if message.method == "tools/call":
        expected["Mcp-Name"] = message.params.get("name")
    for name, value in expected.items():
        if _decoded(headers.get(name)) != value:
            raise RpcError(HEADER_MISMATCH, f"The header {name} does not say what the request's body says.")
    if message.meta[_VERSION] != NEWEST:
        raise _unsupported(str(message.meta[_VERSION])[:64])


def _unsupported(version: str) -> RpcError:
    text = f"This server does not speak revision {version[:64]} of the protocol, but {', '.join(SUPPORTED)}."
    data = {"supported": list(SUPPORTED), "requested": version[:64]}
    return RpcError(UNSUPPORTED_VERSION, text, data=data)


def _decoded(value: str | None) -> str | None:
    """A header's value, which is encoded where it has more than printable ASCII."""
    start, end = _ENCODED
    if value is None or not (value.startswith(start) and value.endswith(end)):
        return value
    try:
        return base64.b64decode(value[len(start) : -len(end)], validate=True).decode()
    except (binascii.Error, ValueError):
        return None

"""The interface of a notice channel, such as e-mail."""

from __future__ import annotations

import re
from typing import Protocol

from ..model.notice import Notice

_MAX_ERROR = 300


class DeliveryError(Exception):
    """A notice was not delivered. The message is a short sentence without secrets or paths of addresses.

    `is_final`: retrying is useless. `retry_after`: the receiver asked to wait this many seconds. `remaining`:
    the recipients that did not get it; ``None`` means all.
    """

    def __init__(
        self,
        message: str,
        *,
        is_final: bool = False,
        retry_after: float | None = None,
        remaining: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(one_line(message)[:_MAX_ERROR])
        self.is_final = is_final
        self.retry_after = retry_after
        self.remaining = remaining


class Channel(Protocol):
    """Sends notices of one kind."""

    async def open(self) -> None:
        """Prepare for sending. Raises `ConfigurationError`."""
        ...

    async def close(self) -> None: ...

    async def send(self, notice: Notice) -> None:
        """Send a notice. Raises `DeliveryError`. May take long; the caller sets a timeout."""
        ...


def one_line(text: str) -> str:
    """`text` as one line of printable characters."""
    return re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]+", " ", text).strip()

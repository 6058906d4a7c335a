"""What delivery asks of a way to tell somebody something."""

from __future__ import annotations

import re
from typing import Protocol

from ..model.notice import Notice

_MAX_ERROR = 300


class DeliveryError(Exception):
    """A notice did not arrive. The message is one short sentence, without secrets or addresses' paths.

    `is_final`: trying again is of no use. `retry_after`: the receiver asked for so many seconds.
    `remaining`: the addresses that have not got it, ``None`` for all.
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
        """Get ready. Raises `ConfigurationError`."""
        ...

    async def close(self) -> None: ...

    async def send(self, notice: Notice) -> None:
        """Raises `DeliveryError`. May take long: the caller bounds it."""
        ...


def one_line(text: str) -> str:
    """`text` as one line of printable characters."""
    return re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]+", " ", text).strip()

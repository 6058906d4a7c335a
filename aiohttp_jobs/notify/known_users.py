"""Withholds notices about jobs of removed users."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..errors import RightsUnavailableError
from ..model.notice import Notice
from .channel import Channel, DeliveryError

IsKnown = Callable[[str, str], Awaitable[bool]]
"""Whether there still is a user, by the user's id and what the job was submitted with."""


class KnownUsersOnly:
    """A `Channel` that passes on to `channel` only notices of users that `is_known` accepts."""

    def __init__(self, channel: Channel, is_known: IsKnown) -> None:
        self._channel = channel
        self._is_known = is_known

    async def open(self) -> None:
        """Open the channel. Raises `ConfigurationError`."""
        await self._channel.open()

    async def close(self) -> None:
        await self._channel.close()

    async def send(self, notice: Notice) -> None:
        """Send a notice. Raises `DeliveryError`, a final one when the user no longer exists."""
        try:
            is_known = await self._is_known(notice.user_id, notice.submitted_with)
        except RightsUnavailableError:
            raise DeliveryError("Whether the user still exists cannot be found out at the moment.") from None
        if not is_known:
            raise DeliveryError("It was not sent, as its user no longer exists.", is_final=True)
        await self._channel.send(notice)

"""What a function is told of the job that it runs as, and how it tells how far it has come.

What progress prints, and who sets `cancelled`, is left to whatever runs the function.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # workers do without
    from aiohttp import web


class Cancelled(Protocol):
    """Set when the job is to end: it was cancelled, or its time is over. As ``threading.Event`` has it."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """The job that a function runs as; the function's first parameter, if it asks for one.

    `user` is whose job it is, `attempt` counts from 1, and at `deadline` (aware) the job's time is over.
    What `log` is told goes into the job's output. In a coroutine `cancelled` goes with ``CancelledError``.
    """

    id: str
    user: str
    attempt: int
    deadline: datetime
    cancelled: Cancelled
    log: logging.Logger
    report: Callable[[float | None, str], None] = field(repr=False)
    """Told what `progress` is, for whatever runs the function."""
    application: web.Application | None = field(default=None, repr=False)

    @property
    def app(self) -> web.Application:
        """The host's application. Raises ``RuntimeError`` outside of MainLoop, where there is none."""
        if self.application is None:
            raise RuntimeError(
                "job.app is there only in MainLoop: other functions run in processes of their own, without "
                "the application."
            )
        return self.application

    def progress(self, share: float | None, text: str = "") -> None:
        """Tell how much of the work is done, from 0 to 1, ``None``: that is not known; and, in `text`, what.

        May be called as often as one likes: the last one is always shown.
        """
        self.report(share, text)

"""JobContext: what a function knows of its job, and how it reports progress and logs.

Whatever runs the function sets `cancelled` and handles the reports.
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
    """Set when the job is to stop: it was cancelled, or timed out.

    Has the interface of ``threading.Event``.
    """

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """The job that a function runs as, passed as its first parameter if it asks for it.

    `user` is the job's owner, `attempt` counts from 1, `deadline` (aware) is when the job times out. `log`
    writes to the job's output. In a coroutine, cancellation also raises ``CancelledError``.
    """

    id: str
    user: str
    attempt: int
    deadline: datetime
    cancelled: Cancelled
    log: logging.Logger
    report: Callable[[float | None, str], None] = field(repr=False)
    """Receives each progress; set by whatever runs the function."""
    application: web.Application | None = field(default=None, repr=False)

    @property
    def app(self) -> web.Application:
        """The host's application. Raises ``RuntimeError`` outside MainLoop."""
        if self.application is None:
            raise RuntimeError(
                "job.app is there only in MainLoop: other functions run in processes of their own, without "
                "the application."
            )
        return self.application

    def progress(self, share: float | None, text: str = "") -> None:
        """Report the share of the work that is done, from 0 to 1 or ``None`` if unknown, and what is done
        now.

        It may be called often: updates are throttled, and the last one is always shown.
        """
        self.report(share, text)

"""Tells those who watch the list of jobs what changes in it, whichever process has the job.

Costs nothing while nobody watches. What a change looks like, and who may see it, is left to who watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...model.job import JobPhase
from ..base import JobChange
from .active import ActiveJob

Listener = Callable[[JobChange], None]


class JobChanges:
    """Passes changes on to all listeners, in the event loop."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self.on_departed: Callable[[str, str], None] = lambda user_id, job_id: None
        """Told the owner and the id of each job that went to another process."""

    @contextmanager
    def watch(self, listener: Listener) -> Iterator[None]:
        """Inside the block `listener` is called for each change."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def changed(self, active: ActiveJob[Any]) -> None:
        """A job of this process is in another state than before."""
        if not self._listeners:
            return
        if active.state is not JobPhase.ENDED:
            state = active.snapshot()
            self.tell(JobChange(state.user_id, state.job_id, state=state))
        elif active.record is not None:
            self.tell(JobChange(active.job.user_id, active.job.job_id, record=active.record))
        else:
            self.on_departed(active.job.user_id, active.job.job_id)

    def deleted(self, user_id: str, job_id: str) -> None:
        """The result of a job of `user_id` was deleted."""
        self.tell(JobChange(user_id, job_id))

    def tell(self, change: JobChange) -> None:
        """Pass a change on."""
        for listener in tuple(self._listeners):
            listener(change)

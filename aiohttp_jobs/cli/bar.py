"""The status line or progress bar that a terminal shows below a job's output. ``following`` decides when."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.status import Status


class Line:
    """A status line with a spinner."""

    def __init__(self, text: str) -> None:
        self._shown = Status(text, console=Console(stderr=True))
        self._shown.start()

    def update(self, text: str) -> None:
        self._shown.update(text)

    def stop(self) -> None:
        self._shown.stop()


class Bar:
    """A progress bar."""

    def __init__(self) -> None:
        words = TextColumn("{task.description}", markup=False)
        console = Console(stderr=True)
        self._shown = Progress(BarColumn(), TaskProgressColumn(), words, console=console, transient=True)
        self._task: TaskID | None = None

    def draw(self, share: float | None, text: str) -> None:
        """Draw the bar. Without a `share` it is animated."""
        if self._task is not None:
            self._shown.remove_task(self._task)
        total = None if share is None else 100
        self._task = self._shown.add_task(text, total=total, completed=int((share or 0.0) * 100 + 1e-6))
        self._shown.start()

    def erase(self) -> None:
        self._shown.stop()

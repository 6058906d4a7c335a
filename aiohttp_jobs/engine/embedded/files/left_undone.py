"""What a failing disk refused and has to be done all the same: the one memory of it, asked at each look for
jobs. Trees of files, which take long to remove, are left to ``system.removal``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from threading import RLock

NOTHING_TO_DO = nullcontext()
"""For a block that mostly needs nothing before it and after it; has no state."""


class LeftUndone:
    """Work by the path that it is about. It raises ``OSError`` for as long as it is refused.

    All calls but ``in`` may block, `add` too while another thread is at it; from any thread.
    """

    def __init__(self) -> None:
        self._work: dict[str, Callable[[], object]] = {}
        self._guard = RLock()

    def __contains__(self, path: str) -> bool:
        return path in self._work

    def add(self, path: str, work: Callable[[], object]) -> None:
        """Have `work` done later."""
        with self._guard:
            self._work[path] = work

    def drop(self, path: str) -> None:
        """`path` is needed again as it is: what was to be done is not. Waits while it is being done."""
        if path in self._work:
            with self._guard:
                self._work.pop(path, None)

    def replaced(self, path: str) -> AbstractContextManager[None]:
        """The block makes `path` anew; what was to be done with the old one is not, unless that fails."""
        return self._replaced(path) if path in self._work else NOTHING_TO_DO

    @contextmanager
    def _replaced(self, path: str) -> Iterator[None]:
        with self._guard:
            yield
            self._work.pop(path, None)

    def try_again(self) -> None:
        """Do what the disk no longer refuses."""
        for path in tuple(self._work):
            with suppress(OSError):
                self.finish(path)

    def finish(self, path: str) -> None:
        """Do what is to be done about `path`, if anything is. Raises ``OSError`` when it is still refused."""
        if path not in self._work:
            return
        with self._guard:  # or else it might be needed again meanwhile
            work = self._work.get(path)
            if work is not None:
                work()
                if self._work.get(path) is work:
                    del self._work[path]

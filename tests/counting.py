"""Sees the folders that this process lists, by Python's own audit events: which, and when."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_watched: list[tuple[str, list[str]]] = []
_awaited: dict[str, Callable[[], object]] = {}


@contextmanager
def listed_folders(base: Path) -> Iterator[list[str]]:
    """Grows by the path, relative to `base`, of each folder below it that is listed."""
    watched: tuple[str, list[str]] = (os.fspath(base), [])
    _watched.append(watched)
    try:
        yield watched[1]
    finally:
        _watched.remove(watched)


@contextmanager
def before_listing(folder: Path, act: Callable[[], object]) -> Iterator[None]:
    """Calls `act` when `folder` is about to be listed for the first time, in the thread that lists it.

    Raises ``AssertionError`` when nobody has listed it by the end.
    """
    path = os.fspath(folder)
    _awaited[path] = act
    try:
        yield
    finally:
        was_listed = _awaited.pop(path, None) is None
    assert was_listed, f"nobody listed {folder}"


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"os.scandir", "os.listdir"} and isinstance(arguments[0], (str, os.PathLike)):
        path = str(os.fspath(arguments[0]))
        act = _awaited.pop(path, None)
        if act is not None:
            act()
        for base, seen in _watched:
            if path.startswith(base):
                seen.append(os.path.relpath(path, base))


sys.addaudithook(_note)

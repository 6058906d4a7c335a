"""Errors of the host's functions as their owners see them: from the function's first line to its last."""

from __future__ import annotations

import traceback
from collections.abc import Collection
from types import CodeType, TracebackType

from ...functions import context


def describe(error: BaseException, callers: Collection[CodeType], message: str = "") -> str:
    """``[ERROR]`` and the last line of the trace (or `message`), then the trace itself.

    It begins behind the last frame of `callers`, the code that calls functions.
    """
    trace = own_trace(error, callers)
    last = traceback.format_exception_only(type(error), error)[-1].strip()
    lines = traceback.format_exception(type(error), error, trace)
    return f"[ERROR] {message or last}\n{''.join(lines)}"


def own_trace(error: BaseException, callers: Collection[CodeType]) -> TracebackType | None:
    """What of its trace is behind `callers`, up to where the function has called its context."""
    trace = behind = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in callers:
            behind = trace.tb_next
        elif trace.tb_next is not None and trace.tb_next.tb_frame.f_code.co_filename == context.__file__:
            trace.tb_next = None
        trace = trace.tb_next
    return behind

"""Tracebacks of the host's functions as their owners see them: only the function's own frames."""

from __future__ import annotations

import traceback
from collections.abc import Collection
from types import CodeType, TracebackType

from ...functions import context


def describe(error: BaseException, callers: Collection[CodeType], message: str = "") -> str:
    """``[ERROR]`` and the last line of the traceback (or `message`), then the traceback itself.

    It starts after the last frame of `callers`, the code that calls functions.
    """
    trace = own_trace(error, callers)
    last = traceback.format_exception_only(type(error), error)[-1].strip()
    lines = traceback.format_exception(type(error), error, trace)
    return f"[ERROR] {message or last}\n{''.join(lines)}"


def own_trace(error: BaseException, callers: Collection[CodeType]) -> TracebackType | None:
    """The part of the traceback after `callers`, up to where the function called its context."""
    trace = behind = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in callers:
            behind = trace.tb_next
        elif trace.tb_next is not None and trace.tb_next.tb_frame.f_code.co_filename == context.__file__:
            trace.tb_next = None
        trace = trace.tb_next
    return behind

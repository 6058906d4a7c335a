"""Runs Python source as a job: top-level await, the last expression's value printed, errors marked.

Imports only the standard library: job processes start with this file, without the package.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
import sys
import traceback
import types
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

FILENAME = "<job>"
# site's own exit() closes the process's stdin on its way out.
_BASICS: dict[str, Any] = {"__builtins__": builtins, "exit": sys.exit, "quit": sys.exit}
_MOST_CODES = 32
_LARGEST_KEPT = 4096


def new_namespace(**names: Any) -> dict[str, Any]:
    """The globals of a new ``__main__``, with `names` added."""
    return vars(types.ModuleType("__main__")) | _BASICS | names


def compile_job(source: str, filename: str = FILENAME) -> list[types.CodeType]:
    """The code objects to run in order; the value of the last is what a REPL would print.

    Raises ``SyntaxError``, and ``ValueError`` for source that cannot be parsed.
    """
    tree = ast.parse(source, filename)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    parts: list[ast.Module | ast.Expression] = [tree]
    if isinstance(last, ast.Expr):
        parts.append(ast.Expression(last.value))
    return [_compile(part, filename) for part in parts]


def _compile(part: ast.Module | ast.Expression, filename: str) -> types.CodeType:
    mode = "eval" if isinstance(part, ast.Expression) else "exec"
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: types.CodeType = compile(part, filename, mode, flags=flags, dont_inherit=True)
    return code


def remember_source(source: str, filename: str = FILENAME) -> None:
    """Register the source, so that tracebacks show its lines."""
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)


def forget_source(filename: str) -> None:
    linecache.cache.pop(filename, None)


async def run_codes(codes: list[types.CodeType], namespace: dict[str, Any]) -> None:
    """Run what `compile_job` returned, and print the last value unless it is ``None``."""
    value = None
    for code in codes:
        value = eval(code, namespace)  # noqa: S307 - running code is the purpose
        if code.co_flags & inspect.CO_COROUTINE:
            value = await value
    if value is not None:
        sys.stdout.write(f"{value!r}\n")


def run_source(source: str, names: dict[str, Any]) -> int:
    """Run `source` in this process as ``__main__``, with `names` in its namespace; return its exit code.

    Errors are printed to ``sys.stderr``.
    """
    main = types.ModuleType("__main__")
    vars(main).update(_BASICS, **names)
    sys.modules["__main__"] = main
    remember_source(source)
    compiled = _compile_once if len(source) <= _LARGEST_KEPT else compile_job
    return report(lambda: _run(compiled(source), vars(main)))


def forget_values(names: Collection[str]) -> None:
    """Delete the variables `names` from the namespace that `run_source` has left."""
    main = sys.modules.get("__main__")
    if names and isinstance(main, types.ModuleType):
        for name in names:
            vars(main).pop(name, None)


@functools.lru_cache(_MOST_CODES)
def _compile_once(source: str) -> list[types.CodeType]:
    """`compile_job` for what a warm process is told to run again: to compile may take longer than to run."""
    return compile_job(source)


def _run(codes: list[types.CodeType], namespace: dict[str, Any]) -> None:
    job = run_codes(codes, namespace)
    if any(code.co_flags & inspect.CO_COROUTINE for code in codes):
        import asyncio  # noqa: PLC0415 - most jobs do without it, and start faster

        asyncio.run(job)
        return
    with suppress(StopIteration):
        job.send(None)


def report(run: Callable[[], object]) -> int:
    """Call `run`; return the exit code for how it ended. Exceptions are printed to ``sys.stderr``."""
    try:
        run()
    except SystemExit as end:
        return exit_code(end)
    except BaseException as error:
        sys.stderr.write(describe(error))
        return 1
    return 0


def exit_code(end: SystemExit) -> int:
    """The exit code for the argument of ``sys.exit``; a text is printed to ``sys.stderr``."""
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    sys.stderr.write(f"{end.code}\n")
    return 1


def describe(error: BaseException, message: str = "") -> str:
    """``[ERROR] message`` and the traceback (specification, "Error Handling"), starting at the job's first
    line.

    `message` replaces the exception's own.
    """
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(FILENAME[:-1]):
        trace = trace.tb_next
    message = message or str(error) or type(error).__name__
    lines = traceback.format_exception(type(error), error, trace)
    return f"[ERROR] {message}\n{''.join(lines)}"

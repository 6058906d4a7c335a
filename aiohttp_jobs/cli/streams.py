"""Standard input, output and error, also when they are closed, full, a broken pipe, or not in UTF-8.

What is printed, and how, is in ``printing`` and the commands.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import IO

BROKEN_PIPE = 141
"""The exit code when whoever read the output has gone, as a shell reports it for SIGPIPE."""


class OutputError(Exception):
    """Standard output cannot be written. The message says why; `code` is the exit code to end with."""

    def __init__(self, error: OSError) -> None:
        self.is_broken_pipe = error.errno == errno.EPIPE
        self.code = BROKEN_PIPE if self.is_broken_pipe else 1
        super().__init__(f"standard output cannot be written: {reason(error)}.")


def prepare_streams() -> None:
    """Open any standard stream that is missing, and let all of them take any character."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Else the first file or socket that is opened would get the number, and what is printed.
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for the process's life
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace" if stream is sys.stderr else "replace")  # type: ignore[union-attr]


def write_out(data: str | bytes) -> None:
    """Write all of `data` to standard output. Raises `OutputError`."""
    try:
        if isinstance(data, str):
            sys.stdout.write(data)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except OSError as error:
        _give_up(sys.stdout)
        raise OutputError(error) from None


def nobody_reads() -> OutputError:
    """What to raise when nobody reads standard output any more; what is still written goes nowhere."""
    _give_up(sys.stdout)
    return OutputError(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))


def say(sentence: str) -> None:
    """Write a line to standard error, if possible."""
    try:
        sys.stderr.write(f"aiohttp-jobs: {sentence}\n")
        sys.stderr.flush()
    except OSError:
        _give_up(sys.stderr)


def flush_all() -> None:
    """Flush both streams. Raises `OutputError`."""
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    write_out("")


def read_in() -> str:
    """Read all of standard input as UTF-8. Raises ``ValueError`` and ``OSError``."""
    return sys.stdin.buffer.read().decode()


def takes_all_characters() -> bool:
    """Whether standard output can show any character."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def reason(error: OSError) -> str:
    """Why something failed, as words for the middle of a sentence."""
    if error.errno == errno.ENOSPC:
        return "no space left on the device"
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def _give_up(stream: IO[str]) -> None:
    """Send what the stream still holds nowhere: the interpreter would try again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()

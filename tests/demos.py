"""The demo in a process of its own for tests of what the documentation says; forked, see `prefork`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .prefork import Program

_SECONDS = 120.0


@contextmanager
def demo(port: int, data_dir: Path, env: Mapping[str, str]) -> Iterator[None]:
    """A demo during the block, once it listens; `env` is all of its environment."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as printed:
        with open(os.devnull) as nothing:
            streams = nothing.fileno(), write_end, write_end
            arguments = ["--port", str(port), "--data-dir", str(data_dir)]
            program = Program("demo_app", arguments, streams, env)
        os.close(write_end)
        while "Press Ctrl+C" not in (line := printed.readline()):
            assert line, "the demo ended when it started"
        reading = threading.Thread(target=printed.read)  # or it would wait for that, once it has said much
        reading.start()
        try:
            yield
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(_SECONDS)
            reading.join()

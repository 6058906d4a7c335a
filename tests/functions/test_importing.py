"""Modules of functions that fail or hang in a worker: their jobs are told why, and the others go on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.worker import pool

from .conftest import FunctionCaller, StartHost

GOOD = """
from aiohttp_jobs import Functions

jobs = Functions()

@jobs.function(mode=["Runspace", "BackgroundJob"])
def good() -> str:
    return "good"
"""
BAD = """
import os, sys, time
from {good} import jobs

@jobs.function(mode=["Runspace", "BackgroundJob"])
def bad() -> str:
    return "bad"

if "AIOHTTP_JOBS_INSTANCE" in os.environ:
    {does}
"""
START = """
import os
from aiohttp_jobs import Functions

jobs = Functions()

@jobs.on_worker_start
def open_it() -> None:
    print("opens")
    if not os.path.exists({there!r}):
        raise ConnectionError("the database is away")

@jobs.function(mode=["Runspace", "BackgroundJob"])
def works() -> str:
    return "works"
"""
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module that this process and workers can import; its name."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def write_module(name: str, text: str, **values: Any) -> str:
        own = f"{name}_{tmp_path.name}"
        (folder / f"{own}.py").write_text(text.format(**values) if values else text)
        monkeypatch.delitem(sys.modules, own, raising=False)
        return own

    return write_module


async def caller(start_host: StartHost, module: str) -> FunctionCaller:
    functions = importlib.import_module(module).jobs
    return FunctionCaller((await start_host(functions=functions)).caller("debug"))


@pytest.mark.parametrize("mode", ["Runspace", "BackgroundJob"])
@pytest.mark.parametrize(
    ("does", "error"),
    [
        ("raise RuntimeError('not here')", "RuntimeError: not here"),
        ("import nothing_with_this_name", "ModuleNotFoundError: No module named 'nothing_with_this_name'"),
    ],
)
async def test_a_module_that_cannot_be_imported_fails_its_jobs_with_that_traceback(
    start_host: StartHost, write: Write, mode: str, does: str, error: str
) -> None:
    good = write("good", GOOD)
    bad = write("bad", BAD, good=good, does=does)
    importlib.import_module(bad)
    alice = await caller(start_host, good)
    for _ in range(2):
        result = await alice.run("bad", mode)
        assert (result["Status"], result["ExitCode"]) == ("Failed", 1)
        lines = result["Output"].splitlines()
        assert (lines[0], lines[1]) == (f"[ERROR] {error}", "Traceback (most recent call last):")
        assert f"{bad}.py" in lines[2]
        assert lines[-1] == error
        assert "aiohttp_jobs/worker" not in result["Output"]
        assert await alice.value("good", mode) == "good"


@pytest.mark.parametrize("does", ["os._exit(3)", "sys.exit(3)"])
async def test_a_module_that_ends_the_process_fails_its_jobs_alone(
    start_host: StartHost, write: Write, does: str
) -> None:
    good = write("good", GOOD)
    importlib.import_module(write("bad", BAD, good=good, does=does))
    alice = await caller(start_host, good)
    for _ in range(2):
        assert await alice.value("good", "Runspace") == "good"
        for mode in ("Runspace", "BackgroundJob"):
            result = await alice.run("bad", mode)
            assert (result["Status"], result["ExitCode"]) == ("Failed", 3)


async def test_a_module_that_hangs_as_it_is_imported_holds_up_its_jobs_alone(
    start_host: StartHost, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_START_SECONDS", 10.0)
    good = write("good", GOOD)
    importlib.import_module(write("bad", BAD, good=good, does="time.sleep(600)"))
    alice = await caller(start_host, good)
    assert await alice.value("good", "Runspace") == "good"
    for mode in ("Runspace", "BackgroundJob"):
        result = await alice.run("bad", mode, timeoutSeconds=1.0)
        assert result["Status"] == "TimedOut"
    assert await alice.value("good", "Runspace") == "good"


@pytest.mark.parametrize("mode", ["Runspace", "BackgroundJob"])
async def test_what_has_to_be_opened_first_and_cannot_fails_the_job(
    start_host: StartHost, write: Write, tmp_path: Path, mode: str
) -> None:
    there = tmp_path / "there"
    alice = await caller(start_host, write("start", START, there=str(there)))
    result = await alice.run("works", mode)
    assert result["Status"] == "Failed"
    # A worker has opened it before there was a job.
    said = "" if mode == "Runspace" else "opens\n"
    assert result["Output"].startswith(f"{said}[ERROR] ConnectionError: the database is away\nTraceback")
    there.touch()
    assert await alice.value("works", mode) == "works"


async def test_no_worker_at_all_is_told_to_the_jobs_owner(
    start_host: StartHost, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = write("good", GOOD)
    functions = importlib.import_module(good).jobs
    monkeypatch.setattr(sys, "executable", "/bin/false")
    alice = FunctionCaller(
        (await start_host(functions=functions, default_interpreter="shell")).caller("debug")
    )
    result = await alice.run("good", "Runspace")
    assert result["Status"] == "Failed"
    assert result["Output"] == "[ERROR] No worker process could be started to run the function in.\n"

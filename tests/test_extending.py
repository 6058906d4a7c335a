"""CONTRIBUTING.md, "Adding …": each kind of addition is made to a copy of the package, as is said there."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import ClientSession

from .conftest import Caller
from .gate import until
from .hosts.process import ROOT, caller_of, new_key, running


class Entry(NamedTuple):
    """The text `added` goes before the only `text` in the file `path` of the package."""

    path: str
    text: str
    added: str


class Addition(NamedTuple):
    """The file of `tests/extensions` that is put at `home` in the package, and what makes it known there."""

    name: str
    home: str
    entries: Sequence[Entry]


MODE = Addition(
    "dry_run.py",
    "worker/dry_run.py",
    (
        Entry("model/words.py", '    MAIN_LOOP = "MainLoop"', '    DRY_RUN = "DryRun"\n'),
        Entry("worker/modes.py", "from .functions.background", "from .dry_run import DryRun\n"),
        Entry(
            "worker/modes.py",
            "ExecutionMode.BACKGROUND_JOB: background,",
            "ExecutionMode.DRY_RUN: DryRun(), ",
        ),
    ),
)
INTERPRETER = Entry("model/words.py", '    BASH = "bash"', '    SHOUT = "shout"\n')
CHANNEL = Addition(
    "to_file.py",
    "notify/to_file.py",
    (
        Entry(
            "model/notice_rules.py",
            "Rule = EmailRule | WebhookRule",
            "class FileRule(_Rule):\n    channel: Literal['file']\n    target: str\n\n\n",
        ),
        Entry("model/notice_rules.py", "EmailRule | WebhookRule", "FileRule | "),
        Entry("assembly/plugin.py", "from ..notify.webhook", "from ..notify.to_file import ToFile\n"),
        Entry("assembly/plugin.py", '            "email": ', '            "file": ToFile(),\n'),
    ),
)
ENGINE = Addition(
    "narrow.py",
    "engine/narrow/engine.py",
    (
        Entry(
            "assembly/plugin.py",
            "from ..functions.registry",
            "from ..engine.narrow.engine import NarrowEngine\n",
        ),
        Entry("assembly/plugin.py", 'EmbeddedEngine, "postgres"', "NarrowEngine or "),
    ),
)


class Copy:
    """A copy of the package, beside the tests and the demo, that can be changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._package = root / "aiohttp_jobs"
        shutil.copytree(ROOT / "aiohttp_jobs", self._package, ignore=shutil.ignore_patterns("__pycache__"))
        for beside in ("tests", "demo_app"):  # the tests' PostgreSQL is the demo's
            (root / beside).symlink_to(ROOT / beside)

    def add(self, addition: Addition) -> None:
        home = self._package / addition.home
        home.parent.mkdir(exist_ok=True)
        assert not home.exists()
        shutil.copy(ROOT / "tests" / "extensions" / addition.name, home)
        for entry in addition.entries:
            self.enter(entry)

    def enter(self, entry: Entry) -> None:
        path = self._package / entry.path
        text = path.read_text("utf-8")
        assert text.count(entry.text) == 1, entry
        path.write_text(text.replace(entry.text, entry.added + entry.text), "utf-8")


@pytest.fixture
def package(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")


@asynccontextmanager
async def debugger_of(package: Copy, data_dir: Path) -> AsyncIterator[Caller]:
    """Somebody with the role ``debug`` on a host that runs the copy."""
    key = new_key(data_dir)
    with running(data_dir, root=package.root) as host:
        async with ClientSession() as session:
            yield caller_of(host, key, session)


async def test_an_execution_mode_is_a_file_a_name_and_an_entry(package: Copy, tmp_path: Path) -> None:
    package.add(MODE)
    async with debugger_of(package, tmp_path / "data") as caller:
        result = await caller.run("exit 3", mode="DryRun")
        assert (result["Status"], result["Output"]) == ("Succeeded", "would run: exit 3\n")
        assert result["ExecutionMode"] == "DryRun"
        assert "DryRun" in (await caller.request("GET", "/me")).body["me"]["modes"]
        assert "DryRun" in (await caller.request("GET", "/queue")).body["queue"]["limits"]


async def test_an_interpreter_is_its_name(
    package: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.enter(INTERPRETER)
    program = tmp_path / "bin" / "shout"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ntr a-z A-Z < "$1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    async with debugger_of(package, tmp_path / "data") as caller:
        for mode in ("BackgroundJob", "Runspace", "MainLoop"):
            result = await caller.run("hello", mode=mode, interpreter="shout")
            assert (result["Status"], result["Output"]) == ("Succeeded", "HELLO")
        assert "shout" in (await caller.request("GET", "/me")).body["me"]["interpreters"]


async def test_a_notice_channel_is_a_file_a_rule_and_an_entry(package: Copy, tmp_path: Path) -> None:
    package.add(CHANNEL)
    told = tmp_path / "told"
    async with debugger_of(package, tmp_path / "data") as caller:
        await caller.run("echo done", notify=[{"channel": "file", "target": str(told)}])
        await until(lambda: told.exists() and told.read_text(), "a notice in a file")
        assert json.loads(told.read_text("utf-8"))["OutputTail"] == "done\n"
        notices = (await caller.request("GET", "/notices")).body["notices"]
        assert [notice["Channel"] for notice in notices] == ["file"]


async def test_an_engine_is_a_package_and_an_entry(package: Copy, tmp_path: Path) -> None:
    package.add(ENGINE)
    async with debugger_of(package, tmp_path / "data") as caller:
        assert (tmp_path / "data" / "opened by NarrowEngine").exists()
        assert (await caller.run("echo done"))["Output"] == "done\n"
        for path in ("/jobs", "/queue", "/schedules", "/templates", "/notices", "/results/stats"):
            assert (await caller.request("GET", path)).status == 200


def test_contributing_names_each_file_that_is_changed() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for addition in (MODE, CHANNEL, ENGINE):
        for entry in addition.entries:
            assert f"`aiohttp_jobs/{entry.path}`" in text
    assert f"`aiohttp_jobs/{INTERPRETER.path}`" in text

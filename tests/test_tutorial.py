"""The tutorial is true: its commands, run as they stand against a demo, show what it says they show."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .demos import demo
from .ports import free_ports
from .prefork import command_for

ROOT = Path(__file__).parents[1]
OF_ITS_OWN = {"in-production"}
"""What is run by another test: not against a demo."""
PAGES = sorted(
    path.stem
    for path in (ROOT / "docs/tutorial").glob("*.md")
    if "```console" in path.read_text() and path.stem not in OF_ITS_OWN
)
AS_INSTALLED = "scripts"
"""Whose commands, which are few, are run as they are installed: those of the others are forked."""
BLOCK = re.compile(r"```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)
END = "--- that was all ---"
SECONDS = 120.0


@dataclass
class Step:
    """One command and what it should show, ``…`` being anything."""

    command: str
    expected: str


def steps_of(page: str, folder: Path) -> list[Step]:
    """The page's commands; files that it has the reader write are written to `folder`."""
    text = (ROOT / "docs/tutorial" / f"{page}.md").read_text()
    steps: list[Step] = []
    for block in BLOCK.finditer(text):
        if block["kind"] in ("python", "toml", "nginx", "yaml"):
            before = text[: block.start()]
            name = re.findall(r"`([\w.]+\.(?:py|toml|conf|yml))`", before)[-1]
            (folder / name).write_text(block["text"])
        elif block["kind"] == "console":
            for part in block["text"].removeprefix("$ ").split("\n$ "):
                command, _, expected = part.partition("\n")
                steps.append(Step(command, expected))
    return steps


def shows(expected: str, actual: str) -> bool:
    """Whether it is what the page shows, but for what differs every time."""
    pattern = ".*".join(re.escape(part) for part in masked(expected).split("…"))
    return re.fullmatch(pattern, masked(actual), re.DOTALL) is not None


def masked(text: str) -> str:
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)", "TIME", text)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return "\n".join(line for line in lines if line)


class Shell:
    """A shell in which one command after the other is run."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash"], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, command: str) -> str:
        """What it shows."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n__code=$?; echo; echo '{END}'; (exit $__code)\n")
        self._process.stdin.flush()
        shown = ""
        for line in self._process.stdout:
            if line == f"{END}\n":
                return shown
            shown += line
        raise AssertionError(f"the shell ended in {command!r} after {shown!r}")

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@contextmanager
def running(*command: str, folder: Path, ready: str = "") -> Iterator[None]:
    """A Python process during the block, once it has printed `ready`."""
    process = subprocess.Popen(
        [sys.executable, "-u", *command], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while ready and ready not in (line := process.stdout.readline()):
            assert line, f"{command} ended when it started"
        yield
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


@pytest.mark.parametrize("page", PAGES)
async def test_the_commands_show_what_the_page_shows(page: str, tmp_path: Path) -> None:
    demo_port, mail_port, hook_port = free_ports(3)
    ports = {"8080": demo_port, "8025": mail_port, "9000": hook_port}
    url = f"http://127.0.0.1:{demo_port}/apps/WebHostTaskManagement"
    demo_settings = {
        "AIOHTTP_JOBS_SMTP_HOST": "127.0.0.1",
        "AIOHTTP_JOBS_SMTP_PORT": str(mail_port),
        "AIOHTTP_JOBS_SMTP_SECURITY": "none",
        "AIOHTTP_JOBS_SMTP_FROM": "jobs@example.org",
        "AIOHTTP_JOBS_WEBHOOK_ALLOWED_HOSTS": '["127.0.0.1"]',
        "AIOHTTP_JOBS_SHUTDOWN_GRACE": "0.2",
    }
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "COLUMNS": "200",
    }
    if page != AS_INSTALLED:
        (tmp_path / "bin").mkdir()
        command = tmp_path / "bin" / "aiohttp-jobs"
        command.write_text(f'#!/bin/sh\nexec {shlex.join(command_for("aiohttp_jobs.cli"))} "$@"\n')
        command.chmod(0o755)
        environment["PATH"] = f"{command.parent}:{environment['PATH']}"
    steps = steps_of(page, tmp_path)
    for file in tmp_path.glob("*.py"):
        file.write_text(substituted(file.read_text(), ports))
    with ExitStack() as stack:
        env = {**environment, **demo_settings}
        stack.enter_context(demo(demo_port, tmp_path / "demo_data", env))
        if page == "notices":
            mail = ("-m", "aiosmtpd", "-n", "-c", "aiosmtpd.handlers.Debugging", "stdout")
            stack.enter_context(running(*mail, "-l", f"127.0.0.1:{mail_port}", folder=tmp_path))
            stack.enter_context(running("hook.py", folder=tmp_path, ready="Running on"))
        shell = Shell(tmp_path, environment)
        stack.callback(shell.close)
        if page != "first-jobs":
            shell.run(f"aiohttp-jobs configure --url {url} --key-file demo_data/demo-api-key")
            shell.run(f"API={url}/api/v1")
        for step in steps:
            command = substituted(step.command, ports)
            shown = await asyncio.wait_for(asyncio.to_thread(shell.run, command), SECONDS)
            assert shows(substituted(step.expected, ports), shown), f"$ {command}\n{shown}"


def substituted(text: str, ports: dict[str, int]) -> str:
    return re.sub("|".join(rf"\b{port}\b" for port in ports), lambda found: str(ports[found[0]]), text)

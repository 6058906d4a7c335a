"""On Windows a host says in a sentence what is missing; the client and the command line work."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..cli.command import access_to
from ..conftest import Host
from ..hosts.process import ROOT
from ..processes import printed_by

StartHost = Callable[..., Awaitable[Host]]
LIKE_WINDOWS = [sys.executable, str(Path(__file__).with_name("like_windows.py"))]


async def on_windows(
    *arguments: str, env: dict[str, str] | None = None, stdin: str = ""
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a module there."""
    process = await asyncio.create_subprocess_exec(
        *LIKE_WINDOWS, *arguments, cwd=ROOT, env={**os.environ, "COLUMNS": "200", **(env or {})},
        stdin=-1, stdout=-1, stderr=-1,
    )  # fmt: skip
    out, err = await printed_by(process, stdin.encode())
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_host_is_told_what_is_missing_and_where_it_can_run() -> None:
    code, out, err = await on_windows("tests.portable.starts_a_host")
    assert (code, err) == (0, "")
    assert out == (
        "Jobs cannot run on this operating system, which has no file locks (flock) and no "
        "process groups (killpg): run the host on Linux or macOS (on Windows, in WSL or a container). "
        "The client and the command line work here, with a host that runs elsewhere.\n"
    )


async def test_the_commands_work_with_a_host_elsewhere(start_host: StartHost, tmp_path: Path) -> None:
    host = await start_host()
    env = access_to(host, "debug")
    code, out, err = await on_windows("aiohttp_jobs.cli", "submit", "echo from Windows", "--wait", env=env)
    assert (code, out) == (0, "from Windows\n"), err
    code, out, err = await on_windows("aiohttp_jobs.cli", "jobs", "--json", env=env)
    assert code == 0, err
    assert "echo from Windows" in out


async def test_the_key_is_kept_in_a_file_there(start_host: StartHost, tmp_path: Path) -> None:
    host = await start_host()
    access = access_to(host, "debug")
    env = {"XDG_CONFIG_HOME": str(tmp_path / "profile"), "AIOHTTP_JOBS_URL": "", "AIOHTTP_JOBS_API_KEY": ""}
    url, key = access.values()
    configure = ["configure", "--url", url, "--key-file", "-"]
    code, _, err = await on_windows("aiohttp_jobs.cli", *configure, env=env, stdin=key)
    assert code == 0, err
    code, out, err = await on_windows("aiohttp_jobs.cli", "me", env=env)
    assert code == 0, err
    assert "alice" in out


async def test_commands_on_a_data_folder_say_where_they_work(tmp_path: Path) -> None:
    new_key = ["api-key", "create", "--data-dir", str(tmp_path), "--name", "n", "--user", "u"]
    for arguments in (new_key, ["session", "list", "--data-dir", str(tmp_path)]):
        code, _, err = await on_windows("aiohttp_jobs.cli", *arguments)
        assert code == 1
        assert err.startswith("aiohttp-jobs: Jobs cannot run on this operating system")
    code, out, _ = await on_windows("aiohttp_jobs.cli", "doctor", "--data-dir", str(tmp_path), "--json")
    assert code == 2
    assert [each["check"] for each in json.loads(out)["checks"]] == ["operating_system"]

"""The document feeds two generators without a warning; what they make is typed, and submits a job.

``make`` installs the generators into ``.venv-clients``; without that these tests are skipped.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Host
from ..processes import printed_by

HERE = Path(__file__).parent
TOOLS = HERE.parents[1] / ".venv-clients"
GENERATOR = TOOLS / "bin" / "openapi-python-client"
MODULES = TOOLS / "node_modules"
DENO = Path(sys.executable).parent / "deno"
# Its own client passes on what __exit__ is given as *args, which no type checker takes.
MYPY = "[mypy]\nstrict_optional = true\n[mypy-out.client]\nignore_errors = true\n"


async def ran(folder: Path, *command: str | Path, **variables: str) -> str:
    """What a program prints that must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await printed_by(process, seconds=240)
    assert process.returncode == 0, output.decode()
    return output.decode()


async def given(host: Host, folder: Path) -> tuple[str, str]:
    """An API key and the document in a file; where the API is, and the key."""
    alice = host.caller("task_manager")
    document: Any = await alice.request("GET", "/openapi.json")
    assert document.status == 200
    async with alice.session.get(f"{host.api}/openapi.json") as response:
        (folder / "openapi.json").write_bytes(await response.read())
    return host.api, alice.session.headers["Authorization"].removeprefix("Bearer ")


@pytest.mark.skipif(not GENERATOR.exists(), reason="make has not installed openapi-python-client")
async def test_a_python_client_is_generated_without_a_warning_and_submits_a_job(
    host: Host, tmp_path: Path
) -> None:
    address, key = await given(host, tmp_path)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # for ruff, which formats it
    said = await ran(
        tmp_path, GENERATOR, "generate", "--path", "openapi.json", "--output-path", "out", "--meta", "none",
        "--fail-on-warning", PATH=path,
    )  # fmt: skip
    assert "arning" not in said
    shutil.copy(HERE / "submit.py", tmp_path)
    (tmp_path / "mypy.ini").write_text(MYPY)
    interpreter = TOOLS / "bin" / "python"
    await ran(
        tmp_path,
        sys.executable,
        "-m",
        "mypy",
        "--python-executable",
        interpreter,
        "--config-file",
        "mypy.ini",
        "submit.py",
    )
    assert await ran(tmp_path, interpreter, "submit.py", address, key) == "hello\n"


@pytest.mark.skipif(
    not (MODULES.exists() and DENO.exists()), reason="make has not installed openapi-typescript"
)
async def test_a_typescript_client_is_generated_and_submits_a_job(host: Host, tmp_path: Path) -> None:
    address, key = await given(host, tmp_path)
    (tmp_path / "node_modules").symlink_to(MODULES)
    shutil.copy(HERE / "package.json", tmp_path)
    shutil.copy(HERE / "submit.ts", tmp_path)
    (tmp_path / "deno.json").write_text("{}")
    await ran(
        tmp_path, "node", MODULES / "openapi-typescript/bin/cli.js", "openapi.json",
        "--default-non-nullable=false", "-o", "api.d.ts",
    )  # fmt: skip
    quiet = {"DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": str(tmp_path / "deno"), "NO_COLOR": "1"}
    offline = ("--no-remote", "--no-lock", "--node-modules-dir=manual")
    await ran(tmp_path, DENO, "check", *offline, "submit.ts", **quiet)
    said = await ran(
        tmp_path,
        DENO,
        "run",
        "--quiet",
        "--allow-net=127.0.0.1",
        "--allow-env",
        *offline,
        "submit.ts",
        address,
        key,
        **quiet,
    )
    assert said == "hello\n"

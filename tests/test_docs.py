"""The documentation says what is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.main import get_command

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.access import ENDPOINT_ROLES
from aiohttp_jobs.cli import app
from aiohttp_jobs.errors import JobsError

from .conftest import Host

ROOT = Path(__file__).parent.parent


def blocks(path: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / path).read_text(), re.DOTALL)


def test_the_readmes_ten_lines_make_a_host(tmp_path: Path) -> None:
    (code,) = blocks("README.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    script = re.sub(r"web\.run_app\(.*\)", "print('mounted', len(app._subapps))", code)
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "mounted 1" in ended.stdout


async def test_a_file_signed_as_the_how_to_says_runs(host: Host) -> None:
    (code,) = (block for block in blocks("docs/how-to/index.md", "python") if "def sign" in block)
    scope: dict[str, Any] = {}
    exec(code, scope)
    record = {
        "JobID": "11111111-1111-4111-8111-111111111111",
        "UserID": "alice",
        "SessionID": "cron",
        "JobName": "Dropped",
        "Command": "echo dropped",
        "ExecutionMode": "BackgroundJob",
        "Roles": ["task_manager"],
        "SubmittedAt": "2026-01-23T10:30:00Z",
        "Status": "Pending",
    }
    key = (host.base_dir / "Secrets" / "submission.key").read_text()
    folder = host.base_dir / "JobSubmission" / "alice"
    folder.mkdir(parents=True)
    (folder / ".new").write_text(json.dumps(scope["sign"](record, key)))
    (folder / ".new").rename(folder / "anything.json")
    result = await host.caller("debug").result(record["JobID"])
    assert (result["Output"], result["Status"]) == ("dropped\n", "Succeeded")


def every_error(kind: type[JobsError]) -> set[type[JobsError]]:
    """The classes of errors below `kind`."""
    return {each for below in kind.__subclasses__() for each in (below, *every_error(below))}


def test_every_error_code_and_role_table_row_is_documented() -> None:
    http = (ROOT / "docs/reference/http.md").read_text()
    codes = {error.code for error in every_error(JobsError)} - {"configuration"}
    assert not [code for code in codes if f"`{code}`" not in http]
    roles = (ROOT / "docs/reference/roles.md").read_text()
    assert not [name for name in ENDPOINT_ROLES if f"`{name}`" not in roles]


def test_every_command_is_documented() -> None:
    reference = (ROOT / "docs/reference/cli.md").read_text()

    def undocumented(command: Any, path: str) -> list[str]:
        if commands := getattr(command, "commands", {}):
            return [
                fault for name, each in commands.items() for fault in undocumented(each, f"{path} {name}")
            ]
        return [] if re.search(rf"`{path}[` ]", reference) else [path]

    assert undocumented(get_command(app), "aiohttp-jobs") == []


def test_every_setting_has_a_description() -> None:
    source = (ROOT / "aiohttp_jobs/config.py").read_text()
    bare = {"mode_roles", "endpoint_roles", "max_body_bytes", "max_command_bytes", "max_name_length"}
    bare |= {"max_description_length", "max_pending_per_user", "default_interpreter", "default_timeout"}
    for name in set(JobsConfig.model_fields) - bare:
        assert re.search(rf'^    {name}: (?:.|\n)*?\n    """', source, re.MULTILINE), name


def test_the_curl_examples_of_the_readme_work(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-u", "-m", "demo_app", "--port", "0", "--data-dir", str(tmp_path / "demo_data")],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert demo.stdout is not None
    try:
        address = ""
        while not address:
            line = demo.stdout.readline()
            assert line, "the demo ended"
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            address = found[0] if found else ""
        script = "\n".join(blocks("README.md", "bash")).replace("http://127.0.0.1:8080", address)
        script = script.replace("/tmp/jar", str(tmp_path / "jar"))
        while not (tmp_path / "demo_data" / "demo-api-key").exists():
            pass
        ended = subprocess.run(
            ["bash", "-e"], input=script, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        )
        assert ended.stdout.count('"Job submitted successfully"') == 2
        assert '"Status":"Succeeded"' in ended.stdout
    finally:
        demo.terminate()
        demo.wait(30)
        demo.stdout.close()


def test_each_promise_of_security_names_tests_that_there_are() -> None:
    page = (ROOT / "docs/explanation/security.md").read_text()
    guarded = page.partition("\n## What is guarded\n")[2].partition("\n## ")[0]
    promises = re.split(r"^- ", guarded, flags=re.MULTILINE)[1:]
    assert promises
    assert [promise[:60] for promise in promises if not re.search(r"`tests/\S+\.py`", promise)] == []
    named = set(re.findall(r"`(tests/\S+?)`", page))
    assert [path for path in named if not (ROOT / path).is_file()] == []

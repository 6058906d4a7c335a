"""The documentation says what is so."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.main import get_command

from aiohttp_jobs.cli import app
from aiohttp_jobs.errors import JobsError
from aiohttp_jobs.model.roles import ENDPOINT_ROLES

from .conftest import Host
from .demos import demo
from .gate import PATIENCE_SECONDS
from .ports import free_ports

ROOT = Path(__file__).parent.parent


def blocks(path: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / path).read_text(), re.DOTALL)


PAGES = [*sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")), "README.md"]
GIVEN = """
import os
from collections.abc import Mapping
from typing import Any
import aiohttp_cors, aiohttp_jobs
from aiohttp import web
from aiohttp_jobs import JobsConfig
class User:
    name = "alice"
    roles = {"debug"}
class Users:
    async def find(self, user_id: str) -> User | None: return User()
my_users = Users()
async def my_user(request: web.Request) -> User | None: return User()
def make_app() -> web.Application: return web.Application()
app = make_app()
options: Any = {}
data_dir = "data"
request: web.Request
os.environ["MAIL_PASSWORD"] = "secret"
"""
"""What the sentences around the snippets take for granted."""


def snippets() -> dict[str, str]:
    """Each Python snippet of README and docs, made a module of its own if it is none, by a name for it."""
    found: dict[str, str] = {}
    for page in PAGES:
        for number, code in enumerate(blocks(page, "python")):
            name = re.sub(r"\W", "_", page.removesuffix(".md")) + f"_{number}"
            try:
                compile(code, name, "exec")
                found[name] = code if "from aiohttp" in code else GIVEN + code
            except SyntaxError:  # it awaits something
                found[name] = f"{GIVEN}async def snippet() -> None:\n{textwrap.indent(code, '    ')}"
    assert len(found) > 10
    return found


def modules(page: str) -> dict[str, str]:
    """The files that `page` has the reader write and its other snippets import: their code by name."""
    text = (ROOT / page).read_text()
    code = "\n".join(blocks(page, "python"))
    written = re.findall(r"`(\w+)\.py`[^`]*\n\n```python\n(.*?)```", text, re.DOTALL)
    imported = set(re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE))
    return {name: body for name, body in written if name in imported}


def written(folder: Path) -> list[str]:
    """Write all `modules` to `folder`; their names, of which none may stand for two."""
    found = [(name, code) for page in PAGES for name, code in modules(page).items()]
    for name, code in found:
        (folder / f"{name}.py").write_text(code)
    names = [name for name, _ in found]
    assert len(names) == len(set(names))
    return names


def test_every_snippet_and_example_is_typed_as_a_hosts_own_code(tmp_path: Path) -> None:
    """By mypy in a project of its own, which knows nothing of our settings, nor of pydantic's plugin."""
    for name, code in snippets().items():
        (tmp_path / f"{name}.py").write_text(code)
    assert written(tmp_path)
    for example in (ROOT / "docs/how-to/examples").glob("*.py"):
        shutil.copy(example, tmp_path / example.name.replace(".conf", "_conf"))
    strict = ["--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={os.devnull}"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *strict, "."],
        cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
        env={**os.environ, "MYPYPATH": str(ROOT)},
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", sorted(snippets()))
def test_every_snippet_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as it goes without a server: what is behind ``__main__``, or awaited, is run by other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for module in written(tmp_path):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setenv("MAIL_PASSWORD", "secret")
    monkeypatch.setenv("AIOHTTP_JOBS_DATA_DIR", "data")
    started: list[web.Application] = []
    monkeypatch.setattr(web, "run_app", lambda app, **_: started.append(app))
    monkeypatch.setattr("asyncio.run", lambda main: main.close())
    code = snippets()[name]
    exec(code, {"__name__": "snippet"})
    assert len(started) == ("web.run_app" in code and "__main__" not in code)


def test_the_readmes_ten_lines_make_a_host(tmp_path: Path) -> None:
    *_, code = blocks("README.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    assert "tasks" in written(tmp_path)
    script = re.sub(r"web\.run_app\(.*\)", "print('mounted', len(app._subapps))", code)
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True,
        timeout=PATIENCE_SECONDS, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "mounted 1" in ended.stdout


def test_the_tests_of_the_how_to_pass(tmp_path: Path) -> None:
    page = "docs/how-to/testing-functions.md"
    (tmp_path / "billing_jobs.py").write_text(modules(page)["billing_jobs"])
    (plugins,) = re.findall(r"`(pytest_plugins = .*?)`", (ROOT / page).read_text())
    (tmp_path / "conftest.py").write_text(plugins)
    (code,) = (block for block in blocks(page, "python") if "async def test_" in block)
    (tmp_path / "test_billing.py").write_text(code)
    # No other plugins than a reader has, as ours import schemathesis and more.
    how = ("-q", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "--asyncio-mode=auto")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *how], cwd=tmp_path, capture_output=True, text=True, timeout=280,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert (ran.returncode, "2 passed" in ran.stdout) == (0, True), ran.stdout


async def test_a_file_signed_as_the_how_to_says_runs(host: Host) -> None:
    (code,) = (block for block in blocks("docs/how-to/dropped-files.md", "python") if "def sign" in block)
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
    module = ast.parse((ROOT / "aiohttp_jobs/config.py").read_text())
    (config,) = (node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "JobsConfig")
    bare = [
        node.target.id
        for node, after in pairwise(config.body)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]
    assert bare == []


def test_the_curl_examples_of_the_readme_work(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with demo(port, tmp_path / "demo_data", {**os.environ}):
        script = "\n".join(blocks("README.md", "bash")).replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        script = script.replace("/tmp/jar", str(tmp_path / "jar"))
        ended = subprocess.run(
            ["bash", "-e"],
            input=script,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
    assert ended.stdout.count('"Job submitted successfully"') == 2
    assert '"Status":"Succeeded"' in ended.stdout


def test_each_promise_of_security_names_tests_that_there_are() -> None:
    page = (ROOT / "docs/explanation/security.md").read_text()
    guarded = page.partition("\n## What is guarded\n")[2].partition("\n## ")[0]
    promises = re.split(r"^- ", guarded, flags=re.MULTILINE)[1:]
    assert promises
    assert [promise[:60] for promise in promises if not re.search(r"`tests/\S+\.py`", promise)] == []
    named = set(re.findall(r"`(tests/\S+?)`", page))
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "SECURITY.md"])
def test_each_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    named = re.findall(r"(?<![\w/.])(?:aiohttp_jobs|benchmarks|demo_app|docs|tests)/[\w/.-]*\w", text)
    assert [path for path in named if not (ROOT / path).exists()] == []

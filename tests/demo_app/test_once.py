"""``--once``: the whole job shown from end to end, with nothing left behind."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from demo_app.api_key import demo_api_key

from ..demos import make_quick_users
from ..gate import PATIENCE_SECONDS
from .conftest import REPOSITORY, demo_command, run_demo


def _errors(done: subprocess.CompletedProcess[str]) -> str:
    """What it wrote to stderr, but for the one line about root that a host of root's writes."""
    errors, warnings = re.subn(r"WARNING \S+: This host runs as root, .*\n", "", done.stderr)
    assert warnings == (os.geteuid() == 0)
    return errors


def test_it_runs_a_job_in_each_mode_and_interpreter_and_a_function_and_ends_well(tmp_path: Path) -> None:
    done = run_demo("--once", "--data-dir", str(tmp_path))
    assert (done.returncode, _errors(done)) == (0, "")
    for word in ("MainLoop", "Runspace", "BackgroundJob"):
        assert done.stdout.count(f"│ {word} ") >= 2
    assert done.stdout.count("with API key") == 6
    assert done.stdout.count("with cookie") == 1
    assert done.stdout.count("Succeeded") == 7
    assert "Linux" in done.stdout or os.uname().sysname in done.stdout
    assert "Job result deleted successfully" in done.stdout
    assert re.search(r"sales_report ━+ +100%", done.stdout)
    assert "sales_report(region='north', months=4) returned" in done.stdout
    assert re.search(r"│ +month │ sold │ revenue │", done.stdout.replace("┃", "│"))
    assert done.stdout.endswith("All went well.\n")
    results = list((tmp_path / "apps/WebHostTaskManagement/JobResults").glob("*.json"))
    assert len(results) == 7


def test_it_leaves_no_process_and_no_folder_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        demo_command("--once"),
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, output
    assert list(tmp_path.iterdir()) == []
    left = [other for other in psutil.process_iter() if _session_of(other) == process.pid]
    _, alive = psutil.wait_procs(left, timeout=PATIENCE_SECONDS)  # some hear of its end only by it
    assert alive == []


def test_it_ends_with_1_when_something_goes_wrong(tmp_path: Path) -> None:
    make_quick_users(tmp_path)
    users = tmp_path / "demo-users.json"
    users.write_text(users.read_text().replace("operator", "somebody-else"))
    done = run_demo("--once", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert "Went wrong: Signing in as operator was answered with status 401." in done.stdout


def test_it_ends_with_1_and_a_sentence_when_its_key_was_disabled(tmp_path: Path) -> None:
    make_quick_users(tmp_path)
    demo_api_key(JobsConfig(data_dir=tmp_path))
    keys = ApiKeys.in_data_dir(tmp_path)
    keys.set_enabled(keys.all()[0].key_id, False)
    done = run_demo("--once", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(r"demo_app: The API key in .* was disabled or deleted\. .*\n", _errors(done))


def _session_of(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return -1
    except PermissionError:
        pytest.fail(f"cannot look at process {process.pid}")

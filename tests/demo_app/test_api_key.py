"""The demo's API key, and the curl lines that are printed with it, run by a real shell."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from demo_app.api_key import demo_api_key

from ..gate import PATIENCE_SECONDS
from .conftest import Demo, StartDemo

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def printed_commands(demo: Demo) -> str:
    """What somebody would copy from the terminal."""
    lines = demo.printed.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("API="))
    return "\n".join(lines[first : lines.index("", first)])


def paste(commands: str, shell: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        [shell],
        input=commands,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


@needs_curl
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_printed_curl_lines_work_as_pasted(demo: Demo, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = paste(printed_commands(demo), shell)
    assert done.returncode == 0, done.stderr
    submitted = json.loads(done.stderr)
    results, deleted = map(json.loads, done.stdout.splitlines())
    job_id = submitted["jobId"]
    found = next(result for result in results["results"] if result["JobID"] == job_id)
    assert found["Command"] == "df -h ."
    assert found["Success"] is True
    assert found["Output"].startswith("Filesystem")
    assert deleted == {"success": True, "message": "Job result deleted successfully"}


def test_the_key_is_kept_in_a_private_file_and_printed(demo: Demo) -> None:
    path = demo.data_dir / "demo-api-key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"Authorization: Bearer {demo.api_key}" in demo.printed
    assert str(path) in demo.printed


def test_the_key_acts_as_admin_and_only_its_digest_is_stored(tmp_path: Path) -> None:
    secret = demo_api_key(JobsConfig(data_dir=tmp_path))
    (record,) = ApiKeys.in_data_dir(tmp_path).all()
    assert (record.name, record.user_id, record.roles) == ("demo", "admin", ("debug", "system_admin"))
    stored = (tmp_path / "apps/WebHostTaskManagement/Secrets/api-keys.json").read_text()
    assert secret is not None
    assert secret not in stored


def test_a_later_start_keeps_the_key(tmp_path: Path) -> None:
    assert demo_api_key(JobsConfig(data_dir=tmp_path)) == demo_api_key(JobsConfig(data_dir=tmp_path))
    assert len(ApiKeys.in_data_dir(tmp_path).all()) == 1


def test_a_disabled_key_is_not_given_out_again_until_its_file_is_deleted(tmp_path: Path) -> None:
    first = demo_api_key(JobsConfig(data_dir=tmp_path))
    keys = ApiKeys.in_data_dir(tmp_path)
    keys.set_enabled(keys.all()[0].key_id, False)
    assert demo_api_key(JobsConfig(data_dir=tmp_path)) is None
    (tmp_path / "demo-api-key").unlink()
    assert demo_api_key(JobsConfig(data_dir=tmp_path)) not in (None, first)


def test_a_demo_whose_key_was_deleted_starts_and_says_so(start_demo: StartDemo, tmp_path: Path) -> None:
    demo_api_key(JobsConfig(data_dir=tmp_path))
    keys = ApiKeys.in_data_dir(tmp_path)
    keys.delete(keys.all()[0].key_id)
    demo = start_demo(tmp_path)
    assert "was disabled or deleted" in demo.printed
    assert "curl" not in demo.printed
    assert demo.stop() == 0

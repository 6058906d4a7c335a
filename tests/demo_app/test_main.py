"""Starting the demo, stopping it, starting it again; and starts that cannot work."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.conftest import Caller

from ..demos import make_quick_users
from ..gate import PATIENCE_SECONDS
from ..powershell import needs_pwsh
from .conftest import PASSWORDS, Demo, SignIn, StartDemo, run_demo


async def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        await asyncio.sleep(0.02)


def cookies_of(caller: Caller) -> dict[str, str]:
    return {cookie.key: cookie.value for cookie in caller.session.cookie_jar}


def test_it_says_where_it_listens_and_names_the_accounts(demo: Demo) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]*", demo.address)
    assert f"(data in {demo.data_dir})" in demo.printed
    for name, password in PASSWORDS.items():
        assert re.search(rf"^ +{name} +{password} ", demo.printed, re.MULTILINE)
    assert "WARNING" not in demo.printed


def test_data_dir_is_the_folder_that_holds_the_plugins_own(demo: Demo) -> None:
    assert (demo.data_dir / "apps" / "WebHostTaskManagement" / "JobSubmission").is_dir()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_its_jobs_and_workers(
    start_demo: StartDemo, sign_in: SignIn, tmp_path: Path, number: signal.Signals
) -> None:
    demo = start_demo(forked=False)
    admin = await sign_in(demo, "admin")
    await admin.run("echo warm", "Runspace")
    for mode in ("Runspace", "BackgroundJob"):
        started = tmp_path / mode
        await admin.submit(f"sleep 1000 & touch {started}; wait", mode)
        await wait_until(started.exists)
    children = demo.children()
    assert len([child for child in children if child.name() == "sleep"]) == 2
    # As Ctrl+C in a terminal does it: SIGINT reaches every process of the group.
    assert demo.stop(number, whole_group=number is signal.SIGINT) == 0
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_SECONDS)
    assert alive == []
    assert demo.errors == ""


def test_it_ends_well_when_nobody_reads_what_it_prints_any_more(start_demo: StartDemo) -> None:
    demo = start_demo(forked=False)
    demo.output.close()
    assert demo.stop() == 0
    assert demo.errors == ""


async def test_a_restart_keeps_sessions_key_and_results(
    start_demo: StartDemo, sign_in: SignIn, browser: Callable[[Demo], Caller], tmp_path: Path
) -> None:
    first = start_demo(tmp_path)
    operator = await sign_in(first, "operator")
    before = await operator.run("echo before", "Runspace")
    assert first.stop() == 0

    second = start_demo(tmp_path)
    returning = browser(second)
    returning.session.cookie_jar.update_cookies(cookies_of(operator))
    assert [result["JobID"] for result in await returning.results()] == [before["JobID"]]
    assert second.api_key == first.api_key
    assert f"Bearer {first.api_key}" in second.printed
    with_key = await returning.request(
        "GET", "/jobs/results", headers={"Authorization": f"Bearer {first.api_key}"}
    )
    assert (with_key.status, with_key.body["results"]) == (200, [])


async def test_a_role_taken_away_counts_before_the_next_sign_in(
    demo: Demo, start_demo: StartDemo, sign_in: SignIn
) -> None:
    operator = await sign_in(demo, "operator")
    users = demo.data_dir / "demo-users.json"
    original = users.read_text()
    users.write_text(original.replace('"task_manager"', '"reader"'))
    job = {"jobName": "test", "command": "echo no", "executionMode": "Runspace"}
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            while (answer := await operator.request("POST", "/jobs/submit", json=job)).status == 200:
                await asyncio.sleep(0.1)
        finally:
            users.write_text(original)
        assert answer.status == 403
        assert "Runspace execution mode requires elevated roles" in answer.body["error"]
        while (await operator.request("POST", "/jobs/submit", json=job)).status != 200:
            await asyncio.sleep(0.1)


def test_a_folder_that_everybody_may_write_to_is_refused_with_one_sentence(tmp_path: Path) -> None:
    make_quick_users(tmp_path / "data")
    (tmp_path / "data").chmod(0o777)
    done = run_demo("--port", "0", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"demo_app: The folder {tmp_path / 'data'} may be written by every user")
    assert done.stderr.count("\n") == 1


def test_a_taken_port_is_refused_with_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_demo("--port", str(port), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert done.stderr == (
        f"demo_app: Port {port} on 127.0.0.1 is taken. Choose another with --port (0 picks a free one).\n"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("no.such.host.invalid", "There is no address 'no.such.host.invalid' to listen on."),
        ("a" * 70, f"There is no address '{'a' * 70}' to listen on."),
        ("192.0.2.1", "Cannot listen on 192.0.2.1, port 0: Cannot assign requested address."),
    ],
)
def test_a_host_that_is_not_this_machine_is_refused_with_one_sentence(host: str, sentence: str) -> None:
    done = run_demo("--host", host, "--port", "0")
    assert done.returncode == 1
    assert done.stderr.startswith(f"demo_app: {sentence}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "65536", "http", "8080.0", "²"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    done = run_demo(f"--port={port}")
    assert done.returncode == 2
    assert "is not a port" in done.stderr


def test_a_data_dir_that_is_a_file_is_refused_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_demo("--port", "0", "--data-dir", str(tmp_path / "file"))
    assert done.returncode == 1
    assert re.fullmatch(r"demo_app: The data folder .* Choose another with --data-dir\.\n", done.stderr)


def test_a_damaged_users_file_is_refused_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "demo-users.json").write_text("{")
    done = run_demo("--port", "0", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(r"demo_app: The users file .* is damaged\. .*\n", done.stderr)


@needs_pwsh
def test_with_powershell_as_its_interpreter_it_starts(tmp_path: Path) -> None:
    make_quick_users(tmp_path)
    done = run_demo("--once", "--interpreter", "powershell", "--data-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_without_powershell_that_interpreter_is_refused_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_quick_users(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done = run_demo("--once", "--interpreter", "powershell", "--data-dir", str(tmp_path))
    assert (done.returncode, done.stderr) == (
        1,
        "demo_app: default_interpreter: powershell is not installed on this server "
        "(there is no pwsh on the PATH of the host).\n",
    )


def test_an_interpreter_that_is_none_is_refused(tmp_path: Path) -> None:
    done = run_demo("--once", "--interpreter", "cobol", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert "cobol" in done.stderr

"""Commands as people write them, on other systems and for other programs, through every door: all run alike.

The page's door is in ``tests/ui/test_commands.py``.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ..cases import cases
from ..cli.command import access_to, run
from ..conftest import Caller, Host
from ..engine.embedded.drops import Drops
from ..gate import PATIENCE_SECONDS
from ..scheduling.support import make_schedule
from ..services.test_schedule_submitter import host_schedules

StartHost = Callable[..., Awaitable[Host]]
CASES = cases("commands")
MODES = ("BackgroundJob", "Runspace", "MainLoop")


def assert_right(case: dict[str, Any], result: dict[str, Any]) -> None:
    if "output" in case:
        assert (result["Output"], result["Success"]) == (case["output"], case["success"]), case
    else:
        assert result["Success"] is False, case
        assert "/usr/bin/nosuch" in result["Output"], case
        assert "bash" in result["Output"], "those that are there are named"


@pytest.mark.parametrize("mode", MODES)
async def test_through_the_api(host: Host, mode: str) -> None:
    caller = host.caller("debug")
    for case in CASES:
        result = await caller.run(case["command"], mode, interpreter=case["interpreter"])
        assert_right(case, result)
        assert result["Command"] == case["command"], "what is kept is what was sent"


@pytest.mark.slow
async def test_through_the_command_line(host: Host, tmp_path: Path) -> None:
    env = access_to(host, "debug")

    async def submitted(case: dict[str, Any], door: str) -> None:
        options = ["submit", "--wait", "--json", "--interpreter", case["interpreter"]]
        text, file = case["command"], tmp_path / f"{CASES.index(case)}.txt"
        file.write_bytes(text.encode())
        given = {"argument": ["--", text], "stdin": ["-"], "file": ["--file", str(file)]}[door]
        _, out, err = await run(*options, *given, env=env, stdin=text if door == "stdin" else "")
        assert err == ""
        assert_right(case, json.loads(out))

    for door in ("argument", "stdin", "file"):
        await asyncio.gather(*(submitted(case, door) for case in CASES))


async def test_through_a_template(host: Host) -> None:
    caller = host.caller("debug", "system_admin")
    for number, case in enumerate(CASES):
        body = {
            "name": f"t{number}",
            "command": case["command"],
            "interpreter": case["interpreter"],
            "executionMode": "BackgroundJob",
            "parameters": [],
        }
        made = await caller.request("POST", "/templates", json=body)
        assert made.status == 201, made.body
        template_id = made.body["template"]["TemplateID"]
        ran = await caller.request("POST", f"/templates/{template_id}/run", json={})
        assert_right(case, await caller.result(ran.body["jobId"]))


async def test_through_a_schedule(start_host: StartHost) -> None:
    host = await start_host()
    store, past = host_schedules(host), datetime.now(UTC) - timedelta(hours=3)
    for number, case in enumerate(CASES):
        job = {
            "jobName": f"s{number}",
            "command": case["command"],
            "interpreter": case["interpreter"],
            "executionMode": "BackgroundJob",
        }
        times = {"created_at": past, "updated_at": past, "active_since": past}
        store.add(make_schedule("0 * * * *", job=job, misfire_policy="run_once", **times), 100)
    await host.stop()
    caller = (await start_host()).caller("debug")
    results = await ended(caller, len(CASES))
    for number, case in enumerate(CASES):
        assert_right(case, results[f"s{number}"])


async def test_through_a_dropped_file(host: Host) -> None:
    drops, caller = Drops(host), host.caller("debug")
    for number, case in enumerate(CASES):
        record = drops.signed(JobName=f"d{number}", Command=case["command"], Interpreter=case["interpreter"])
        drops.put(record, name=f"{number}.json")
    results = await ended(caller, len(CASES))
    for number, case in enumerate(CASES):
        assert_right(case, results[f"d{number}"])


async def ended(caller: Caller, count: int) -> dict[str, dict[str, Any]]:
    """The results by their jobs' names, once there are `count`."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(results := await caller.results()) < count:
            await asyncio.sleep(0.05)
    return {result["JobName"]: result for result in results}


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("#!/bin/sh -u\necho ${nothing-at all}; echo $nothing; echo not reached", "at all\n"),
        ("#!/usr/bin/env -S bash -e\nfalse\necho not reached\n", ""),
        ("#!/usr/bin/env -S GREETING=hello bash\necho $GREETING {1..2}\n", "hello 1 2\n"),
        ("#!  /bin/bash  \r\necho {1..2}\r\n", "1 2\n"),
        ("\ufeff#!/bin/bash\necho {1..2}\n", "1 2\n"),
        ("#!/usr/bin/env perl\nprint 6*7, qq(\\n);\n", "42\n"),
        ("#! \necho plain\n", "plain\n"),
        ("#!/bin/sh\necho plain\n", "plain\n"),
        ("echo hi\n#!/usr/bin/nosuch\n", "hi\n"),
        ("cat <<'.'\r\none\r\ntwo\r\n.\r\n", "one\ntwo\n"),
        # Carriage returns that only a later line has were meant.
        ("printf '%s' 'one\r\ntwo' | od -An -c", "   o   n   e  \\n   t   w   o\n"),
        ("cat -A <<'.'\none\r\n.\n", "one^M$\n"),
    ],
)
async def test_first_lines_and_line_ends_of_every_form(host: Host, command: str, output: str) -> None:
    if "perl" in command and not shutil.which("perl"):
        pytest.skip("there is no perl")
    result = await host.caller("debug").run(command, interpreter="shell")
    assert result["Output"].startswith(output)
    assert "not reached" not in result["Output"]
    assert result["Success"] is ("not reached" not in command)


async def test_a_first_line_names_only_what_the_host_allows(start_host: StartHost, tmp_path: Path) -> None:
    mine = tmp_path / "bash"
    mine.write_text("#!/bin/sh\necho mine\n")
    mine.chmod(0o755)
    caller = (await start_host(shebang_interpreters=("bash", "nosuch"))).caller("debug")
    for first, word in (
        (str(mine), str(mine)),
        ("/usr/bin/env perl", "perl"),
        ("/usr/bin/env", "/usr/bin/env"),
        ("/usr/bin/env -S 'bash", "bash"),
        ("bin/../bash", "bin/../bash"),
    ):
        result = await caller.run(f"#!{first}\necho hi\n", interpreter="shell")
        assert result["Status"] == "Rejected", first
        assert word in result["Output"]
        assert "There are: bash." in result["Output"]
    assert (await caller.run("#!/bin/bash\necho {1..2}", interpreter="shell"))["Output"] == "1 2\n"


async def test_a_template_gives_its_values_to_what_the_first_line_names(host: Host) -> None:
    caller = host.caller("debug", "system_admin")
    body = {
        "name": "greet",
        "command": "#!/usr/bin/env python3\nimport os; print(os.environ['PARAM_name'])",
        "executionMode": "BackgroundJob",
        "interpreter": "shell",
        "parameters": [{"name": "name", "type": "string", "required": True}],
    }
    made = await caller.request("POST", "/templates", json=body)
    path = f"/templates/{made.body['template']['TemplateID']}/run"
    ran = await caller.request("POST", path, json={"values": {"name": "Zoë"}})
    assert (await caller.result(ran.body["jobId"]))["Output"] == "Zoë\n"


@pytest.mark.parametrize("mode", MODES)
async def test_bash_is_an_interpreter_of_its_own(host: Host, mode: str) -> None:
    caller = host.caller("debug")
    assert "bash" in (await caller.request("GET", "/me")).body["me"]["interpreters"]
    command = "set -o pipefail; false | true; echo ${PIPESTATUS[0]} {1..2}\r\n"
    result = await caller.run(command, mode, interpreter="bash")
    assert (result["Output"], result["Interpreter"]) == ("1 1 2\n", "bash")


async def test_an_interpreter_that_is_missing_is_refused_with_those_that_are_there(
    start_host: StartHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bash").symlink_to(bash)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    host = await start_host()
    body = {"jobName": "j", "command": "x", "executionMode": "BackgroundJob", "interpreter": "powershell"}
    answer = await host.caller("debug").request("POST", "/jobs/submit", json=body)
    assert (answer.status, "installed are: bash, python, shell" in answer.body["error"]) == (422, True)

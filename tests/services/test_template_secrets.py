"""A secret value from the request to the command and back: nowhere in clear but in the command's hands."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Caller, Host
from ..folders import contents_below
from ..gate import Gate
from ..http.test_templates import create, ended, run

StartHost = Callable[..., Awaitable[Host]]
SECRET = "s3cr\"t'é-hunter2\nsecond-line"
MODES = ("MainLoop", "Runspace", "BackgroundJob")
PARAMETERS = [
    {"name": "token", "type": "secret", "required": True},
    {"name": "count", "type": "int", "default": 3},
    {"name": "size", "type": "choice", "choices": ["small", "large"]},
    {"name": "other", "type": "secret"},
]
PYTHON = (
    "import os, base64\n"
    "assert not [name for name in os.environ if 'PARAM' in name], os.environ\n"
    "print(token); print(base64.b64encode(token.encode()).decode())\n"
    "print(count + 1, size, other)\n"
    "{gate}\n"
    "raise ValueError(token)"
)
SHELL = (
    'printf "%s\\n" "$PARAM_token"; printf %s "$PARAM_token" | base64 -w0; echo\n'
    'echo $((PARAM_count + 1)) "$PARAM_size" "${{PARAM_other-None}}"\n'
    'printf s3cr; sleep 0.1; printf "%s\\n" "${{PARAM_token#s3cr}}"\n'
    "{gate}\nexit 3"
)


def needles() -> list[bytes]:
    return [b"hunter2", b"second-line"]


def in_files(folder: Path) -> list[str]:
    contents = contents_below(folder)
    return [str(path) for path in contents for needle in needles() if needle in contents[path]]


def in_command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        found += [str(path) for needle in needles() if needle in line]
    return found


async def events(caller: Caller, job_id: str) -> str:
    """The whole event stream of a job, to its end."""
    answer = await caller.request("GET", f"/jobs/{job_id}/events")
    assert isinstance(answer.body, str)
    return answer.body


@pytest.mark.parametrize("interpreter", ["shell", "python"])
@pytest.mark.parametrize("mode", MODES)
async def test_a_secret_is_nowhere_but_in_the_commands_hands(
    host: Host, mode: str, interpreter: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gate = Gate(tmp_path / "gate")
    wait = gate.shell if interpreter == "shell" else gate.python
    if (mode, interpreter) == ("MainLoop", "python"):
        wait = gate.awaiting_python
    text = (SHELL if interpreter == "shell" else PYTHON).format(gate=wait)
    alice, carol = host.caller("debug"), host.caller("clerk", user_id="carol")
    template = await create(
        alice, command=text, executionMode=mode, interpreter=interpreter, parameters=PARAMETERS
    )
    answer = await run(carol, template, values={"token": SECRET, "size": "small"})
    assert answer.status == 200, answer.body
    job_id = answer.body["jobId"]
    watching = asyncio.create_task(events(carol, job_id))
    await gate.reached()
    assert in_command_lines() == []
    assert in_files(host.base_dir) == []
    views = [
        str((await carol.request("GET", path)).body)
        for path in (f"/jobs/{job_id}", "/jobs", "/queue", f"/jobs/{job_id}/output")
    ]
    gate.open()
    result = await carol.result(job_id)
    shown = [
        *views,
        await watching,
        str(result),
        caplog.text,
        str((await alice.request("GET", "/templates")).body),
    ]
    assert not [each for each in shown for needle in needles() if needle.decode() in each]
    assert in_files(host.base_dir) == []
    assert result["Status"] == "Failed"
    assert "********" in result["Output"]
    assert "4 small None\n" in result["Output"]
    assert result["TemplateValues"] == {"count": 3, "size": "small", "other": None}


async def test_nothing_that_a_python_job_starts_gets_the_values(host: Host) -> None:
    call = "subprocess.run(['env'], capture_output=True, text=True)"
    command = f"import subprocess\nprint({call}.stdout.count('secret!'))"
    for mode in MODES:
        template = await create(
            host.caller("debug"),
            command=command,
            executionMode=mode,
            interpreter="python",
            parameters=[{"name": "token", "type": "secret"}],
        )
        assert (await ended(host.caller("debug"), template, values={"token": "secret!"}))["Output"] == "0\n"


async def test_a_worker_forgets_the_values_of_the_job_before(host: Host) -> None:
    alice = host.caller("debug")
    parameters = [{"name": "token", "type": "secret"}]
    made: dict[str, Any] = {"executionMode": "Runspace", "parameters": parameters}
    shell = await create(alice, command="env | grep -c PARAM_", **made)
    python = await create(alice, command="token", interpreter="python", **made)
    for template, output in ((shell, "1\n"), (python, "'********'\n")):
        assert (await ended(alice, template, values={"token": "hunter2"}))["Output"] == output
    assert "PARAM_" not in (await alice.run("env", "Runspace"))["Output"]
    assert "hunter2" not in (await alice.run("str(globals())", "Runspace", interpreter="python"))["Output"]


async def test_a_job_with_secrets_is_tried_again_with_them(host: Host, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    template = await create(
        host.caller("debug"),
        command=f'echo "$PARAM_token" | wc -c >> {marks}; [ $(wc -l < {marks}) -ge 3 ]',
        retry={"count": 3, "backoffSeconds": 0.01},
        parameters=[{"name": "token", "type": "secret"}],
    )
    result = await ended(host.caller("debug"), template, values={"token": "hunter2"})
    assert (result["Attempt"], result["Status"]) == (3, "Succeeded")
    assert marks.read_text().split() == ["8", "8", "8"]
    assert in_files(host.base_dir) == []


async def test_a_waiting_job_keeps_its_secret_over_a_restart(start_host: StartHost) -> None:
    host = await start_host()
    root = host.caller("site_admin", user_id="root")
    template = await create(
        host.caller("debug"),
        command='printf %s "$PARAM_token" | wc -c',
        parameters=[{"name": "token", "type": "secret"}],
    )
    await root.request("POST", "/queue/pause")
    answer = await run(host.caller("debug"), template, values={"token": "hunter2"})
    assert in_files(host.base_dir) == []
    await host.stop()
    host = await start_host()
    await host.caller("site_admin", user_id="root").request("POST", "/queue/resume")
    assert (await host.caller("debug").result(answer.body["jobId"]))["Output"].strip() == "7"


@pytest.mark.parametrize(
    "value", ["xyz", "    x    ", "-rf /tmp", "has\0nul", 12345678, "x" * 4097, "\ud800hunter2"]
)
async def test_a_refused_secret_is_not_repeated(
    host: Host, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caller = host.caller("debug")
    template = await create(caller, parameters=[{"name": "token", "type": "secret", "pattern": ".+"}])
    answer = await run(caller, template, values={"token": value})
    assert (answer.status, answer.body["details"][0]["field"]) == (422, "values.token")
    assert str(value) not in str(answer.body) + caplog.text


async def test_a_value_that_looks_like_an_option_is_refused_unless_the_template_takes_it(host: Host) -> None:
    caller = host.caller("debug")
    command = 'ls -- "$PARAM_x"'
    strict = await create(caller, command=command, parameters=[{"name": "x", "type": "string"}])
    answer = await run(caller, strict, values={"x": "--help"})
    assert answer.status == 422
    assert "must not start with '-'" in answer.body["error"]
    taken = {"name": "x", "type": "string", "allowLeadingDash": True}
    result = await ended(
        caller, await create(caller, command=command, parameters=[taken]), values={"x": "--help"}
    )
    assert "Usage" not in result["Output"]
    assert "--help" in result["Output"]


async def test_no_parameter_is_ever_a_variable_that_the_system_heeds(host: Host) -> None:
    caller = host.caller("debug")
    names = ["PATH", "LD_PRELOAD", "IFS", "HOME"]
    template = await create(
        caller,
        command='echo "$PARAM_PATH,$PARAM_IFS"; command -v ls',
        parameters=[{"name": name, "type": "string"} for name in names],
    )
    result = await ended(caller, template, values=dict.fromkeys(names, "/nowhere"))
    assert result["Output"].startswith("/nowhere,/nowhere\n/")
    assert os.path.basename(result["Output"].strip()) == "ls"

"""The door: the names of a template's parameters, which a Python command finds as its variables."""

from __future__ import annotations

import builtins
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from aiohttp_jobs import InterpreterName
from aiohttp_jobs.system.derived_keys import InstallationKeys

from ..conftest import Host
from ..http.test_templates import create, ended, run

StartHost = Callable[..., Awaitable[Host]]
BUILTINS = [name for name in dir(builtins) if not name.startswith("_")]


RESERVED = ["__import__", "__builtins__", "__name__", "app", "exit", "quit"]
COMMON = ["id", "type", "format", "input", "filter", "max", "min", "list", "hash", "range", "dir"]


def a_template(name: str, interpreter: str | None) -> dict[str, Any]:
    return {
        "name": "t",
        "command": "echo 1",
        "executionMode": "BackgroundJob",
        **({"interpreter": interpreter} if interpreter else {}),
        "parameters": [{"name": name, "type": "string"}],
    }


@pytest.mark.parametrize("interpreter", ["shell", "python"])
async def test_nobody_puts_a_text_in_the_place_of_a_function_of_the_language(
    host: Host, interpreter: str
) -> None:
    alice = host.caller("debug")
    for name in [*BUILTINS, *RESERVED] if interpreter == "python" else RESERVED:
        answer = await alice.request("POST", "/templates", json=a_template(name, interpreter))
        assert (answer.status, answer.body["code"]) in ((400, "invalid_fields"), (422, "invalid_fields")), (
            name
        )
        (fault,) = answer.body["details"]
        assert fault["field"] == "parameters.0.name", fault
    assert "would hide Python's own" in str(answer.body) or "have a use for already" in str(answer.body)
    assert (await alice.request("GET", "/templates")).body["templates"] == []


async def test_nobody_does_so_where_the_server_chooses_python(start_host: StartHost) -> None:
    host = await start_host(default_interpreter=InterpreterName.PYTHON)
    answer = await host.caller("debug").request("POST", "/templates", json=a_template("open", None))
    assert (answer.status, answer.body["code"]) == (422, "invalid_fields")
    assert await is_described(host, a_template("opened", None))
    assert not await is_described(host, a_template("open", None))


async def test_nobody_does_so_by_changing_the_interpreter(host: Host) -> None:
    alice = host.caller("debug")
    template = await create(alice, parameters=[{"name": "open", "type": "string"}], interpreter="shell")
    path = f"/templates/{template['TemplateID']}"
    answer = await alice.request("PUT", path, json=a_template("open", "python"))
    assert (answer.status, answer.body["code"]) == (422, "invalid_fields")
    (fault,) = answer.body["details"]
    assert fault["field"] == "parameters.0.name"
    assert "would hide Python's own open from the command" in fault["message"]
    assert (await alice.request("GET", path)).body["template"]["Interpreter"] == "shell"


@pytest.mark.parametrize("name", COMMON)
async def test_names_that_hide_nothing_in_a_shell_are_taken_there(host: Host, name: str) -> None:
    alice = host.caller("debug")
    template = await create(
        alice,
        command=f'echo "$PARAM_{name}"',
        interpreter="shell",
        parameters=[{"name": name, "type": "string"}],
    )
    assert (await ended(alice, template, values={name: "x"}))["Output"] == "x\n"
    assert await is_described(host, a_template(name, "shell"))
    assert await is_described(host, a_template(name, None))


async def is_described(host: Host, body: dict[str, Any]) -> bool:
    """Whether the OpenAPI document says that `body` can be posted as a template."""
    document = (await host.caller("debug").request("GET", "/openapi.json")).body
    schema = {"$ref": "#/components/schemas/TemplateRequest", "components": document["components"]}
    return bool(Draft202012Validator(schema).is_valid(body))


async def test_the_document_says_so_too(host: Host) -> None:
    for name in ["print", "open", "id", *RESERVED, "class", "__x"]:
        assert not await is_described(host, a_template(name, "python")), name
    for name in [*RESERVED, "class", "__x"]:
        assert not await is_described(host, a_template(name, "shell")), name
    for name in ["printer", "opens", "path", "token", "Open", "id_", "x"]:
        assert await is_described(host, a_template(name, "python")), name


async def saved_before(host: Host, start_host: StartHost, **fields: Any) -> tuple[Host, dict[str, Any]]:
    """A template with a parameter ``open``, as the last release took it."""
    template = await create(host.caller("debug"), parameters=[{"name": "opened", "type": "string"}], **fields)
    await host.stop()
    path = host.base_dir / "Templates" / f"{template['TemplateID']}.json"
    record = json.loads(path.read_text())
    record["Parameters"][0]["name"] = "open"
    signer = InstallationKeys(host.base_dir).signer("template.key")
    path.write_text(json.dumps(signer.sign(record)))
    return await start_host(), template


async def test_a_python_template_from_before_is_shown_with_the_reason_and_does_not_run(
    start_host: StartHost,
) -> None:
    host, template = await saved_before(
        await start_host(), start_host, command="print(open)", interpreter="python"
    )
    alice = host.caller("debug")
    shown = (await alice.request("GET", f"/templates/{template['TemplateID']}")).body["template"]
    assert "does not run, because its parameter open would hide Python's own" in shown["Problem"]
    answer = await run(alice, template, values={"open": "x"})
    assert (answer.status, answer.body["error"]) == (403, shown["Problem"])

    asked = {
        "name": "t",
        "command": "print(opened)",
        "executionMode": "BackgroundJob",
        "interpreter": "python",
    }
    asked["parameters"] = [{"name": "opened", "type": "string"}]  # type: ignore[assignment]
    answer = await alice.request("PUT", f"/templates/{template['TemplateID']}", json=asked)
    assert answer.status == 200
    assert "Problem" not in answer.body["template"]
    assert (await ended(alice, template, values={"opened": "x"}))["Output"] == "x\n"


async def test_a_shell_template_from_before_runs_on(start_host: StartHost) -> None:
    host, template = await saved_before(await start_host(), start_host, command='echo "$PARAM_open"')
    alice = host.caller("debug")
    assert (
        "Problem" not in (await alice.request("GET", f"/templates/{template['TemplateID']}")).body["template"]
    )
    assert (await ended(alice, template, values={"open": "x"}))["Output"] == "x\n"

"""The door: the names of a template's parameters, which a Python command finds as its variables."""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiohttp_jobs.store.signing import Signer

from ..api.test_templates import create, ended, run
from ..conftest import Host

StartHost = Callable[..., Awaitable[Host]]
BUILTINS = [name for name in dir(builtins) if not name.startswith("_")]


@pytest.mark.parametrize("interpreter", ["shell", "python"])
async def test_nobody_puts_a_text_in_the_place_of_a_function_of_the_language(
    host: Host, interpreter: str
) -> None:
    alice = host.caller("debug")
    names = [*BUILTINS, "__import__", "__builtins__", "__name__", "app", "exit", "quit"]
    for name in names:
        body = {
            "name": "t",
            "command": "print(1)",
            "executionMode": "BackgroundJob",
            "interpreter": interpreter,
            "parameters": [{"name": name, "type": "string"}],
        }
        answer = await alice.request("POST", "/templates", json=body)
        assert (answer.status, answer.body["code"]) in ((400, "invalid_fields"), (422, "invalid_fields")), (
            name
        )
        (fault,) = answer.body["details"]
        assert fault["field"] == "parameters.0.name", fault
    assert "would hide Python's own" in str(answer.body) or "have a use for already" in str(answer.body)
    assert (await alice.request("GET", "/templates")).body["templates"] == []


async def test_the_document_says_so_too(host: Host) -> None:
    document = (await host.caller("debug").request("GET", "/openapi.json")).body
    pattern = document["components"]["schemas"]["Parameter"]["properties"]["name"]["pattern"]
    for name in [*BUILTINS, "app", "exit", "class", "__x"]:
        assert not re.search(pattern, name), name
    for name in ["printer", "opens", "path", "token", "Open", "id_", "x"]:
        assert re.search(pattern, name), name


async def saved_before(host: Host, start_host: StartHost, **fields: Any) -> tuple[Host, dict[str, Any]]:
    """A template with a parameter ``open``, as the last release took it."""
    template = await create(host.caller("debug"), parameters=[{"name": "opened", "type": "string"}], **fields)
    await host.stop()
    path = host.base_dir / "Templates" / f"{template['TemplateID']}.json"
    record = json.loads(path.read_text())
    record["Parameters"][0]["name"] = "open"
    signer = Signer.from_file(host.base_dir / "Secrets" / "template.key")
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

"""A tool for each template and each function that the caller may run, with its own parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ...model.functions import FunctionRunRequest
from ...model.job import ExecutionMode
from ...model.template import RunRequest
from ..functions import FUNCTIONS
from ..openapi.schemas import schema_of
from ..templates import TEMPLATES
from .job_tools import SubmittedJob, submitted
from .tool import RUNS, Call, Tool, tool_name

FUNCTION = "function"
TEMPLATE = "template"
_MARK = 8
_TEXT = {"type": "string"}
_ANSWERS = schema_of(SubmittedJob, "serialization", {})
_NEXT = "Answers with the job's id at once; follow it with watch_job."


def function_tools(functions: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """The tools for `functions`, as `FunctionService` lists them."""
    return [
        Tool(
            tool_name(FUNCTION, each["Name"]),
            each["Title"],
            "\n\n".join(filter(None, (each["Description"], _NEXT))),
            _object(each["Schema"]),
            _ANSWERS,
            RUNS,
            partial(_run_function, each["Name"]),
        )
        for each in functions
    ]


def template_tools(templates: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """The tools for those of `templates`, as `TemplateService` lists them, that the caller may run."""
    return [
        Tool(
            tool_name(TEMPLATE, each["Name"], each["TemplateID"][:_MARK]),
            each["Name"],
            "\n\n".join(filter(None, (each["Description"], _NEXT))),
            _parameters(each["Parameters"]),
            _ANSWERS,
            RUNS,
            partial(_run_template, each["TemplateID"], ExecutionMode(each["ExecutionMode"])),
        )
        for each in templates
        if each["MayRun"] and "Problem" not in each
    ]


async def _run_function(name: str, call: Call) -> dict[str, Any]:
    run = FunctionRunRequest(values=dict(call.arguments))
    submission = await call.app[FUNCTIONS].run(call.identity, name, run)
    return submitted(submission.job_id, submission.execution_mode)


async def _run_template(template_id: str, mode: ExecutionMode, call: Call) -> dict[str, Any]:
    run = RunRequest(values=dict(call.arguments))
    submission = await call.app[TEMPLATES].run(call.identity, template_id, run)
    return submitted(submission.job_id, mode)


def _object(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Of a function's values, as its signature has it."""
    return {"type": "object", "properties": {}, **schema, "additionalProperties": False}


def _parameters(parameters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {each["name"]: _parameter(each) for each in parameters},
        "required": [each["name"] for each in parameters if each.get("required") and "default" not in each],
        "additionalProperties": False,
    }


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    match parameter["type"]:
        case "int":
            limits = ("minimum", "maximum")
            schema = {"type": "integer", **{name: parameter[name] for name in limits if name in parameter}}
        case "choice":
            schema = {**_TEXT, "enum": list(parameter["choices"])}
        case "secret":
            schema = {**_TEXT, "format": "password", "writeOnly": True}
        case _:
            schema = dict(_TEXT)
    # RE2's patterns are not those of JSON schemas.
    pattern = f"It must match {parameter['pattern']} (RE2)." if "pattern" in parameter else ""
    if text := " ".join(filter(None, (parameter.get("description"), pattern))):
        schema["description"] = text
    if "default" in parameter:
        schema["default"] = parameter["default"]
    return schema

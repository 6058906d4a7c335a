"""``aiohttp-jobs template``: saved commands with parameters. Secret values are never taken from options."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from ..client import JobsClient, Record
from ..model.words import ExecutionMode
from .choosing import by_id_or_name
from .connection import Key, Url, with_client
from .following import run_job
from .jobs import CancelOnInterrupt, Wait
from .printing import (
    AsJSON,
    fail,
    print_fields,
    print_json,
    print_table,
    print_text,
    report,
)
from .submission import (
    Command,
    CommandFile,
    Delay,
    Description,
    Interpreter,
    Mode,
    Priority,
    RunAt,
    Timeout,
    command_text,
    job_body,
)
from .values import SecretEnv, SecretFile, Value, collect

template = typer.Typer(no_args_is_help=True, help="Create, list, run and delete templates.")

ID = Annotated[str, typer.Argument(metavar="ID", help="Its id, the beginning of its id, or its name.")]
FromFile = Annotated[
    Path, typer.Argument(help="The template as JSON, or as TOML if the name ends with .toml.", metavar="FILE")
]


@template.command()
def create(
    definition: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Read the whole template from a file: JSON, or TOML if it ends with .toml."
        ),
    ] = None,
    command: Command = None,
    file: CommandFile = None,
    name: Annotated[str | None, typer.Option(help="The name.")] = None,
    description: Description = "",
    mode: Mode = ExecutionMode.BACKGROUND_JOB,
    interpreter: Interpreter = None,
    timeout: Timeout = None,
    priority: Priority = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:TYPE]", help="A required parameter: string, int or secret; may be repeated."
        ),
    ] = None,
    run_role: Annotated[
        list[str] | None, typer.Option(help="A role that may run it; may be repeated.")
    ] = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Create a template: a command with parameters and roles."""
    if definition is not None:
        body = _read(definition)
    else:
        if name is None:
            fail("Give --name, or the whole template with --from.")
        body = job_body(
            command=command_text(command, file),
            mode=mode,
            interpreter=interpreter,
            description=description,
            timeout=timeout,
            priority=priority,
        )
        body |= {"name": name, "runRoles": run_role or []}
        body["parameters"] = [_parameter(text) for text in parameter or []]
    record = with_client(url, api_key, lambda client: client.templates.create(body))
    report(record, record["TemplateID"], as_json=as_json)


@template.command()
def replace(
    template_id: ID, definition: FromFile, as_json: AsJSON = False, url: Url = None, api_key: Key = None
) -> None:
    """Replace a template by the contents of a file."""
    body = _read(definition)

    async def work(client: JobsClient) -> Record:
        record = await find_template(client, template_id)
        return await client.templates.replace(record["TemplateID"], body)

    record = with_client(url, api_key, work)
    report(record, f"{record['Name']} is replaced.", as_json=as_json)


@template.command("list")
def list_templates(as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """List the templates that you may run or edit."""
    records = with_client(url, api_key, lambda client: client.templates.list())
    if as_json:
        print_json(records)
        return
    for record in records:
        record["Parameters"] = [each["name"] for each in record.get("Parameters") or []]
    columns = {"TemplateID": "TemplateID", "Name": "Name", "Parameters": "Parameters", "Owner": "UserID"}
    print_table(records, columns | {"May run": "MayRun", "May edit": "MayEdit"})


@template.command()
def show(template_id: ID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Show one template."""
    record = with_client(url, api_key, lambda client: find_template(client, template_id))
    if as_json:
        print_json(record)
        return
    parameters = record.pop("Parameters") or []
    print_fields(record)
    if parameters:
        print_text()
        columns = {"Parameter": "name", "Type": "type", "Required": "required", "Default": "default"}
        print_table(parameters, columns | {"Choices": "choices", "Description": "description"})


@template.command()
def run(
    template_id: ID,
    value: Value = None,
    secret_file: SecretFile = None,
    secret_env: SecretEnv = None,
    name: Annotated[str | None, typer.Option(help="The job's name.")] = None,
    priority: Priority = None,
    run_at: RunAt = None,
    delay: Delay = None,
    wait: Wait = False,
    cancel_on_interrupt: CancelOnInterrupt = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Run a template.

    Secrets are read from files or the environment, or asked for; never from options.
    """
    record = with_client(url, api_key, lambda client: find_template(client, template_id))
    values = collect(record.get("Parameters") or [], value or [], secret_file or [], secret_env or [])

    async def start(client: JobsClient) -> str:
        return await client.templates.run(
            record["TemplateID"], values, name=name, priority=priority, run_at=run_at, delay_seconds=delay
        )

    raise typer.Exit(
        run_job(url, api_key, start, wait=wait, as_json=as_json, cancel_on_interrupt=cancel_on_interrupt)
    )


@template.command()
def delete(template_id: ID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Delete a template; jobs that it started stay."""

    async def work(client: JobsClient) -> Record:
        record = await find_template(client, template_id)
        await client.templates.delete(record["TemplateID"])
        return record

    record = with_client(url, api_key, work)
    report({"templateId": record["TemplateID"]}, f"{record['Name']} is deleted.", as_json=as_json)


async def find_template(client: JobsClient, text: str) -> Record:
    """The template whose id is, or begins with, `text`, or whose name it is."""

    async def every(_everyone: bool) -> list[Record]:
        return await client.templates.list()

    return await by_id_or_name(text, "template", client.templates.get, every)


def _parameter(text: str) -> dict[str, Any]:
    name, _, kind = text.partition(":")
    return {"name": name, "type": kind or "string", "required": True}


def _read(path: Path) -> Record:
    try:
        text = path.read_text(encoding="utf-8")
        read = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be read: {error}")
    return read if isinstance(read, dict) else fail(f"{path} must hold one object.")

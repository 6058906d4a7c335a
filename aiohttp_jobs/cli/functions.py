"""``aiohttp-jobs functions``, ``function`` and ``run``: the host's own functions, with their parameters as
options.
"""

from __future__ import annotations

from typing import Annotated

import typer

from ..client import JobsClient, Record
from ..model.words import ExecutionMode
from .connection import Key, Url, with_client
from .following import run_job
from .function_options import option_lines, read_options
from .jobs import CancelOnInterrupt
from .printing import AsJSON, fail, print_fields, print_json, print_table, print_text
from .submission import (
    Backoff,
    Delay,
    Description,
    Label,
    NotifyEmail,
    NotifyOn,
    NotifyWebhook,
    Priority,
    Retries,
    RunAt,
    Timeout,
    notices,
    retry_policy,
)
from .texts import harmless
from .values import SecretEnv, SecretFile, Value, collect


def functions(as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """List the host's functions that you may run."""
    records = with_client(url, api_key, lambda client: client.functions.list())
    if as_json:
        print_json(records)
        return
    for record in records:
        record["Parameters"] = [each["name"] for each in record["Parameters"]]
    columns = {"Name": "Name", "Title": "Title", "Parameters": "Parameters", "Modes": "Modes"}
    print_table(records, columns)


def function(
    name: Annotated[str, typer.Argument(help="The function's name.")],
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Show a function and its parameters."""
    record = with_client(url, api_key, lambda client: client.functions.get(name))
    if as_json:
        print_json(record)
        return
    parameters = record.pop("Parameters")
    del record["Schema"]
    print_fields(record)
    if parameters:
        print_text()
        columns = {"Parameter": "name", "Type": "type", "Required": "required", "Default": "default"}
        print_table(parameters, columns | {"Choices": "choices", "Description": "description"})


def run(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The function's name.")] = None,
    show_help: Annotated[
        bool,
        typer.Option("--help", help="Show this message or, with a NAME, the function's options, and exit."),
    ] = False,
    value: Value = None,
    secret_file: SecretFile = None,
    secret_env: SecretEnv = None,
    mode: Annotated[
        ExecutionMode | None, typer.Option(help="Where it runs, if not in the function's default mode.")
    ] = None,
    job_name: Annotated[str | None, typer.Option(help="The job's name.")] = None,
    description: Description = "",
    timeout: Timeout = None,
    label: Label = None,
    priority: Priority = None,
    run_at: RunAt = None,
    delay: Delay = None,
    retries: Retries = 0,
    backoff: Backoff = 10.0,
    notify_email: NotifyEmail = None,
    notify_webhook: NotifyWebhook = None,
    notify_on: NotifyOn = "always",
    wait: Annotated[bool, typer.Option(help="Follow the output, and exit as the job does.")] = True,
    cancel_on_interrupt: CancelOnInterrupt = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Run a function; 'run NAME --help' shows its options.

    Secrets are read from files or the environment, or asked for; never from options.
    """
    if name is None:
        if not show_help:
            fail("Say which function: 'aiohttp-jobs functions' lists them.")
        print_text(context.get_help())
        return
    if name.startswith("-"):
        fail(f"The function's name comes before its options, and {name} is one.")
    record = with_client(url, api_key, lambda client: client.functions.get(name))
    taken = _own_options(context)
    if show_help:
        _help(record, taken)
        return
    parameters = record["Parameters"]
    given = read_options(parameters, taken, context.args)
    values = collect(parameters, value or [], secret_file or [], secret_env or [], given)

    async def start(client: JobsClient) -> str:
        return await client.functions.run(
            record["Name"],
            values,
            mode=mode,
            name=job_name,
            description=description or None,
            priority=priority,
            timeout_seconds=timeout,
            labels=label or (),
            run_at=run_at,
            delay_seconds=delay,
            retry=retry_policy(retries, backoff),
            notify=notices(notify_email, notify_webhook, notify_on),
        )

    raise typer.Exit(
        run_job(url, api_key, start, wait=wait, as_json=as_json, cancel_on_interrupt=cancel_on_interrupt)
    )


def _own_options(context: typer.Context) -> frozenset[str]:
    options = context.command.params
    return frozenset(name for each in options for name in [*each.opts, *each.secondary_opts])


def _help(record: Record, taken: frozenset[str]) -> None:
    print_text(f"Usage: aiohttp-jobs run {record['Name']} [OPTIONS]")
    if record["Description"]:
        print_text(
            "\n" + "\n".join(f"  {line}".rstrip() for line in harmless(record["Description"]).splitlines())
        )
    if record["Parameters"]:
        print_text("\nOptions of this function:")
        print_text("\n".join(option_lines(record["Parameters"], taken)))
    print_text("\n'aiohttp-jobs run --help' shows the options that all functions have, such as --no-wait.")

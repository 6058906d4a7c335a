"""``aiohttp-jobs schedule``: runs commands and functions by cron schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ..client import JobsClient, Record
from ..model.words import ExecutionMode, InterpreterName, MisfirePolicy, OverlapPolicy
from .choosing import by_id_or_name
from .connection import Key, Url, with_client
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
    Backoff,
    Command,
    CommandFile,
    ConcurrencyKey,
    Description,
    Interpreter,
    Label,
    NotifyEmail,
    NotifyOn,
    NotifyWebhook,
    Priority,
    Retries,
    Timeout,
    command_text,
    job_body,
    notices,
    retry_policy,
)
from .values import Value, collect

schedule = typer.Typer(no_args_is_help=True, help="Create, list, change and delete schedules.")

ID = Annotated[str, typer.Argument(metavar="ID", help="Its id, the beginning of its id, or its name.")]
Cron = Annotated[str, typer.Option(help="Five fields such as '0 3 * * *', or @hourly, @daily, …")]
Timezone = Annotated[str | None, typer.Option(help="IANA name, such as Europe/Berlin; UTC by default.")]
Overlap = Annotated[
    OverlapPolicy | None, typer.Option(help="What to do if the previous job is still running.")
]
Misfire = Annotated[
    MisfirePolicy | None,
    typer.Option(help="What to do about runs that were missed while no host was running."),
]
Jitter = Annotated[float | None, typer.Option(help="Start up to this many seconds late, at random.")]
StartAt = Annotated[str | None, typer.Option(help="No runs before this: ISO 8601 with a time zone.")]
EndAt = Annotated[str | None, typer.Option(help="No runs after this: ISO 8601 with a time zone.")]
_COLUMNS = {"ScheduleID": "ScheduleID", "Name": "Name", "Cron": "Cron", "Zone": "Timezone"}
_COLUMNS |= {"Enabled": "Enabled", "Next": "NextRunAt", "Last": "LastFiredAt", "Error": "LastError"}


@schedule.command()
def create(
    cron: Cron,
    name: Annotated[str, typer.Option(help="The name of the schedule and of its jobs.")],
    command: Command = None,
    file: CommandFile = None,
    function: Annotated[
        str | None, typer.Option(help="Run this function of the host instead of a command.")
    ] = None,
    value: Value = None,
    timezone: Timezone = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Create it disabled.")] = False,
    overlap: Overlap = None,
    misfire: Misfire = None,
    misfire_grace: Annotated[
        float | None, typer.Option(help="How many seconds late a run may still start.")
    ] = None,
    jitter: Jitter = None,
    start_at: StartAt = None,
    end_at: EndAt = None,
    mode: Annotated[
        ExecutionMode | None,
        typer.Option(help="Where it runs. Default: BackgroundJob, or the function's default mode."),
    ] = None,
    interpreter: Interpreter = None,
    description: Description = "",
    timeout: Timeout = None,
    priority: Priority = None,
    concurrency_key: ConcurrencyKey = None,
    label: Label = None,
    retries: Retries = 0,
    backoff: Backoff = 10.0,
    notify_email: NotifyEmail = None,
    notify_webhook: NotifyWebhook = None,
    notify_on: NotifyOn = "always",
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Create a schedule for a command or a function."""
    if function is None:
        if value:
            fail("--value is for a function's parameters: give --function too.")
        mode, what = mode or ExecutionMode.BACKGROUND_JOB, {"command": command_text(command, file)}
    elif command is not None or file is not None or interpreter or concurrency_key:
        fail("A function has no command, interpreter or concurrency key but its own.")
    else:
        what = {"function": function}
    job = what | job_body(
        mode=mode,
        name=name,
        interpreter=interpreter,
        description=description,
        timeout=timeout,
        priority=priority,
        concurrency_key=concurrency_key,
        labels=label,
        retry=retry_policy(retries, backoff),
        notify=notices(notify_email, notify_webhook, notify_on),
    )

    async def work(client: JobsClient) -> Record:
        values = await _values(client, function, value or []) if function else {}
        return await client.schedules.create(
            name,
            cron,
            job | values,
            timezone=timezone,
            enabled=False if disabled else None,
            overlap_policy=overlap,
            misfire_policy=misfire,
            misfire_grace_seconds=misfire_grace,
            jitter_seconds=jitter,
            start_at=start_at,
            end_at=end_at,
        )

    record = with_client(url, api_key, work)
    report(record, record["ScheduleID"], as_json=as_json)


@schedule.command("list")
def list_schedules(
    everyone: Annotated[bool, typer.Option("--all", help="Those of all users, if you may see them.")] = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """List schedules with their next runs."""
    records = with_client(url, api_key, lambda client: client.schedules.list(everyone=everyone))
    if as_json:
        print_json(records)
    else:
        print_table(records, _COLUMNS)


@schedule.command()
def show(schedule_id: ID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Show one schedule."""
    record = with_client(url, api_key, lambda client: _find(client, schedule_id))
    if as_json:
        print_json(record)
    else:
        print_fields(record)


@schedule.command("next")
def next_runs(
    schedule_id: ID,
    count: Annotated[int, typer.Option(help="How many runs to show.")] = 10,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Show the next runs of a schedule."""

    async def work(client: JobsClient) -> list[Record]:
        record = await _find(client, schedule_id)
        return await client.schedules.next_runs(record["ScheduleID"], count)

    _print_runs(with_client(url, api_key, work), as_json, "It will not run: it is disabled, or at its end.")


@schedule.command()
def preview(
    cron: Annotated[str, typer.Argument(help="Five fields such as '0 3 * * *', or @hourly, @daily, …")],
    timezone: Timezone = None,
    start_at: StartAt = None,
    end_at: EndAt = None,
    count: Annotated[int, typer.Option(help="How many runs to show.")] = 5,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Show when a cron line would run, without creating it."""

    async def work(client: JobsClient) -> list[Record]:
        asked = client.schedules.preview
        return await asked(cron, timezone=timezone, start_at=start_at, end_at=end_at, count=count)

    _print_runs(with_client(url, api_key, work), as_json, "It would not run.")


def _print_runs(records: list[Record], as_json: bool, none: str) -> None:
    if as_json:
        print_json(records)
    elif records:
        print_table(records, {name: name for name in records[0]})
    else:
        print_text(none)


@schedule.command()
def enable(schedule_id: ID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Enable a schedule, from its next run on."""
    record = _change(url, api_key, schedule_id, {"enabled": True})
    report(record, f"{record['Name']} is enabled{_next(record)}.", as_json=as_json)


@schedule.command()
def disable(schedule_id: ID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Disable a schedule, without deleting it."""
    record = _change(url, api_key, schedule_id, {"enabled": False})
    report(record, f"{record['Name']} is disabled.", as_json=as_json)


@schedule.command()
def change(
    schedule_id: ID,
    name: Annotated[str | None, typer.Option(help="The new name.")] = None,
    cron: Annotated[str | None, typer.Option(help="The new cron line.")] = None,
    timezone: Timezone = None,
    command: Annotated[str | None, typer.Option(help="The new command.")] = None,
    file: CommandFile = None,
    mode: Annotated[ExecutionMode | None, typer.Option(help="The new mode.")] = None,
    interpreter: Annotated[
        InterpreterName | None, typer.Option(help="The program that runs the command.")
    ] = None,
    value: Value = None,
    timeout: Timeout = None,
    priority: Priority = None,
    overlap: Overlap = None,
    misfire: Misfire = None,
    jitter: Jitter = None,
    start_at: Annotated[str | None, typer.Option(help="As in create; '' removes it.")] = None,
    end_at: Annotated[str | None, typer.Option(help="As in create; '' removes it.")] = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Change the settings that are given, and no others.

    Of a function's values, only those that are named are changed.
    """
    job = {
        "command": None if command is None and file is None else command_text(command, file),
        "executionMode": mode,
        "interpreter": interpreter,
        "timeoutSeconds": timeout,
        "priority": priority,
    }
    fields: dict[str, Any] = {
        "name": name,
        "cron": cron,
        "timezone": timezone,
        "overlapPolicy": overlap,
        "misfirePolicy": misfire,
        "jitterSeconds": jitter,
        "job": {field: value for field, value in job.items() if value is not None} or None,
    }
    body = {field: value for field, value in fields.items() if value is not None}
    moments = {"startAt": start_at, "endAt": end_at}
    body |= {field: text or None for field, text in moments.items() if text is not None}
    if not body and not value:
        fail("Say what to change, such as --cron '0 4 * * *'.")
    record = _change(url, api_key, schedule_id, body, value or [])
    report(record, f"{record['Name']} is changed{_next(record)}.", as_json=as_json)


@schedule.command()
def delete(schedule_id: ID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Delete a schedule; jobs that it submitted stay."""

    async def work(client: JobsClient) -> Record:
        record = await _find(client, schedule_id)
        await client.schedules.delete(record["ScheduleID"])
        return record

    record = with_client(url, api_key, work)
    report({"scheduleId": record["ScheduleID"]}, f"{record['Name']} is deleted.", as_json=as_json)


async def _values(client: JobsClient, function: str, given: Sequence[str]) -> dict[str, Any]:
    """The values for a schedule's job; no secrets, which schedules do not keep."""
    parameters = (await client.functions.get(function))["Parameters"]
    return {"values": collect(parameters, given, (), (), asks=False)}


async def _changed_values(client: JobsClient, job: Record, given: Sequence[str]) -> dict[str, Any]:
    """All values of a schedule's function, of which those that are `given` are new."""
    if "Function" not in job:
        fail("This schedule's job is a command, which has no values: --value is for a function's parameters.")
    changed = await _values(client, job["Function"], given)
    return {"values": {**job.get("Values", {}), **changed["values"]}}


def _next(record: Record) -> str:
    """The rest of a sentence: when it runs next, or why it does not."""
    if record.get("NextRunAt"):
        return f" and runs next at {record['NextRunAt']}"
    return ", and has no moment left at which it would run" if record.get("Enabled") else ", but disabled"


def _change(
    url: str | None, api_key: str | None, schedule_id: str, body: dict[str, Any], values: Sequence[str] = ()
) -> Record:
    async def work(client: JobsClient) -> Record:
        record = await _find(client, schedule_id)
        if values:
            changed = await _changed_values(client, record["Job"], values)
            return await client.schedules.update(
                record["ScheduleID"], body | {"job": {**body.get("job", {}), **changed}}
            )
        return await client.schedules.update(record["ScheduleID"], body)

    return with_client(url, api_key, work)


async def _find(client: JobsClient, text: str) -> Record:
    async def every(everyone: bool) -> list[Record]:
        return await client.schedules.list(everyone=everyone)

    return await by_id_or_name(text, "schedule", client.schedules.get, every)

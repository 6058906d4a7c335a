"""``aiohttp-jobs trigger``: webhook addresses at which other programs run templates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ..client import JobsClient, Record
from ..model.template_trigger import TriggerProof
from .connection import Key, Url, with_client
from .printing import AsJSON, fail, print_json, print_table, print_text, report
from .templates import ID, find_template

trigger = typer.Typer(no_args_is_help=True, help="Let other programs run a template, by webhook.")

_COLUMNS = {
    "TriggerID": "TriggerID",
    "Name": "Name",
    "Proof": "Proof",
    "Owner": "UserID",
    "On": "Enabled",
    "Path": "Path",
}

TriggerID = Annotated[str, typer.Argument(metavar="TRIGGER", help="The trigger's id.")]


@trigger.command()
def add(
    template_id: ID,
    name: Annotated[str, typer.Option(help="The name.")],
    proof: Annotated[TriggerProof, typer.Option(help="How senders prove that they know the secret.")],
    path: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="Take a parameter's value from the payload, such as branch=ref; may be repeated.",
        ),
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Give a parameter a fixed value; may be repeated."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=JSON",
            help="Run only if the payload has this value, such as ref=refs/heads/main; may be repeated.",
        ),
    ] = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Add a webhook address that runs a template as you.

    Prints its path and its secret, which is shown only once.
    """
    body: dict[str, Any] = {
        "name": name,
        "proof": proof.value,
        "paths": dict(_pairs("--path", path)),
        "values": {key: _scalar(text) for key, text in _pairs("--value", value)},
        "only": [{"path": key, "equals": _scalar(text)} for key, text in _pairs("--only", only)],
    }

    async def work(client: JobsClient) -> tuple[Record, str]:
        record = await find_template(client, template_id)
        return await client.templates.add_trigger(record["TemplateID"], body)

    record, secret = with_client(url, api_key, work)
    if as_json:
        print_json({"trigger": record, "secret": secret})
        return
    print_text(f"{record['TriggerID']}\nPath:   {record['Path']}\nSecret: {secret}")


@trigger.command("list")
def list_triggers(template_id: ID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """List the triggers of a template.

    Your own, or all of them if you may edit the template.
    """

    async def work(client: JobsClient) -> list[Record]:
        record = await find_template(client, template_id)
        return await client.templates.triggers(record["TemplateID"])

    records = with_client(url, api_key, work)
    if as_json:
        print_json(records)
    else:
        print_table(records, _COLUMNS)


@trigger.command()
def enable(trigger_id: TriggerID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Enable a trigger again."""
    record = with_client(url, api_key, lambda client: client.templates.set_trigger_enabled(trigger_id, True))
    report(record, f"{record['Name']} is on.", as_json=as_json)


@trigger.command()
def disable(trigger_id: TriggerID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Disable a trigger; its address and secret stay."""
    record = with_client(url, api_key, lambda client: client.templates.set_trigger_enabled(trigger_id, False))
    report(record, f"{record['Name']} is off.", as_json=as_json)


@trigger.command()
def rotate(trigger_id: TriggerID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Replace a trigger's secret and print the new one."""
    secret = with_client(url, api_key, lambda client: client.templates.rotate_trigger(trigger_id))
    report({"secret": secret}, secret, as_json=as_json)


@trigger.command()
def remove(trigger_id: TriggerID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Remove a trigger and its address."""
    with_client(url, api_key, lambda client: client.templates.delete_trigger(trigger_id))
    report({"triggerId": trigger_id}, "The trigger is removed.", as_json=as_json)


def _pairs(option: str, given: Sequence[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for text in given or ():
        name, separator, rest = text.partition("=")
        if not separator or not name:
            fail(f"{option} needs NAME=VALUE, and {text!r} has no '='.")
        pairs.append((name, rest))
    return pairs


def _scalar(text: str) -> Any:
    """A number, true, false or null as in JSON; anything else is a text."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(found, dict | list) else found

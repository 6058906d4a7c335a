"""Finds the record that a user names by its id, by the beginning of its id, or by its name."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Iterable

from ..client import ClientError, JobsClient, Record
from .printing import fail

_SHORTEST = 8
_BEGINNING = re.compile(f"[0-9A-Fa-f]{{{_SHORTEST}}}[0-9A-Fa-f-]*")
_MOST_SHOWN = 10
_FORBIDDEN = 403

Lists = Callable[[bool], Awaitable[list[Record]]]
"""Lists one's own records, or with ``True`` everybody's."""


async def job_id_of(client: JobsClient, text: str) -> str:
    """The id of the job whose id is, or begins with, `text`. Ends the command unless exactly one matches."""
    if (whole := _whole_id(text)) is not None:
        return whole
    require_beginning(text, "job")

    async def listed(everyone: bool) -> list[Record]:
        return await client.jobs(everyone=everyone, id_prefix=text, limit=_MOST_SHOWN + 1)

    found = await _of_everybody(listed, text, "JobID")
    return str(the_only(found, text, "job", "JobID", "JobName")["JobID"])


async def notice_id_of(client: JobsClient, text: str) -> str:
    """The id of the notice whose id is, or begins with, `text`.

    Ends the command unless exactly one matches.
    """
    if (whole := _whole_id(text)) is not None:
        return whole
    require_beginning(text, "notice")

    async def listed(everyone: bool) -> list[Record]:
        return await client.notices.list(everyone=everyone, limit=1000)

    found = await _of_everybody(listed, text, "NoticeID")
    return str(the_only(found, text, "notice", "NoticeID", "JobName")["NoticeID"])


async def by_id_or_name(
    text: str, kind: str, get: Callable[[str], Awaitable[Record]], every: Lists
) -> Record:
    """The `kind` (``schedule``) with this id, or else the only one with this name or beginning of an id."""
    if (whole := _whole_id(text)) is not None:
        return await get(whole)
    field = f"{kind.capitalize()}ID"
    named = [record for record in await every(False) if record.get("Name") == text]
    if len(named) > 1:
        fail(f"There are {len(named)} {kind}s with the name {text!r}; give the id.")
    if named:
        return named[0]
    if not _BEGINNING.fullmatch(text):
        fail(f"There is no {kind} with the name {text!r}.")
    found = await _of_everybody(every, text, field)
    if not found:
        fail(f"There is no {kind} with the name {text!r}, nor one whose id begins so.")
    return await get(str(the_only(found, text, kind, field, "Name")[field]))


def require_beginning(text: str, kind: str) -> None:
    """End the command if `text` cannot be the beginning of an id."""
    if not _BEGINNING.fullmatch(text):
        fail(f"{text!r} is no {kind} id. Give the whole id or its beginning, {_SHORTEST} characters or more.")


def the_only(records: Iterable[Record], text: str, kind: str, field: str, name: str) -> Record:
    """The only one of `records` whose `field` begins with `text`.

    Ends the command if there is none or several.
    """
    found = beginning(records, text, field)
    if not found:
        fail(f"There is no {kind} whose id begins with {text!r}.")
    if len(found) > 1:
        shown = "".join(f"\n  {each[field]}  {each.get(name)}" for each in found[:_MOST_SHOWN])
        more = "\n  …" if len(found) > _MOST_SHOWN else ""
        fail(f"{text!r} is the beginning of several {kind} ids; give more of it:{shown}{more}")
    return found[0]


def beginning(records: Iterable[Record], text: str, field: str) -> list[Record]:
    """The `records` whose `field` begins with `text`."""
    return [record for record in records if str(record.get(field)).startswith(text.lower())]


async def _of_everybody(every: Lists, text: str, field: str) -> list[Record]:
    """What begins so among everybody's, if the caller may see that, or else among the caller's own."""
    try:
        return beginning(await every(True), text, field)
    except ClientError as error:
        if error.status != _FORBIDDEN:
            raise
    return beginning(await every(False), text, field)


def _whole_id(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None

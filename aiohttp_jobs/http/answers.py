"""What handlers say of their answers: which fields they have, and which records.

The models are in ``openapi.records``. They are made for the document alone: a host whose document nobody
reads does without them, which are a megabyte.
"""

from __future__ import annotations

from types import GenericAlias
from typing import Any, NamedTuple


class NamedModel(NamedTuple):
    """A model of ``records`` by its name, or a list of them: a field of an answer, or all of it."""

    name: str
    is_list: bool = False


class Answering(NamedTuple):
    """A successful answer that is a model of its own; `fields` are types, or `NamedModel`."""

    name: str
    fields: tuple[tuple[str, Any], ...]


DONE = NamedModel("Done")
SUBMITTED = NamedModel("Submitted")


def answering(name: str, /, **fields: Any) -> Answering:
    """The answer `name` with `fields`, each of which is a type or `NamedModel`."""
    return Answering(name, tuple(fields.items()))


def listing(name: str, /, **plural: Any) -> Answering:
    """A list: ``count`` and the records, as in ``listing("Jobs", jobs=NamedModel("JobView"))``."""
    return answering(name, count=int, **_lists(plural))


def page(name: str, /, **plural: Any) -> Answering:
    """One page of a long list: ``nextCursor`` is null on the last page.

    ``indexing`` is true while results are still being indexed, so that more may turn up.
    """
    return answering(name, count=int, nextCursor=str | None, indexing=bool, **_lists(plural))


def _lists(plural: dict[str, Any]) -> dict[str, Any]:
    return {
        field: NamedModel(record.name, is_list=True)
        if isinstance(record, NamedModel)
        else GenericAlias(list, (record,))
        for field, record in plural.items()
    }

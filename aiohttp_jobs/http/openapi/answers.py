"""The envelopes around records: ``{"success": true, …}``, and the one of every failure."""

from __future__ import annotations

from functools import cache
from types import GenericAlias
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from .described import Described


class Success(Described):
    """What every answer that is no failure has."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[True]


class Done(Success):
    """Something was done; there is nothing more to tell."""

    message: str


class FieldFault(Described):
    """What is wrong with one field, named by its path in the body, or with one parameter."""

    model_config = ConfigDict(extra="forbid")

    field: str
    message: str


class Limit(Described):
    """The limit that was reached: a setting's name in camelCase, what it allows, and how much is used."""

    model_config = ConfigDict(extra="forbid")

    name: str
    value: int
    used: int


class Failure(Described):
    """Why a request was not carried out: a sentence for a person, and a code for a program."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[False]
    error: str
    code: str
    details: list[FieldFault] = Field(default_factory=list)
    limit: Limit | None = None


@cache
def answering(name: str, /, **fields: Any) -> type[BaseModel]:
    """The model of a successful answer with `fields`, each a type: `name`, and that it is an answer.

    Without that, programs that generate clients would call a type and its one field the same.
    """
    required: dict[str, Any] = {field: (type_, ...) for field, type_ in fields.items()}
    return create_model(f"{name}Answer", __base__=Success, __doc__="", **required)


def listing(name: str, /, **plural: Any) -> type[BaseModel]:
    """The model `name` of a list: ``count`` and the records, as in ``listing("Jobs", jobs=JobView)``."""
    return answering(name, count=int, **_lists(plural))


def page(name: str, /, **plural: Any) -> type[BaseModel]:
    """The same for one page of a long list: ``nextCursor`` is null on the last.

    ``indexing`` tells that more records may turn up.
    """
    return answering(name, count=int, nextCursor=str | None, indexing=bool, **_lists(plural))


def _lists(plural: dict[str, Any]) -> dict[str, Any]:
    return {field: GenericAlias(list, (record,)) for field, record in plural.items()}

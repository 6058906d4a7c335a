"""The schemas around records: ``{"success": true, …}``, and that of every error."""

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
    """A successful response without data."""

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
    """The model `name` of a successful response with `fields`, given as types.

    The model's name ends with "Answer", so that client generators do not give a type and its one field the
    same name.
    """
    required: dict[str, Any] = {field: (type_, ...) for field, type_ in fields.items()}
    return create_model(f"{name}Answer", __base__=Success, __doc__="", **required)


def listing(name: str, /, **plural: Any) -> type[BaseModel]:
    """The model `name` of a list: ``count`` and the records, as in ``listing("Jobs", jobs=JobView)``."""
    return answering(name, count=int, **_lists(plural))


def page(name: str, /, **plural: Any) -> type[BaseModel]:
    """The model `name` of one page of a long list: ``nextCursor`` is null on the last page.

    ``indexing`` is true while results are still being indexed, so that more may turn up.
    """
    return answering(name, count=int, nextCursor=str | None, indexing=bool, **_lists(plural))


def _lists(plural: dict[str, Any]) -> dict[str, Any]:
    return {field: GenericAlias(list, (record,)) for field, record in plural.items()}

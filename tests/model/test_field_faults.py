"""pydantic's faults as the ends of sentences that begin with a field's name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from aiohttp_jobs.model.field_faults import details_of, what_is_wrong


class Mail(BaseModel):
    channel: Literal["mail"]


class Hook(BaseModel):
    channel: Literal["hook"]


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=3)] = "a"
    count: Annotated[int, Field(le=5)] = 1
    share: float = 0.5
    is_on: bool = True
    names: Annotated[list[str], Field(min_length=2, max_length=3)] = ["a", "b"]
    notice: Annotated[Mail | Hook, Field(discriminator="channel")] | None = None
    place: dict[str, int] = {}
    even: int = 2
    odd: int = 1

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value

    @field_validator("odd")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise PydanticCustomError("too_long", "must be odd")
        return value


class Needed(BaseModel):
    name: str


def faults_of(model: type[BaseModel], body: dict[str, Any]) -> list[Any]:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    return refused.value.errors(include_url=False)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": 5}, "must be a text"),
        ({"name": ""}, "must not be empty"),
        ({"name": "four"}, "must have at most 3 characters"),
        ({"count": 1.5}, "must be a whole number"),
        ({"count": "x"}, "must be a whole number"),
        ({"count": 6}, "must be less than or equal to 5"),
        ({"share": "x"}, "must be a number"),
        ({"is_on": "perhaps"}, "must be true or false"),
        ({"names": "ab"}, "must be a list"),
        ({"names": ["a"]}, "must have at least 2 entries"),
        ({"names": ["a"] * 4}, "must have at most 3 entries"),
        ({"notice": {}}, "must have the field 'channel'"),
        ({"notice": {"channel": "fax"}}, "must have one of 'mail', 'hook' as its 'channel'"),
        ({"place": 1}, "must be an object"),
        ({"even": 3}, "must be even"),
        ({"odd": 2}, "must be odd"),
        ({"colour": "red"}, "is not a field here; check its spelling"),
    ],
)
def test_a_fault_is_the_end_of_a_sentence(body: dict[str, Any], words: str) -> None:
    assert [what_is_wrong(fault) for fault in faults_of(Asked, body)] == [words]


def test_what_is_missing_is_required_and_each_field_is_named() -> None:
    assert details_of(faults_of(Needed, {})) == [{"field": "name", "message": "is required"}]
    found = details_of(faults_of(Asked, {"names": ["a", 1], "count": None}))
    assert [(each["field"], each["message"]) for each in found] == [
        ("count", "must be a whole number"),
        ("names.1", "must be a text"),
    ]


def test_what_is_about_no_single_field_is_about_the_body() -> None:
    with pytest.raises(ValidationError) as refused:
        Asked.model_validate("text")
    (fault,) = details_of(refused.value.errors(include_url=False))
    assert fault["field"] == "body"

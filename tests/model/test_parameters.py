"""What each type of parameter takes, and how patterns are kept from holding up the server."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from aiohttp_jobs import InterpreterName
from aiohttp_jobs.errors import InvalidFieldsError
from aiohttp_jobs.model.parameters import Parameter, check_values, saving_faults

_UNUSABLE = ("(", r"(a)\1", "(?=a)", "(a{1000}){1000}", r"\PN{1,999}", r"\pL" * 11)


def parameter(**fields: Any) -> Parameter:
    return Parameter.model_validate({"name": "x", "type": "string", **fields})


@pytest.mark.parametrize(
    "name", ["", "1a", "a b", "a-b", "é", "class", "None", "__name__", "app", "x" * 65, "a\n"]
)
def test_names_that_could_be_anything_else_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        parameter(name=name)


def test_a_name_of_pythons_own_is_refused_where_python_reads_the_command() -> None:
    parameters = [parameter(name="who"), parameter(name="id")]
    for interpreter in InterpreterName:
        faults = saving_faults(parameters, interpreter)
        expected = ["parameters.1.name"] if interpreter is InterpreterName.PYTHON else []
        assert [fault["field"] for fault in faults] == expected, interpreter


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "float"},
        {"type": "choice"},
        {"type": "choice", "choices": []},
        {"type": "choice", "choices": ["a", "a"]},
        {"type": "choice", "choices": ["a"], "default": "b"},
        {"type": "choice", "choices": ["a"], "allowLeadingDash": True},
        {"type": "string", "choices": ["a"]},
        {"type": "string", "minimum": 1},
        {"type": "string", "default": 1},
        {"type": "string", "default": "-x"},
        {"type": "string", "required": "yes"},
        {"type": "int", "pattern": "1"},
        {"type": "int", "default": "1"},
        {"type": "int", "default": True},
        {"type": "int", "default": 1.5},
        {"type": "int", "minimum": 2, "maximum": 1},
        {"type": "int", "minimum": 2, "default": 1},
        {"type": "int", "minimum": 2**63},
        {"type": "secret", "default": "hunter2"},
        {"surplus": 1},
    ],
)
def test_parameters_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parameter(**fields)


@pytest.mark.parametrize(
    ("fields", "good", "bad"),
    [
        ({}, ["a", "", "é 'x'", "$(id)"], ["-a", "a\nb", "\x1b[0m", 1, True, [], {}]),
        ({"required": True}, ["a"], [""]),
        ({"allowLeadingDash": True}, ["-a"], []),
        ({"pattern": "[a-z]+|[0-9]"}, ["abc", "7"], ["abc1", "", "a\n", "77"]),
        ({"type": "int"}, [0, 5, 2**63 - 1], [-1, 2**63, 1.5, 1.0, "1", True, 10**400]),
        ({"type": "int", "minimum": -5, "maximum": 5}, [-5, 5], [-6, 6]),
        ({"type": "int", "allowLeadingDash": True}, [-1], []),
        ({"type": "choice", "choices": ["-a", "b"]}, ["-a", "b"], ["a", "", 1]),
        ({"type": "secret"}, ["hunter2", "two\nlines"], ["abc", "-abcd", "a\0bcd", 1234]),
    ],
)
def test_each_type_takes_what_it_says(fields: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    checked = parameter(**fields)
    assert [value for value in good if checked.fault(value)] == []
    assert [value for value in bad if not checked.fault(value)] == []


@pytest.mark.parametrize(
    "fields", [{"default": "b", "pattern": "a"}, *({"pattern": each} for each in _UNUSABLE)]
)
def test_patterns_that_cannot_be_used_and_defaults_that_do_not_fit_are_named(fields: dict[str, Any]) -> None:
    assert len(saving_faults([parameter(**fields)], InterpreterName.SHELL)) == 1


def test_a_pattern_takes_linear_time_whatever_it_is() -> None:
    assert parameter(pattern="(a+)+(a|a)*$").fault("a" * 4000 + "!") is not None
    assert parameter(pattern="(.*.*)*x").fault("y" * 4000) is not None


def test_defaults_stand_in_and_what_is_not_given_is_nothing() -> None:
    parameters = [
        parameter(name="a", default="b"),
        parameter(name="n", type="int", default=7),
        parameter(name="s", type="secret"),
        parameter(name="t", type="secret"),
        parameter(name="o"),
    ]
    values = check_values(parameters, {"t": "hunter2", "o": None})
    assert values.plain == {"a": "b", "n": 7, "s": None, "o": None}
    assert values.secret == {"t": "hunter2"}


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        check_values([parameter(required=True), parameter(name="y", type="int")], {"y": "1", "z": 2})
    assert {fault["field"] for fault in caught.value.details or []} == {"values.x", "values.y", "values.z"}

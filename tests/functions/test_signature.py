"""A function's Python signature becomes a form's parameters, and JSON becomes its arguments."""

from __future__ import annotations

import enum
import inspect
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field, SecretStr

from aiohttp_jobs import ConfigurationError, JobContext
from aiohttp_jobs.errors import InvalidFieldsError
from aiohttp_jobs.functions.signature import Signature
from tests.functions import sample

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Address(BaseModel):
    street: str
    number: int = 1
    next: Address | None = None


class Account(BaseModel):
    name: str
    password: SecretStr


def of(annotation: Any, **default: Any) -> Signature:
    """The signature of a function with one parameter, ``value``."""

    def function(value: Any) -> None: ...

    function.__annotations__["value"] = annotation
    if "default" in default:
        function.__defaults__ = (default["default"],)
    return Signature(function)


def faults(signature: Signature, values: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidFieldsError) as caught:
        signature.validate(values)
    return {fault["field"]: fault["message"] for fault in caught.value.details or ()}


@pytest.mark.parametrize(
    ("annotation", "described", "sent", "passed"),
    [
        (str, {"type": "string"}, "-x", "-x"),
        (int, {"type": "int"}, 5, 5),
        (int, {"type": "int"}, 5.0, 5),
        (float, {"type": "number"}, 5, 5.0),
        (bool, {"type": "bool"}, True, True),
        (Decimal, {"type": "decimal"}, "1.10", Decimal("1.10")),
        (Decimal, {"type": "decimal"}, 1.5, Decimal("1.5")),
        (Literal["a", "b"], {"type": "choice", "choices": ["a", "b"]}, "b", "b"),
        (Literal["a"], {"type": "choice", "choices": ["a"]}, "a", "a"),
        (Level, {"type": "choice", "choices": [1, 2]}, 2, Level.HIGH),
        (date, {"type": "date"}, "2026-01-31", date(2026, 1, 31)),
        (datetime, {"type": "datetime"}, "2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        (time, {"type": "time"}, "08:30", time(8, 30)),
        (
            UUID,
            {"type": "uuid"},
            "12345678123456781234567812345678",
            UUID(int=0x12345678123456781234567812345678),
        ),
        (list[int], {"type": "list", "items": {"type": "int"}}, [1, 2], [1, 2]),
        (set[Level], {"type": "list", "items": {"type": "choice", "choices": [1, 2]}}, [1], {Level.LOW}),
        (int | None, {"type": "int", "nullable": True}, None, None),
        (
            Annotated[int, Field(ge=1, le=9, description="How many")],
            {"type": "int", "minimum": 1, "maximum": 9, "description": "How many"},
            9,
            9,
        ),
        (
            Annotated[str, Field(pattern="^x+$", min_length=1, max_length=3)],
            {"type": "string", "pattern": "^x+$", "minLength": 1, "maxLength": 3},
            "xx",
            "xx",
        ),
        (
            Annotated[list[str], Field(min_length=1, max_length=2)],
            {"type": "list", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
            ["a"],
            ["a"],
        ),
    ],
)
def test_what_a_form_asks_for_and_what_the_function_gets(
    annotation: Any, described: dict[str, Any], sent: Any, passed: Any
) -> None:
    signature = of(annotation)
    [parameter] = signature.parameters
    common = {"name": "value", "required": True, "nullable": False, "default": None, "description": ""}
    assert parameter.to_json() == {**common, "allowLeadingDash": True, **described}
    checked = signature.validate({"value": sent})
    assert signature.call_arguments(checked.all) == ([], {"value": passed})
    json.dumps(signature.json_schema)


def test_a_model_is_entered_as_json_by_its_schema() -> None:
    signature = of(Address | None, default=None)
    [parameter] = signature.parameters
    shown = parameter.to_json()
    assert (shown["type"], shown["required"], shown["nullable"]) == ("object", False, True)
    assert shown["schema"]["required"] == ["street"]
    assert set(shown["schema"]["$defs"]) == {"Address"}
    [(_, kept)] = signature.call_arguments({"value": {"street": "Main", "next": {"street": "Side"}}})[
        1
    ].items()
    assert kept == Address(street="Main", next=Address(street="Side"))
    assert faults(signature, {"value": {"number": "x"}}) == {
        "values.value.street": "is required",
        "values.value.number": "must be a whole number",
    }


def test_a_default_is_shown_and_left_to_python() -> None:
    signature = sample.rebuild.signature
    index, since, dry_run = signature.parameters
    assert (index.required, index.description) == (True, "Which one.")
    assert (since.required, since.nullable, since.default) == (False, True, None)
    assert (dry_run.required, dry_run.nullable, dry_run.default) == (False, False, False)
    assert signature.json_schema["properties"]["dry_run"]["default"] is False
    assert signature.json_schema["required"] == ["index"]
    assert signature.call_arguments({"index": "users"}) == ([], {"index": "users"})


@pytest.mark.parametrize(
    ("annotation", "sent", "fault"),
    [
        (int, "5", "must be a whole number"),
        (int, 5.5, "must be a whole number"),
        (int, True, "must be a whole number"),
        (int, 2**63, "must have whole numbers of at most 64 bits"),
        (float, "1", "must be a number"),
        (float, float("nan"), "must have finite numbers"),
        (bool, 1, "must be true or false"),
        (str, 5, "must be a text"),
        (Annotated[list[int], Field(max_length=2)], [1, 2, 3], "must have at most 2 entries"),
        (Annotated[list[int], Field(min_length=2)], [1], "must have at least 2 entries"),
        (Annotated[list[int], Field(min_length=1)], [], "must not be empty"),
        (Annotated[str, Field(min_length=1)], "", "must not be empty"),
        (str, "a\0b", "must not contain a NUL character"),
        (str, "\ud800", "must be valid Unicode text (it has a lone surrogate)"),
        (list[str], ["\ud800"], "must be valid Unicode text (it has a lone surrogate)"),
        (Literal["users", "orders"], "x", "must be 'users' or 'orders'"),
        (Level, 3, "must be 1 or 2"),
        (datetime, "1700000000", "must be a valid datetime in the format of ISO 8601"),
        (datetime, 1700000000, "must be a valid datetime"),
        (
            date,
            "2026-02-30",
            "must be a valid date in the format YYYY-MM-DD, day value is outside expected range",
        ),
        (UUID, 5, "must be a UUID, as text"),
        (Annotated[int, Field(ge=1)], 0, "must be greater than or equal to 1"),
        (Annotated[str, Field(max_length=2)], "abc", "must have at most 2 characters"),
        (Annotated[Decimal, Field(max_digits=3)], "12.34", "must have no more than 3 digits in total"),
        (int, None, "must be a whole number"),
        (dict[str, Any], {"a": [[[[[{}] * 2]]]] * 2}, None),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence(annotation: Any, sent: Any, fault: str | None) -> None:
    signature = of(annotation)
    if fault is None:
        signature.validate({"value": sent})
    else:
        assert faults(signature, {"value": sent}) == {"values.value": fault}


def test_each_fault_is_told_at_once() -> None:
    told = faults(sample.rebuild.signature, {"since": "yesterday", "dry_run": 1, "what\ud800": 5})
    assert told == {
        "values.index": "is required",
        "values.since": "must be a valid date in the format of ISO 8601",
        "values.dry_run": "must be true or false",
        "values.what?": "is not a parameter of this function",
    }


def test_a_value_too_deep_or_too_large_is_refused() -> None:
    deep: Any = []
    for _ in range(40):
        deep = [deep]
    assert faults(of(dict[str, Any]), {"value": {"a": deep}}) == {
        "values.value": "must have at most 32 levels"
    }
    told = faults(of(str), {"value": "ä" * 20_000})["values"]
    assert told.startswith("must have at most 32768 bytes together")


def fails(value: Any) -> Any:
    raise RuntimeError(value)


def refuses(value: Any) -> Any:
    secret = value.get_secret_value() if isinstance(value, SecretStr) else value
    raise ValueError(f"{secret} is not nice")


def test_a_check_of_the_hosts_own_is_told_and_may_fail() -> None:
    assert faults(of(Annotated[str, AfterValidator(refuses)]), {"value": "rain"}) == {
        "values.value": "rain is not nice"
    }
    assert faults(of(Annotated[str, AfterValidator(fails)]), {"value": "x"}) == {
        "values": "cannot be checked: RuntimeError"
    }


class TestSecrets:
    """They are sealed apart from all other values, and no message ever has one."""

    def test_are_apart(self) -> None:
        values = {"user": "ann", "password": "correct horse", "note": None}
        checked = sample.login.signature.validate(values)
        assert checked.plain == {"user": "ann", "note": None}
        assert checked.secret == {"password": "correct horse"}
        arguments = sample.login.signature.call_arguments(checked.all)[1]
        assert arguments["password"] == SecretStr("correct horse")
        assert "correct" not in repr(checked.plain)

    def test_are_marked(self) -> None:
        _, password, note = sample.login.signature.parameters
        assert (password.type, password.required) == ("secret", True)
        assert (note.type, note.required, note.nullable) == ("secret", False, True)

    @pytest.mark.parametrize(
        "secret", ["abc", "a\0bcdef", "x" * 5000, 12345678, ["hunter2"], {"a": "hunter2"}]
    )
    def test_a_bad_one_is_refused_without_being_repeated(self, secret: Any) -> None:
        told = faults(sample.login.signature, {"user": "ann", "password": secret})
        assert list(told) == ["values.password"]
        assert "hunter2" not in str(told)
        assert "abc" not in told["values.password"]
        assert "12345678" not in str(told)

    def test_a_check_of_the_hosts_own_cannot_repeat_one(self) -> None:
        told = faults(of(Annotated[SecretStr, AfterValidator(refuses)]), {"value": "correct horse"})
        assert told == {"values.value": "is not a value that the function takes"}

    def test_have_at_most_500_lines_together(self) -> None:
        told = faults(sample.login.signature, {"user": "ann", "password": "1234\n" * 501})
        assert told["values"].startswith("must have at most 500 lines")


def no_annotation(value) -> None: ...  # type: ignore[no-untyped-def]
def many(*value: int) -> None: ...
def keywords(**value: int) -> None: ...
def unknown(value: Unknown) -> None: ...
def either(value: int | str) -> None: ...
def anything(value: Any) -> None: ...
def bytes_(value: bytes) -> None: ...
def function(value: Callable[[], None]) -> None: ...
def secrets(value: list[SecretStr]) -> None: ...
def secret_inside(value: Account) -> None: ...
def secret_deep_inside(value: dict[str, Account] | None = None) -> None: ...
def secret_default(value: SecretStr = SecretStr("hunter22")) -> None: ...  # noqa: B008
def field_default(value: int = Field(ge=1)) -> None: ...
def pair(value: tuple[int, str]) -> None: ...
def odd_default(value: int = object()) -> None: ...  # type: ignore[assignment]
def ünusual(ä: int) -> None: ...  # noqa: PLC2401


@pytest.mark.parametrize(
    ("unsupported", "why"),
    [
        (no_annotation, "needs an annotation, which says what it takes"),
        (many, "takes any number of values, which no form can; name each"),
        (keywords, "takes any number of values, which no form can; name each"),
        (unknown, "has an annotation that cannot be read: name 'Unknown' is not defined"),
        (either, "may be of several types, and no form can ask for one of them"),
        (anything, "has a type that no form can ask for"),
        (bytes_, "has a type that no form can ask for"),
        (function, "has a type that JSON cannot be read as"),
        (secrets, "is a list of secrets, which would not be sealed; take each by itself"),
        (secret_inside, "has a secret inside, which would not be sealed; make it a parameter of its own"),
        (secret_deep_inside, "has a secret inside"),
        (secret_default, "is a secret with a default, which could not be masked; use None for it"),
        (field_default, "has Field(...) as its default; put that into the annotation"),
        (pair, "has a type that no form can ask for"),
        (odd_default, "has a default that JSON cannot say"),
        (ünusual, "must have a name of at most 64 ASCII letters, digits and underscores"),
    ],
)
def test_what_no_form_can_ask_for_is_refused(unsupported: Callable[..., None], why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _ = Signature(unsupported).parameters
    [name] = inspect.signature(unsupported).parameters
    assert caught.value.message.startswith(
        f"The parameter {name} of the function {unsupported.__name__} {why}"
    )


def test_as_many_parameters_as_a_form_can_have() -> None:
    namespace: dict[str, Any] = {}
    exec(f"def much({', '.join(f'a{n}: int' for n in range(51))}): ...", namespace)
    with pytest.raises(ConfigurationError, match="51 parameters; at most 50"):
        _ = Signature(namespace["much"]).parameters


def by_annotation(context: JobContext, value: int) -> None: ...
def by_name(job, value: int) -> None: ...  # type: ignore[no-untyped-def]
def not_one(job: int, value: int) -> None: ...
def only_one(job: JobContext) -> None: ...
def none() -> None: ...
def by_keyword(*, job: int = 1) -> None: ...


@pytest.mark.parametrize(
    ("declared", "takes_context", "names"),
    [
        (by_annotation, True, ["value"]),
        (by_name, True, ["value"]),
        (not_one, False, ["job", "value"]),
        (only_one, True, []),
        (none, False, []),
        (by_keyword, False, ["job"]),
    ],
)
def test_the_context_comes_first_for_who_asks_for_it(
    declared: Callable[..., None], takes_context: bool, names: list[str]
) -> None:
    signature = Signature(declared)
    assert signature.takes_context is takes_context
    assert [parameter.name for parameter in signature.parameters] == names


def model_names(schema: int, copy: int, model_config: int, json: str, _hidden: int = 1) -> None: ...


def test_parameters_may_have_any_name() -> None:
    signature = Signature(model_names)
    values = {"schema": 1, "copy": 2, "model_config": 3, "json": "4", "_hidden": 5}
    assert signature.call_arguments(signature.validate(values).all) == ([], values)


def of_level(level: Level) -> None: ...


def test_a_function_that_is_wrapped_has_its_own_annotations() -> None:
    """Which are texts, and mean what they mean in its own module."""
    elsewhere: dict[str, Any] = {}
    exec(
        "import functools\n"
        "def logged(function):\n"
        "    return functools.wraps(function)(lambda *args, **kwargs: function(*args, **kwargs))",
        elsewhere,
    )
    [level] = Signature(elsewhere["logged"](of_level)).parameters
    assert level.choices == (1, 2)


def by_position(first: int, second: int = 2, third: int = 3, /, *, fourth: int) -> None: ...


def test_what_no_json_can_say_is_refused_at_the_call_too() -> None:
    """A worker is handed values that somebody else has checked; it does not fall over others."""
    for values in ({"value": "\ud800"}, {"\ud800": 1}):
        with pytest.raises(InvalidFieldsError):
            of(str).call_arguments(values)


def test_what_is_passed_by_position() -> None:
    signature = Signature(by_position)
    assert signature.call_arguments({"first": 1, "second": 5, "fourth": 4}) == ([1, 5], {"fourth": 4})
    with pytest.raises(InvalidFieldsError, match=r"values\.third can be given only with all"):
        signature.call_arguments({"first": 1, "third": 5, "fourth": 4})


_DATES = st.dates()
_NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1)


@given(
    rows=st.lists(st.integers(0, 2**63 - 1), max_size=5),
    price=st.decimals(allow_nan=False, allow_infinity=False),
    kind=st.sampled_from(sample.Format),
    pages=st.none() | st.builds(sample.Range, first=_NUMBERS, last=_NUMBERS),
    tags=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))).map(tuple),
)
def test_what_is_bound_arrives(**arguments: Any) -> None:
    bound = sample.report.bind(**arguments)
    kept = json.loads(json.dumps(bound.values.all))
    assert sample.report.signature.call_arguments(kept) == ([], arguments)


class TestBinding:
    """Host code gives Python objects, which are checked as values of requests are."""

    def test_values_are_json(self) -> None:
        bound = sample.rebuild.bind("users", date(2026, 1, 31), dry_run=True)
        assert bound.values == ({"index": "users", "since": "2026-01-31", "dry_run": True}, {})
        assert bound.function is sample.rebuild

    def test_secrets_are_given_as_such_or_as_text(self) -> None:
        secret = SecretStr("correct horse")
        assert sample.login.bind("ann", secret).values.secret == {"password": "correct horse"}
        assert "correct" not in repr(sample.login.bind("ann", secret))

    def test_a_call_that_python_refuses_is_refused(self) -> None:
        with pytest.raises(TypeError, match="missing a required argument: 'index'"):
            sample.rebuild.bind()  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="unexpected keyword argument 'what'"):
            sample.rebuild.bind("users", what=1)  # type: ignore[call-arg]

    def test_an_object_of_another_type_is_refused(self) -> None:
        with pytest.raises(InvalidFieldsError, match=r"values\.since takes no int"):
            sample.rebuild.bind("users", 5)  # type: ignore[arg-type]
        with pytest.raises(InvalidFieldsError, match=r"values\.index"):
            sample.rebuild.bind("other")  # type: ignore[arg-type]

"""A template's parameters: their types and limits, and validation of a run's values. Pure."""

from __future__ import annotations

import builtins
import json
import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

from ..errors import InvalidFieldsError, field_error
from .job import WHOLE, CommandText, InterpreterName, OneLine, Text
from .patterns import MOST_PATTERNS, matches, pattern_fault, too_many
from .schema_extras import SchemaExtras

LEAST_SECRET_LENGTH = 4
"""Characters of a secret value: a shorter one would be masked all over an output, and told by that."""
MAX_VALUE_LENGTH = 4096
"""Characters of one string or secret."""
MAX_SECRET_LINES = 500
"""Lines of all secrets of one run together: each is looked for in the output in some dozen forms."""
MAX_VALUES_BYTES = 32 * 1024
"""All values of one run together, as JSON: they must fit into one environment variable."""

_NAME = "[A-Za-z_][A-Za-z0-9_]{0,63}"
_BUILTINS = frozenset(name for name in dir(builtins) if not name.startswith("_"))
_RESERVED = frozenset({"app", "exit", "quit"})
_NO_NAME = f"__|({'|'.join(sorted({*keyword.kwlist, *_RESERVED}))})$"
HIDES_NOTHING = f"^(?!({'|'.join(sorted(_BUILTINS))})$)"
"""A pattern of the names that hide none of Python's builtins from a command."""
_LARGEST = 2**63 - 1
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"


class ParameterType(StrEnum):
    STRING = "string"
    INT = "int"
    CHOICE = "choice"
    SECRET = "secret"  # noqa: S105 - the name of a type


def _check_name(name: str) -> str:
    if not re.fullmatch(_NAME, name) or keyword.iskeyword(name):
        raise ValueError(
            "must be an identifier of at most 64 letters, digits and underscores, and no Python keyword"
        )
    if name in _RESERVED or name.startswith("__"):
        raise ValueError("is a name that Python jobs have a use for already; choose another")
    return name


def _of_type(kind: ParameterType, **fields: Any) -> dict[str, Any]:
    """In a schema: what else holds of parameters of this type."""
    return {"properties": {"type": {"const": kind.value}, **fields}}


_NULL = {"type": "null"}
_NO_NUMBERS = {"minimum": _NULL, "maximum": _NULL}
_TEXT_DEFAULT = {"anyOf": [{"type": "string", "maxLength": MAX_VALUE_LENGTH, "pattern": _LINE}, _NULL]}
_BY_TYPE: dict[str, Any] = {
    "anyOf": [
        _of_type(ParameterType.STRING, choices=_NULL, default=_TEXT_DEFAULT, **_NO_NUMBERS),
        _of_type(ParameterType.SECRET, choices=_NULL, default=_NULL, **_NO_NUMBERS),
        _of_type(ParameterType.INT, choices=_NULL, pattern=_NULL, default={"type": ["integer", "null"]}),
        {
            **_of_type(
                ParameterType.CHOICE,
                choices={"type": "array"},
                pattern=_NULL,
                default={"type": ["string", "null"]},
                allowLeadingDash={"const": False},
                **_NO_NUMBERS,
            ),
            "required": ["choices"],
        },
    ]
}
Number = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST, strict=True), WHOLE]
Pattern = Annotated[
    Text,
    StringConstraints(min_length=1, max_length=500),
    SchemaExtras({"format": "re2"}),
]
"""Whether it can be compiled is told by `saving_faults`: that takes too long for the event loop."""
Choice = Annotated[OneLine, StringConstraints(min_length=1, max_length=500)]

Choices = Annotated[
    tuple[Choice, ...], Field(min_length=1, max_length=200), SchemaExtras({"uniqueItems": True})
]


class Parameter(BaseModel):
    """One parameter, in requests and records. `pattern` (RE2) must match the whole value."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        json_schema_extra=_BY_TYPE,
    )

    name: Annotated[Text, AfterValidator(_check_name), SchemaExtras({"pattern": f"^(?!{_NO_NAME}){_NAME}$"})]
    type: ParameterType
    description: Annotated[CommandText, StringConstraints(max_length=500)] = ""
    required: Annotated[bool, Field(strict=True)] = False
    default: Annotated[
        str | Number | None, Field(description="What a run could be given: see the other fields.")
    ] = None
    pattern: Pattern | None = None
    minimum: Number | None = None
    maximum: Number | None = None
    choices: Choices | None = None
    allow_leading_dash: Annotated[bool, Field(strict=True)] = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kind = self.type
        texts, numbers = (ParameterType.STRING, ParameterType.SECRET), (ParameterType.INT,)
        for field, value, kinds in (
            ("pattern", self.pattern, texts),
            ("minimum", self.minimum, numbers),
            ("maximum", self.maximum, numbers),
            ("choices", self.choices, (ParameterType.CHOICE,)),
            ("allowLeadingDash", self.allow_leading_dash or None, (*texts, *numbers)),
        ):
            if value is not None and kind not in kinds:
                raise ValueError(f"has {field}, which is not for parameters of type {kind}")
        if kind is ParameterType.CHOICE and self.choices is None:
            raise ValueError("must have choices, as its type is choice")
        if self.choices is not None and len(set(self.choices)) < len(self.choices):
            raise ValueError("must have choices that differ from each other")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("must not have a minimum that is larger than its maximum")
        if self.default is not None:
            if kind is ParameterType.SECRET:
                raise ValueError("has a default, which is not for secrets: they are given anew for each run")
            if (fault := self.fault(self.default, with_pattern=False)) is not None:
                raise ValueError(f"has a default that {fault}")
        return self

    @property
    def hides_builtin(self) -> bool:
        """Whether it would hide one of Python's built-in functions from a Python command."""
        return self.name in _BUILTINS

    def fault(self, value: object, *, with_pattern: bool = True) -> str | None:
        """What is wrong with `value`, as the end of a sentence that never contains the value.

        Compiles the pattern, which takes milliseconds, unless `with_pattern` is false.
        """
        if self.type is ParameterType.INT:
            return self._number_fault(value)
        if not isinstance(value, str):
            return "must be a text"
        if self.type is ParameterType.CHOICE:
            return (
                None if value in (self.choices or ()) else f"must be one of {', '.join(self.choices or ())}"
            )
        fault = self._text_fault(value)
        return self._pattern_fault(value) if fault is None and with_pattern else fault

    def _number_fault(self, value: object) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _LARGEST:
            return "must be a whole number of at most 64 bits"
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {self.minimum}"
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum}"
        if value < 0 and self.minimum is None and not self.allow_leading_dash:
            return "must not be negative: a command could take it for an option"
        return None

    def _text_fault(self, value: str) -> str | None:
        if (fault := self._content_fault(value)) is not None:
            return fault
        if value.startswith("-") and not self.allow_leading_dash:
            return "must not start with '-': a command could take it for an option"
        return "must not be empty" if self.required and not value else None

    def _pattern_fault(self, value: str) -> str | None:
        try:
            is_match = self.pattern is None or matches(self.pattern, value)
        except ValueError as error:
            return f"cannot be checked: the pattern {error}"
        return None if is_match else f"must match {self.pattern}"

    def _content_fault(self, value: str) -> str | None:
        if self.type is ParameterType.SECRET:
            if (fault := secret_fault(value)) is not None:
                return fault
        elif len(value) > MAX_VALUE_LENGTH:
            return f"must have at most {MAX_VALUE_LENGTH} characters"
        elif _CONTROL.search(value):
            return "must be one line of plain text"
        try:
            value.encode()
        except UnicodeEncodeError:
            return "must be valid Unicode text (it has a lone surrogate)"
        return None


def saving_faults(parameters: Sequence[Parameter], interpreter: InterpreterName) -> list[dict[str, Any]]:
    """What is wrong with the parameters of a new template whose command is run by `interpreter`.

    Names that hide a built-in from a Python command, patterns, and defaults that do not match theirs: each as
    an entry of an error's ``details``. Takes some milliseconds for each pattern.
    """
    return [*_name_faults(parameters, interpreter), *_pattern_faults(parameters)]


def _name_faults(parameters: Sequence[Parameter], interpreter: InterpreterName) -> list[dict[str, Any]]:
    # Only a Python command finds parameters as its variables: elsewhere they are PARAM_<name>.
    if interpreter is not InterpreterName.PYTHON:
        return []
    return [
        field_error(
            f"parameters.{index}.name",
            f"would hide Python's own {parameter.name} from the command; choose another name",
        )
        for index, parameter in enumerate(parameters)
        if parameter.hides_builtin
    ]


def _pattern_faults(parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
    if too_many(parameter.pattern for parameter in parameters):
        return [field_error("parameters", f"must have at most {MOST_PATTERNS} patterns that differ")]
    faults = []
    for index, parameter in enumerate(parameters):
        if parameter.pattern is None:
            continue
        if (fault := pattern_fault(parameter.pattern)) is not None:
            faults.append(field_error(f"parameters.{index}.pattern", fault))
        elif parameter.default is not None and (fault := parameter.fault(parameter.default)) is not None:
            faults.append(field_error(f"parameters.{index}", f"has a default that {fault}"))
    return faults


class RunValues(NamedTuple):
    """The values of one run by name: all but the secret ones, and the secret ones."""

    plain: dict[str, str | int | None]
    secret: dict[str, str]

    def to_json(self) -> bytes:
        return json.dumps({**self.plain, **self.secret}, ensure_ascii=False).encode()


def require_size(size: int) -> None:
    """Raise `InvalidFieldsError` if the values, `size` bytes of JSON together, are too large."""
    if size > MAX_VALUES_BYTES:
        message = f"must have at most {MAX_VALUES_BYTES} bytes together, as JSON; these have {size}"
        raise InvalidFieldsError.of_one("values", message)


def require_few_lines(secrets: Iterable[str]) -> None:
    """Raise `InvalidFieldsError` if the secret values of one run have too many lines."""
    lines = sum(len(secret.splitlines()) for secret in secrets)
    if lines > MAX_SECRET_LINES:
        message = f"must have at most {MAX_SECRET_LINES} lines in all secrets together; these have {lines}"
        raise InvalidFieldsError.of_one("values", message)


def secret_fault(value: str) -> str | None:
    """Why `value` cannot be a secret, as the end of a sentence that never contains it."""
    if len(value) > MAX_VALUE_LENGTH:
        return f"must have at most {MAX_VALUE_LENGTH} characters"
    if "\0" in value:
        return "must not contain a NUL character"
    if len(value.strip()) < LEAST_SECRET_LENGTH:
        least = LEAST_SECRET_LENGTH
        return f"must have at least {least} characters, or it could not be masked in the output"
    return None


def check_values(parameters: Iterable[Parameter], given: Mapping[str, Any]) -> RunValues:
    """Validate the values of a run; ``None`` stands for a missing value, which gets the default.

    Raises `InvalidFieldsError` with ``values.<name>`` for each fault; its messages never contain a value.
    """
    known = {parameter.name: parameter for parameter in parameters}
    faults = [
        field_error(f"values.{name[:64]}", "is not a parameter of this template")
        for name in given
        if name not in known
    ]
    values = RunValues({}, {})
    for name, parameter in known.items():
        value = given.get(name)
        if value is None:
            value = parameter.default
            fault = "is required" if value is None and parameter.required else None
        else:
            fault = parameter.fault(value)
        if fault is not None:
            faults.append(field_error(f"values.{name}", fault))
        elif parameter.type is ParameterType.SECRET and isinstance(value, str):
            values.secret[name] = value
        else:
            values.plain[name] = value
    if faults:
        raise InvalidFieldsError.of(faults)
    return values

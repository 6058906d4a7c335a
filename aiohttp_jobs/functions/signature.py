"""Turns a Python signature into form fields, a JSON schema and validation, with pydantic.

Rights and modes are elsewhere. Does no I/O.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, PydanticSerializationError, core_schema

from ..errors import ConfigurationError, InvalidFieldsError, field_error
from ..model.field_faults import what_is_wrong
from ..model.functions import FUNCTION_NAME, Checked, FunctionItem, FunctionParameter, FunctionParameterType
from ..model.parameters import require_few_lines, require_size, secret_fault
from .context import JobContext

MAX_PARAMETERS = 50
_CONTEXT = "job"
_MOST_DEEP = 32
_LARGEST = 2**63 - 1
_DECIMAL = "decimal"
_NOT_NAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}|\d{2}:\d{2}")
_FORMATS = {
    "date": FunctionParameterType.DATE,
    "date-time": FunctionParameterType.DATETIME,
    "time": FunctionParameterType.TIME,
    "uuid": FunctionParameterType.UUID,
    "password": FunctionParameterType.SECRET,
}
_TYPES = {
    "string": FunctionParameterType.STRING,
    "integer": FunctionParameterType.INT,
    "number": FunctionParameterType.NUMBER,
    "boolean": FunctionParameterType.BOOL,
    "array": FunctionParameterType.LIST,
    "object": FunctionParameterType.OBJECT,
}
_LIMITS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
}
_MOMENTS = (FunctionParameterType.DATE, FunctionParameterType.DATETIME, FunctionParameterType.TIME)


class _UnsupportedError(Exception):
    """The message ends a sentence about a parameter that no form can take."""


class _Schemas(GenerateJsonSchema):
    """As pydantic has them, but that a decimal number is told from a number or a text."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        either = super().decimal_schema(schema)
        number: JsonSchemaValue = next(
            (each for each in either.get("anyOf", ()) if each.get("type") == "number"), {}
        )
        return {**number, "type": "number", "format": _DECIMAL}


class Signature:
    """The parameters of `function`, without the `JobContext` that may come first.

    Everything but `takes_context` raises `ConfigurationError` for a parameter of an unsupported type.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def takes_context(self) -> bool:
        """Whether the first parameter is the job's context: annotated as `JobContext`, or named ``job``."""
        first = next(iter(self._declared.values()), None)
        if first is None or first.kind in {*_NOT_NAMED, inspect.Parameter.KEYWORD_ONLY}:
            return False
        annotation = first.annotation
        if isinstance(annotation, str):
            annotation = annotation.rpartition(".")[2].strip("'\" ")
        if annotation is inspect.Parameter.empty:
            return first.name == _CONTEXT
        return annotation in {JobContext, JobContext.__name__}

    @cached_property
    def parameters(self) -> tuple[FunctionParameter, ...]:
        """The parameters as form fields, in order."""
        schema = self._model.model_json_schema(schema_generator=_Schemas)
        described, definitions = schema["properties"], schema.get("$defs", {})
        parameters = []
        for parameter in self._taken:
            try:
                parameters.append(self._described(parameter, described[parameter.name], definitions))
            except _UnsupportedError as error:
                raise self._fault(parameter.name, str(error)) from None
        return tuple(parameters)

    @cached_property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that change with the parameters, but not with defaults, titles or
        descriptions.
        """
        taken = [each.model_copy(update={"description": "", "default": None}) for each in self.parameters]
        text = json.dumps([each.to_json() for each in taken], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """The JSON schema (2020-12) of the object of all values."""
        schema = self._model.model_json_schema()
        for parameter in self.parameters:
            if not parameter.required:
                schema["properties"][parameter.name]["default"] = parameter.default
        return schema

    def validate(self, values: Mapping[str, Any]) -> Checked:
        """Validate the JSON `values` of one run, and return them unchanged.

        Raises `InvalidFieldsError` with ``values.<name>`` for each fault; its messages never contain a
        secret.
        """
        if not values and not self._names[0]:
            return Checked({}, {})
        kinds = self._kinds
        given = {name: _whole(kinds.get(name), value) for name, value in values.items()}
        faulty = {name: _content_fault(kinds.get(name), value) for name, value in given.items()}
        faults = [field_error(f"values.{_shown(name)}", fault) for name, fault in faulty.items() if fault]
        sound = {name: value for name, value in given.items() if faulty[name] is None}
        data = json.dumps(sound, ensure_ascii=False).encode()
        require_size(len(data))
        _, others = self._loaded(data)
        faults += [
            fault for fault in others if not faulty.get(fault["field"].partition(".")[2].partition(".")[0])
        ]
        if faults:
            raise InvalidFieldsError.of(faults)
        secret = {name for name in given if kinds[name] is FunctionParameterType.SECRET}
        checked = Checked(
            {name: value for name, value in given.items() if name not in secret or value is None},
            {name: given[name] for name in given if name in secret and given[name] is not None},
        )
        if checked.secret:
            require_few_lines(checked.secret.values())
        return checked

    def call_arguments(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The Python arguments to call the function with, after its context, converted from JSON `values`.

        Raises `InvalidFieldsError` for invalid values.
        """
        if not values and not self._names[0]:
            return [], {}
        loaded, faults = self._loaded(json.dumps(values).encode())
        if faults:
            raise InvalidFieldsError.of(faults)
        arguments, keywords = [], {}
        is_gap = False
        for index, parameter in enumerate(self._taken):
            if parameter.name not in values:
                is_gap = True
                continue
            value = getattr(loaded, _field(index))
            by_position = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
            if by_position and is_gap:
                raise InvalidFieldsError.of_one(
                    f"values.{parameter.name}", "can be given only with all parameters before it"
                )
            if by_position:
                arguments.append(value)
            else:
                keywords[parameter.name] = value
        return arguments, keywords

    def to_json(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a call with Python objects, as JSON by name.

        Raises ``TypeError`` as the call would, and `InvalidFieldsError` for an object that has no JSON form.
        """
        faults, values = [], {}
        for name, value in self._bound(args, kwargs).items():
            try:
                values[name] = _plain(self._adapters[name], value)
            except (PydanticSerializationError, ValueError, TypeError):
                faults.append(field_error(f"values.{name}", f"takes no {type(value).__name__}"))
        if faults:
            raise InvalidFieldsError.of(faults)
        return values

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments by name, in the order of the function's. Raises ``TypeError`` as the call would."""
        needed, known = self._names
        if not args and needed <= kwargs.keys() <= known:  # what most calls are, and told far sooner
            return {each.name: kwargs[each.name] for each in self._taken if each.name in kwargs}
        return self._without_context.bind(*args, **kwargs).arguments

    # --- how the signature is read

    @cached_property
    def _kinds(self) -> dict[str, FunctionParameterType]:
        """The types of the parameters, by name."""
        return {parameter.name: parameter.type for parameter in self.parameters}

    @cached_property
    def _names(self) -> tuple[frozenset[str], frozenset[str]]:
        """Of the parameters those that have no default, and those that can be given by name."""
        named = [each for each in self._taken if each.kind not in _NOT_NAMED]
        needed = frozenset(each.name for each in named if each.default is each.empty)
        by_name = (each.name for each in named if each.kind is not inspect.Parameter.POSITIONAL_ONLY)
        return needed, frozenset(by_name)

    @cached_property
    def _python(self) -> inspect.Signature:
        try:
            return inspect.signature(self._function)
        except (TypeError, ValueError, NameError) as error:
            raise ConfigurationError(f"The signature of {self._name} cannot be read: {error}.") from None

    @cached_property
    def _without_context(self) -> inspect.Signature:
        return self._python.replace(parameters=self._taken)

    @property
    def _declared(self) -> Mapping[str, inspect.Parameter]:
        return self._python.parameters

    @cached_property
    def _taken(self) -> list[inspect.Parameter]:
        """The parameters that values are given for."""
        return list(self._declared.values())[1 if self.takes_context else 0 :]

    @property
    def _name(self) -> str:
        return f"the function {self._function.__qualname__}"

    @cached_property
    def _annotations(self) -> dict[str, Any]:
        """By parameter, with what is written as text resolved."""
        found = {}
        for parameter in self._taken:
            written = SimpleNamespace(__annotations__={"it": parameter.annotation})
            try:
                found[parameter.name] = get_type_hints(
                    written, getattr(inspect.unwrap(self._function), "__globals__", {}), include_extras=True
                )["it"]
            except Exception as error:
                raise self._fault(parameter.name, f"has an annotation that cannot be read: {error}") from None
        return found

    @cached_property
    def _model(self) -> type[BaseModel]:
        if len(self._taken) > MAX_PARAMETERS:
            raise ConfigurationError(
                f"{self._name} has {len(self._taken)} parameters; at most {MAX_PARAMETERS} can be in a form."
            )
        fields: dict[str, Any] = {}
        for index, parameter in enumerate(self._taken):
            if (fault := _declaration_fault(parameter)) is not None:
                raise self._fault(parameter.name, fault)
            name, annotation = parameter.name, self._annotations[parameter.name]
            # What is not given is not passed on, so that Python's own default applies; it is not kept here.
            default = ... if parameter.default is parameter.empty else None
            fields[_field(index)] = (annotation, Field(default, alias=name, title=_title(name)))
            self._require_schema(parameter.name, annotation)
        return create_model(
            self._function.__name__,
            __config__=ConfigDict(extra="forbid", protected_namespaces=(), arbitrary_types_allowed=False),
            **fields,
        )

    def _require_schema(self, name: str, annotation: Any) -> None:
        """Raise `ConfigurationError` for an annotation that pydantic has no JSON schema of."""
        try:
            TypeAdapter(annotation).json_schema()
        except (PydanticUserError, TypeError, ValueError, NameError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise self._fault(name, f"has a type that JSON cannot be read as: {reason}") from None

    @cached_property
    def _adapters(self) -> dict[str, TypeAdapter[Any]]:
        return {name: TypeAdapter(annotation) for name, annotation in self._annotations.items()}

    def _fault(self, parameter: str, what: str) -> ConfigurationError:
        return ConfigurationError(f"The parameter {parameter} of {self._name} {what}.")

    def _described(
        self, parameter: inspect.Parameter, schema: dict[str, Any], definitions: Mapping[str, Any]
    ) -> FunctionParameter:
        variants, nullable = _without_null(_resolved(schema, definitions), definitions)
        item = _item(variants, definitions)
        is_secret = item.type is FunctionParameterType.SECRET
        is_optional = parameter.default is not parameter.empty
        if is_secret and is_optional and parameter.default is not None:
            raise _UnsupportedError("is a secret with a default, which could not be masked; use None for it")
        return FunctionParameter(
            **dict(item),
            name=parameter.name,
            description=schema.get("description", variants.get("description", "")),
            required=not is_optional,
            nullable=nullable,
            default=self._default(parameter) if is_optional else None,
        )

    def _default(self, parameter: inspect.Parameter) -> Any:
        try:
            return _plain(self._adapters[parameter.name], parameter.default)
        except (PydanticSerializationError, ValueError, TypeError):
            raise _UnsupportedError("has a default that JSON cannot say") from None

    # --- values

    def _loaded(self, values: bytes) -> tuple[BaseModel | None, list[dict[str, Any]]]:
        """The values, in JSON, as Python objects, or what is wrong with which."""
        secrets = {name for name, kind in self._kinds.items() if kind is FunctionParameterType.SECRET}
        try:
            return self._model.model_validate_json(values, strict=True), []
        except ValidationError as error:
            return None, [
                field_error(_place(fault), _what_is_wrong(fault, secrets))
                for fault in error.errors(include_url=False)
            ]
        except Exception as error:
            # The host's own types may have checks of their own, which fail in ways of their own.
            return None, [field_error("values", f"cannot be checked: {type(error).__name__}")]


def _field(index: int) -> str:
    """The name in the model: one of the function's own could be one that pydantic's models have."""
    return f"parameter_{index}"


def _title(name: str) -> str:
    return name.replace("_", " ").strip().capitalize()


def _shown(name: str) -> str:
    """The name of a value, which anybody may have made up, in an error."""
    return name[:64].encode("utf-8", "replace").decode()


def _declaration_fault(parameter: inspect.Parameter) -> str | None:
    if parameter.kind in _NOT_NAMED:
        return "takes any number of values, which no form can; name each"
    if not re.fullmatch(FUNCTION_NAME, parameter.name):
        return "must have a name of at most 64 ASCII letters, digits and underscores"
    if parameter.annotation is parameter.empty:
        return "needs an annotation, which says what it takes"
    if isinstance(parameter.default, FieldInfo):
        return "has Field(...) as its default; put that into the annotation: Annotated[int, Field(ge=1)] = 5"
    return None


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with what it refers to in its place."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    rest = {key: value for key, value in schema.items() if key != "$ref"}
    return {**_resolved(definitions[name], definitions), **rest} if name else rest


def _without_null(schema: dict[str, Any], definitions: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """What is taken beside null, and whether null is. Raises `_UnsupportedError`."""
    variants = schema.get("anyOf") or schema.get("oneOf")
    if variants is None:
        return schema, False
    others = [each for each in variants if each.get("type") != "null"]
    if len(others) != 1:
        raise _UnsupportedError("may be of several types, and no form can ask for one of them")
    return _resolved(others[0], definitions), len(others) < len(variants)


def _item(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> FunctionItem:
    """Raises `_UnsupportedError`."""
    kind = _kind(schema)
    if kind is FunctionParameterType.OBJECT:
        if _has_secret(schema, definitions):
            raise _UnsupportedError(
                "has a secret inside, which would not be sealed; make it a parameter of its own"
            )
        used = {name: definitions[name] for name in sorted(_references(schema, definitions))}
        own = {key: value for key, value in schema.items() if key != "default"}
        return FunctionItem(type=kind, json_schema={**own, **({"$defs": used} if used else {})})
    if kind is FunctionParameterType.CHOICE:
        return FunctionItem(type=kind, choices=tuple(schema.get("enum") or [schema["const"]]))
    limits = {field: schema[keyword] for field, keyword in _LIMITS.items() if keyword in schema}
    if kind is FunctionParameterType.LIST:
        inner = _item(_resolved(schema.get("items", {}), definitions), definitions)
        if inner.type is FunctionParameterType.SECRET:
            raise _UnsupportedError("is a list of secrets, which would not be sealed; take each by itself")
        return FunctionItem(type=kind, items=inner, **limits)
    return FunctionItem(type=kind, **limits)


def _kind(schema: Mapping[str, Any]) -> FunctionParameterType:
    if schema.get("enum") or "const" in schema:
        if not all(isinstance(each, str | int | float) for each in schema.get("enum", ())):
            raise _UnsupportedError("must have only texts and numbers to choose from")
        return FunctionParameterType.CHOICE
    form = schema.get("format")
    if form == _DECIMAL:
        return FunctionParameterType.DECIMAL
    kind = _FORMATS.get(str(form)) or _TYPES.get(str(schema.get("type")))
    if kind is None or form == "binary" or "prefixItems" in schema:
        raise _UnsupportedError("has a type that no form can ask for")
    return kind


def _references(part: Any, definitions: Mapping[str, Any]) -> set[str]:
    """The names of all definitions that `part` of a schema needs."""
    found: set[str] = set()
    waiting = [part]
    while waiting:
        for each in _parts(waiting.pop()):
            name = str(each.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                waiting.append(definitions[name])
    return found


def _has_secret(schema: Any, definitions: Mapping[str, Any]) -> bool:
    everywhere = [schema, *(definitions[name] for name in _references(schema, definitions))]
    return any(each.get("format") == "password" for each in _parts(everywhere))


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """`value`, and all that is in it, as far as they are objects."""
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _parts(each)


def _plain(adapter: TypeAdapter[Any], value: Any) -> Any:
    """A Python object as the JSON that stands for it. Raises what pydantic raises."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    plain = adapter.dump_python(value, mode="json", by_alias=True, warnings="error")
    json.dumps(plain, allow_nan=False)
    return plain


def _whole(kind: FunctionParameterType | None, value: Any) -> Any:
    """JSON does not tell 5 from 5.0, and some programs write the latter."""
    if kind is FunctionParameterType.INT and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _content_fault(kind: FunctionParameterType | None, value: Any) -> str | None:
    if kind is None:
        return "is not a parameter of this function"
    if (fault := _json_fault(value)) is not None:
        return fault
    if kind is FunctionParameterType.SECRET and isinstance(value, str):
        return secret_fault(value)
    # pydantic would also take a number of seconds, in text too.
    if kind in _MOMENTS and isinstance(value, str) and not _ISO.match(value):
        return f"must be a valid {kind} in the format of ISO 8601"
    return None


def _json_fault(value: Any, depth: int = 0) -> str | None:
    """What every reader of JSON would not understand in the same way, or nobody could keep."""
    match value:
        case str():
            return _text_fault(value)
        case bool() | None:
            return None
        case int():
            return None if abs(value) <= _LARGEST else "must have whole numbers of at most 64 bits"
        case float():
            return None if math.isfinite(value) else "must have finite numbers"
        case _ if depth >= _MOST_DEEP:
            return f"must have at most {_MOST_DEEP} levels"
        case dict():
            parts = [*value, *value.values()]
        case _:
            parts = value
    return next((fault for each in parts if (fault := _json_fault(each, depth + 1)) is not None), None)


def _text_fault(text: str) -> str | None:
    if "\0" in text:
        return "must not contain a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "must be valid Unicode text (it has a lone surrogate)"
    return None


def _place(fault: ErrorDetails) -> str:
    return ".".join(["values", *map(str, fault["loc"])])


def _what_is_wrong(fault: ErrorDetails, secrets: set[str]) -> str:
    """As for any field; of a secret nothing that a check of the host's says."""
    kind = fault["type"]
    is_checked = kind not in ("missing", "extra_forbidden") and not kind.startswith("string_")
    if is_checked and secrets.intersection(map(str, fault["loc"][:1])):
        return "is not a value that the function takes"
    return what_is_wrong(fault)

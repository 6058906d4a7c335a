"""The JSON schemas of the document: from the models, with this host's limits, under ``components``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import repeat
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from ...model.schema_extras import HOST_LIMIT, HOST_VARIANTS
from ...system.one_by_one import pausing
from ..bodies import finished

_REFERENCE = "#/components/schemas/{model}"

Key = tuple[type[BaseModel], JsonSchemaMode]


class Schemas:
    """The schemas of some models. `limits` has the value of each setting that a schema shows.

    They are made with pauses, for a thread beside the event loop's.
    """

    def __init__(self, models: Collection[Key], limits: Mapping[str, Any]) -> None:
        for model, _ in pausing(models):
            finished(model)
        found, definitions = models_json_schema(
            sorted(set(models), key=lambda key: (key[0].__name__, key[1])),
            by_alias=True,
            ref_template=_REFERENCE,
            schema_generator=_BriefWithPauses,
        )
        self._references = found
        components = _with_limits(definitions["$defs"], limits)
        self.components = {name: _for_generators(schema) for name, schema in components.items()}

    def reference(self, model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
        """``{"$ref": …}`` to the schema of `model`, for requests (``validation``) or responses."""
        return dict(self._references[model, mode])


def _for_generators(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A component as programs that generate clients take it for what it is.

    Alternatives beside an object's fields are conditions on these, and not other kinds of objects, so they
    are said where only what validates looks for them. A title that two components have would be the name
    of two types.
    """
    if "properties" not in schema:
        return {name: value for name, value in schema.items() if name != "title"}
    conditions = {name: schema[name] for name in ("anyOf", "oneOf") if name in schema}
    rest = {name: value for name, value in schema.items() if name not in {"title", *conditions}}
    return {**rest, "if": True, "then": conditions} if conditions else rest


def schema_of(model: type[BaseModel], mode: JsonSchemaMode, limits: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a single model, with everything it refers to under ``$defs``."""
    schema = model.model_json_schema(by_alias=True, mode=mode, schema_generator=_Brief)
    return dict(_members(schema, limits))


class _Brief(GenerateJsonSchema):
    """A title that repeats a field's name tells nothing, nor does a default of nothing."""

    def default_schema(self, schema: Any) -> dict[str, Any]:
        found = super().default_schema(schema)
        if found.get("default", ...) is None:
            del found["default"]
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _BriefWithPauses(_Brief):
    """Many models at once, in a thread, without holding up the event loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parts = iter(pausing(repeat(None)))

    def generate_inner(self, schema: Any) -> dict[str, Any]:
        next(self._parts)
        return super().generate_inner(schema)


def _with_limits(schema: Any, limits: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_with_limits(each, limits) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if HOST_VARIANTS in schema:
        schema = _with_variants(schema, limits[schema[HOST_VARIANTS]])
    return dict(_members(schema, limits))


def _with_variants(schema: Mapping[str, Any], tags: Collection[str]) -> dict[str, Any]:
    """A discriminated union (OpenAPI 3.1, "Discriminator Object") of those variants only that have `tags`."""
    rest = {name: value for name, value in schema.items() if name != HOST_VARIANTS}
    discriminator = schema["discriminator"]
    kept = {tag: model for tag, model in discriminator["mapping"].items() if tag in tags}
    if not kept:  # a union of nothing cannot be written down; the list around it must say that it is empty
        return rest
    return {
        **rest,
        "discriminator": {**discriminator, "mapping": kept},
        "oneOf": [{"$ref": model} for model in kept.values()],
    }


def _members(schema: Mapping[str, Any], limits: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in schema.items():
        if name == HOST_LIMIT:
            for keyword, setting in value.items():
                yield keyword, limits[setting]
        else:
            yield name, _with_limits(value, limits)

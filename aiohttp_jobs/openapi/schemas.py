"""The JSON schemas of a document: from the models, with this host's limits, under ``components``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from ..models import HOST_LIMIT

_REFERENCE = "#/components/schemas/{model}"

Key = tuple[type[BaseModel], JsonSchemaMode]


class Schemas:
    """The schemas of some models. `limits` has the value of each setting that a model's schema names."""

    def __init__(self, models: Collection[Key], limits: Mapping[str, Any]) -> None:
        found, definitions = models_json_schema(
            sorted(set(models), key=lambda key: (key[0].__name__, key[1])),
            by_alias=True,
            ref_template=_REFERENCE,
            schema_generator=_WithoutFieldTitles,
        )
        self._references = found
        self.components: dict[str, Any] = _with_limits(definitions["$defs"], limits)

    def reference(self, model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
        """``{"$ref": …}`` to the schema of `model`, as it is sent (``validation``) or answered."""
        return dict(self._references[model, mode])


class _WithoutFieldTitles(GenerateJsonSchema):
    """A title that repeats a field's name tells nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _with_limits(schema: Any, limits: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_with_limits(each, limits) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return dict(_members(schema, limits))


def _members(schema: Mapping[str, Any], limits: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in schema.items():
        if name == HOST_LIMIT:
            for keyword, setting in value.items():
                yield keyword, limits[setting]
        else:
            yield name, _with_limits(value, limits)

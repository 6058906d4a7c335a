"""Additional JSON schema keywords for pydantic types. Imports nothing of the package.

``http.openapi`` inserts the host's limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

HOST_LIMIT = "x-host-limit"
"""In the schema of a request: keywords, and the settings they have as values in a host's own document."""
HOST_VARIANTS = "x-host-variants"
"""In the schema of a request's discriminated union: the setting that lists the tags a host takes."""


@dataclass(frozen=True, eq=False)
class SchemaExtras:
    """Keywords for a type's JSON schema that describe what its validators check."""

    keywords: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), **self.keywords}


@dataclass(frozen=True, eq=False)
class HostLimited:
    """Keywords for requests only: stored records may be older than the host's limits."""

    keywords: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), **(self.keywords if handler.mode == "validation" else {})}


def limited(keyword: str, setting: str) -> HostLimited:
    return HostLimited({HOST_LIMIT: {keyword: setting}})

"""The base of stored records: their field names in files, and their JSON."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


def record_name(field: str) -> str:
    """The name of a field in stored records: ``JobID`` for ``job_id``."""
    return "".join("ID" if word == "id" else word.capitalize() for word in field.split("_"))


class KeptRecord(BaseModel):
    """A record that only this package writes. Unknown fields are dropped."""

    model_config = ConfigDict(alias_generator=record_name, extra="ignore", frozen=True, populate_by_name=True)

    def to_record(self) -> dict[str, Any]:
        """The JSON object as it is stored."""
        return self.model_dump(mode="json", by_alias=True)

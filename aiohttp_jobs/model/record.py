"""What all stored records have in common: their fields' names in files, and how one becomes JSON."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


def record_name(field: str) -> str:
    """The name that a field has in stored records: ``JobID`` for ``job_id``."""
    return "".join("ID" if word == "id" else word.capitalize() for word in field.split("_"))


class KeptRecord(BaseModel):
    """A record that only this package writes. What it does not know of it does not keep."""

    model_config = ConfigDict(alias_generator=record_name, extra="ignore", frozen=True, populate_by_name=True)

    def to_record(self) -> dict[str, Any]:
        """The JSON object as it is stored."""
        return self.model_dump(mode="json", by_alias=True)

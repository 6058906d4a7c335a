"""Templates as files, ``Templates/<TemplateID>.json``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..errors import ConflictError
from ..store.records import SignedRecords
from .models import Template


class TemplateStore(SignedRecords[Template]):
    """The templates below the data folder `base`. All calls block."""

    FOLDER = "Templates"
    KEY = "template.key"
    NOUN = "template"

    def __init__(self, base: Path) -> None:
        super().__init__(base, Template.model_validate)

    def add(self, template: Template, most: int) -> None:
        """Keep a new template durably. Raises `ConflictError` when there are `most` already."""

        def require_room(every: Collection[Template]) -> None:
            if len(every) >= most:
                raise ConflictError(
                    f"There are {len(every)} templates, and no more than {most} are allowed. "
                    "Delete one first."
                )

        self.insert(template, require_room)

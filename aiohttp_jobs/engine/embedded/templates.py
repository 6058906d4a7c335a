"""Templates as files, ``Templates/<TemplateID>.json``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ...errors import TooManyKeptError
from ...model.template import Template
from .records import SignedRecords


class TemplateStore(SignedRecords[Template]):
    """The templates below the data folder `base`. All calls block."""

    FOLDER = "Templates"
    KEY = "template.key"
    NOUN = "template"

    def __init__(self, base: Path) -> None:
        super().__init__(base, Template.model_validate)

    def add(self, template: Template, most: int, most_per_user: int | None = None) -> None:
        """Keep a new template durably.

        Raises `TooManyKeptError` when there are `most` already, or its owner has `most_per_user`.
        """

        def require_room(every: Collection[Template]) -> None:
            mine = sum(each.user_id == template.user_id for each in every)
            if most_per_user is not None and mine >= most_per_user:
                raise _too_many("max_templates_per_user", most_per_user, mine)
            if len(every) >= most:
                raise _too_many("max_templates", most, len(every), of_all=True)

        self.insert(template, require_room)


def _too_many(setting: str, most: int, used: int, *, of_all: bool = False) -> TooManyKeptError:
    return TooManyKeptError(
        setting, most=most, used=used, what="templates", advice="Delete one first.", of_all=of_all
    )

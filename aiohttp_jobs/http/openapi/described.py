"""The base of what is described only. What shapes there are is left to ``answers`` and ``records``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Described(BaseModel):
    """A shape in the API's description, with which nothing is validated.

    A validator would be memory for nothing (3 MB for all of them): none is made before one is asked for its
    schema.
    """

    model_config = ConfigDict(defer_build=True)

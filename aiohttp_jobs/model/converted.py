"""Types of settings that accept one type and store another, such as a path given as text.

pydantic converts them. Type checkers without its plugin would otherwise reject what it accepts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import Field

Kept_co = TypeVar("Kept_co", covariant=True)
Given_contra = TypeVar("Given_contra", contravariant=True)

if TYPE_CHECKING:

    class Converted(Generic[Kept_co, Given_contra]):
        """``Converted[Kept, Given]``: a field that is read as `Kept`, and may be given as `Given`."""

        def __get__(self, instance: object, owner: type | None = None) -> Kept_co: ...

        def __set__(self, instance: object, value: Given_contra) -> None: ...

else:

    class Converted:
        """At run time ``Converted[Kept, Given]`` is `Kept` itself."""

        def __class_getitem__(cls, types: tuple[Any, Any]) -> Any:
            return types[0]


def by_default(value: object) -> Any:
    """The default of a `Converted` field, typed so that type checkers accept it."""
    return Field(default_factory=lambda: value)

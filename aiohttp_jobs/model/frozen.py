"""`frozen`: frozen dataclasses with slots that share their methods.

``dataclass(frozen=True, slots=True)`` compiles seven methods for each class, which differ in nothing but the
names of the fields: with a hundred classes they are half a megabyte of each host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields
from functools import partial
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def frozen(cls: type[T], /) -> type[T]: ...


@overload
def frozen(*, kw_only: bool) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T] | None = None, /, *, kw_only: bool = False) -> Any:
    """The class that ``dataclass(frozen=True, slots=True)`` makes of `cls`, with only ``__init__`` compiled.

    Methods that `cls` has itself are kept; as there, ``super()`` does not work in them. Unlike there, no
    subclass can set attributes of its own.
    """
    return partial(_frozen, kw_only=kw_only) if cls is None else _frozen(cls, kw_only=kw_only)


def _frozen(cls: type[T], *, kw_only: bool) -> type[T]:
    for name, method in (("__eq__", _equal), ("__hash__", _hash), ("__repr__", _repr)):
        if name not in cls.__dict__:
            setattr(cls, name, method)
    make = dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=kw_only)
    made: Any = make(cls)
    made.__setattr__, made.__delattr__ = _refuse_to_set, _refuse_to_delete
    made._compared = attrgetter(*(each.name for each in fields(made) if each.compare))
    return made  # type: ignore[no-any-return]


def _equal(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self._compared(self) == self._compared(other)


def _hash(self: Any) -> int:
    return hash(self._compared(self))


def _repr(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _refuse_to_set(self: object, name: str, value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")

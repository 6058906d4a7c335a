"""Classes of `frozen` do what ``dataclass(frozen=True, slots=True)`` would have them do."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import Any

import pytest

from aiohttp_jobs.model.frozen import frozen


@frozen
class Shared:
    number: int
    text: str = "a"
    hidden: str = field(default="secret", repr=False)
    noted: list[int] = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class Compiled:
    number: int
    text: str = "a"
    hidden: str = field(default="secret", repr=False)
    noted: list[int] = field(default_factory=list, compare=False)


@frozen(kw_only=True)
class Other:
    number: int
    of: Shared = Shared(0)

    def __repr__(self) -> str:
        return "other"


@pytest.mark.parametrize(
    ("first", "second"),
    [((1,), (1,)), ((1,), (2,)), ((1, "b"), (1,)), ((1, "b", "c", [1]), (1, "b", "c", []))],
)
def test_it_compares_and_hashes_as_dataclasses_do(first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    assert (Shared(*first) == Shared(*second)) is (Compiled(*first) == Compiled(*second))
    assert hash(Shared(*first)) == hash(Compiled(*first))
    assert len({Shared(*first), Shared(*second)}) == len({Compiled(*first), Compiled(*second)})


def test_it_is_no_other_class_with_the_same_values() -> None:
    assert Shared(1) != Compiled(1)
    assert Shared(1) != (1, "a", "secret")


def test_it_shows_its_fields_but_for_the_hidden() -> None:
    assert repr(Shared(1)) == repr(Compiled(1)).replace("Compiled", "Shared")
    assert "secret" not in repr(Shared(1))


def test_nothing_of_it_can_be_changed() -> None:
    shared = Shared(1)
    for name in ("number", "new"):
        with pytest.raises(FrozenInstanceError, match=name):
            setattr(shared, name, 2)
        with pytest.raises(FrozenInstanceError, match=name):
            delattr(shared, name)
    assert shared == Shared(1)
    assert not hasattr(shared, "__dict__")


def test_it_can_be_copied_pickled_and_replaced() -> None:
    shared = Shared(1, noted=[1])
    for same in (copy.copy(shared), copy.deepcopy(shared), pickle.loads(pickle.dumps(shared))):
        assert (same, same.noted) == (shared, [1])
    assert replace(shared, number=2) == Shared(2)


def test_its_own_methods_are_kept_and_fields_may_be_named() -> None:
    assert repr(Other(number=1)) == "other"
    assert Other(number=1) == Other(number=1, of=Shared(0))
    with pytest.raises(TypeError):
        Other(1)  # type: ignore[misc]

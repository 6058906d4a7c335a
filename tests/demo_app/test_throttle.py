"""How repeated attempts to sign in are slowed down."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from demo_app.throttle import Throttle


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(limit=3, pause=10, clock=clock)


def attempts(throttle: Throttle, name: str, count: int) -> list[float]:
    return [throttle.admit(name) for _ in range(count)]


def test_attempts_past_the_limit_have_to_wait(throttle: Throttle, clock: Clock) -> None:
    assert attempts(throttle, "a", 3) == [0, 0, 0]
    clock.now += 4
    assert throttle.admit("a") == 6


def test_being_refused_does_not_make_the_wait_longer(throttle: Throttle, clock: Clock) -> None:
    attempts(throttle, "a", 3)
    clock.now += 9
    assert throttle.admit("a") == 1
    clock.now += 1
    assert attempts(throttle, "a", 4) == [0, 0, 0, 10]


def test_each_name_is_counted_by_itself(throttle: Throttle) -> None:
    attempts(throttle, "a", 3)
    assert throttle.admit("b") == 0


def test_a_good_attempt_starts_afresh(throttle: Throttle) -> None:
    attempts(throttle, "a", 3)
    throttle.succeeded("a")
    assert attempts(throttle, "a", 3) == [0, 0, 0]


def test_it_remembers_a_bounded_number_of_names_the_latest_ones(throttle: Throttle) -> None:
    attempts(throttle, "early", 3)
    attempts(throttle, "late", 3)
    for number in range(999):
        throttle.admit(f"name {number}")
    assert throttle.admit("late") > 0
    assert throttle.admit("early") == 0

"""What processes count together, on each engine: added up, each turn once, and kept when one of them dies."""

from __future__ import annotations

from aiohttp_jobs.engine.base import Engine

from .conftest import StartEngine


def both(first: Engine, second: Engine) -> None:
    first.numbers.exchange(1, {"ended": 2.0, "run": 0.5}, {"streams": 1.0})
    second.numbers.exchange(1, {"ended": 3.0}, {"streams": 4.0})


async def test_whichever_is_asked_knows_of_all(start_engine: StartEngine) -> None:
    first, second = await start_engine(), await start_engine()
    both(first, second)
    for turn, engine in ((2, first), (2, second)):
        found = engine.numbers.exchange(turn, {}, {"streams": 7.0})
        assert found.counted == {"ended": 5.0, "run": 0.5}
        assert len(found.present) == 2
        assert {"streams": 7.0} in found.present


async def test_what_is_told_twice_counts_once(start_engine: StartEngine) -> None:
    engine = await start_engine()
    for _ in range(3):
        assert engine.numbers.exchange(1, {"ended": 2.0}, {}).counted == {"ended": 2.0}
    assert engine.numbers.exchange(2, {"ended": 2.0}, {}).counted == {"ended": 4.0}

"""Turns that users take in rotation, with their limits, also when those who wait go away."""

from __future__ import annotations

import asyncio

import pytest

from aiohttp_jobs.access.fair_turns import FairTurns
from aiohttp_jobs.errors import LimitReachedError


class Desk:
    """Takes turns for users, each until it is let go, and notes who had one in which order."""

    def __init__(self, at_once: int, per_user: int, most_waiting: int = 100) -> None:
        self.turns = FairTurns(
            at_once, per_user, most_waiting, setting="max_searches_per_user", what="searches"
        )
        self.served: list[str] = []
        self.open = asyncio.Event()

    async def visit(self, user_id: str) -> None:
        async with self.turns.turn(user_id):
            self.served.append(user_id)
            await self.open.wait()

    def come(self, *users: str) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.visit(user)) for user in users]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_user_takes_all_the_turns_and_each_who_waits_is_served_in_rotation() -> None:
    desk = Desk(at_once=3, per_user=2)
    tasks = desk.come(*["mallory"] * 5, "alice", "bob")
    await settle()
    assert desk.served == ["mallory", "mallory", "alice"]
    desk.open.set()
    await asyncio.gather(*tasks)
    assert desk.served[3:5] in (["bob", "mallory"], ["mallory", "bob"])
    assert len(desk.served) == 7


async def test_too_many_who_wait_are_refused_and_nobody_else() -> None:
    desk = Desk(at_once=1, per_user=1, most_waiting=2)
    tasks = desk.come(*["mallory"] * 3)
    await settle()
    with pytest.raises(LimitReachedError, match="You have 2 searches") as caught:
        await desk.visit("mallory")
    assert caught.value.limit is not None
    assert caught.value.limit.name == "maxSearchesPerUser"
    tasks += desk.come("alice")
    desk.open.set()
    await asyncio.gather(*tasks)
    assert sorted(desk.served) == ["alice", *["mallory"] * 3]


async def test_who_goes_away_before_or_during_their_turn_keeps_nobody_waiting() -> None:
    desk = Desk(at_once=1, per_user=1)
    first, waiting, other = desk.come("mallory", "mallory", "alice")
    await settle()
    waiting.cancel()
    first.cancel()
    await settle()
    assert desk.served == ["mallory", "alice"]
    (last,) = desk.come("bob")
    await settle()
    # It is told that its turn has come, and cancelled before it hears of it.
    desk.open.set()
    while not other.done():
        await asyncio.sleep(0)
    last.cancel()
    await asyncio.gather(*desk.come("carol"))
    assert desk.served[-1] == "carol"

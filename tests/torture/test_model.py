"""A few lives of a host, as hypothesis thinks of them; `make torture` has many more."""

from __future__ import annotations

import asyncio

import pytest

from .model import check_model


@pytest.mark.timeout(300)
async def test_whatever_order_things_happen_in_nothing_is_lost_or_run_twice() -> None:
    await asyncio.to_thread(check_model, 1, examples=2, steps=8)

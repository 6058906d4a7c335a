"""Builds WorkerStates of this process's warm workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psutil

from ...worker.base import WarmWorker
from ..base import WorkerState


async def worker_states(workers: Sequence[WarmWorker]) -> list[WorkerState]:
    """The current state of each of `workers`."""
    memory = await asyncio.to_thread(_memory, [worker.process.pid for worker in workers])
    return [
        WorkerState(worker.process.pid, worker.owner, worker.job_id, worker.served, used, worker.started_at)
        for worker, used in zip(workers, memory, strict=True)
    ]


def _memory(pids: list[int]) -> list[int | None]:
    found: list[int | None] = []
    for pid in pids:
        try:
            found.append(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            found.append(None)
    return found

"""The metrics of all processes together, in the formats of Prometheus and OpenMetrics.

Needs prometheus-client, without its global registry: two plugins in one host do not affect each other. No
label contains the name of a job or a user. ``counting`` counts, ``sharing`` adds up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from .._version import __version__
from ..engine.base import Engine, NumbersOfAll, QueueSummary
from ..errors import StorageUnavailableError
from ..model.job import ExecutionMode, JobStatus
from ..model.notice import NoticeState
from .counting import (
    ACCEPTED,
    BUSY,
    ENDED,
    IDLE,
    LAG,
    LAG_SECONDS,
    RETRIED,
    RUN,
    RUN_SECONDS,
    STREAMS,
    SUM,
    WAIT,
    WAIT_SECONDS,
    key,
)
from .disk import Disk, Room
from .sharing import Sharing

_PATIENCE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that is shown, as it was at one moment."""

    numbers: NumbersOfAll
    queue: QueueSummary
    room: Room
    notices: Mapping[NoticeState, int]
    results: int

    def present(self, name: str) -> float:
        return sum(each.get(name, 0.0) for each in self.numbers.present)

    def counted(self, *name: object) -> float:
        return self.numbers.counted.get(key(*name), 0.0)


class Metrics:
    """The metrics of all processes that share the storage of `engine`; see the reference on metrics."""

    def __init__(self, engine: Engine, sharing: Sharing, disk: Disk, min_free: int, name: str) -> None:
        """`min_free` is in bytes; `name` is the engine's name in the configuration."""
        self._engine = engine
        self._sharing = sharing
        self._disk = disk
        self._min_free = min_free
        self._name = name
        self._one_at_a_time = asyncio.Lock()

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """The current metrics in the format that an Accept header asks for, and their content type.

        Raises `StorageUnavailableError` when they cannot be read within some seconds.
        """
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), self._one_at_a_time:
                seen = await self._look()
        except TimeoutError:
            raise StorageUnavailableError from None
        registry = CollectorRegistry()
        registry.register(cast("Any", _Families(list(self._families(seen)))))
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    async def _look(self) -> _Seen:
        numbers, queue, room, notices, results = await asyncio.gather(
            self._sharing.of_all(),
            self._engine.queue.summary(),
            self._disk.room(),
            self._disk.in_thread(self._count_notices),
            self._engine.results.count(),
        )
        return _Seen(numbers, queue, room, notices, results)

    def _count_notices(self) -> Mapping[NoticeState, int]:
        counts = dict.fromkeys(NoticeState, 0)
        for notice in self._engine.records.notices.all():
            counts[notice.state] += 1
        return counts

    def _families(self, seen: _Seen) -> Iterable[Metric]:
        yield from _jobs(seen)
        yield from _queue(seen.queue)
        yield _gauge("workers", "Warm workers, by whether they run a job.", "state", {
            "busy": seen.present(BUSY), "idle": seen.present(IDLE),
        })  # fmt: skip
        yield _gauge(
            "streams", "Event streams, downloads and waiting requests that are open.", seen.present(STREAMS)
        )
        yield _gauge("processes", "Processes that serve the same jobs.", len(seen.numbers.present))
        yield _histogram(seen, "event_loop_lag", "How late the event loops came round.", LAG, LAG_SECONDS)
        yield _gauge("disk_free_bytes", "Room on the data folder's disk.", seen.room.free)
        yield _gauge("disk_bytes", "Size of the data folder's disk.", seen.room.total)
        yield _gauge("disk_required_bytes", "Room that new jobs need (min_free_bytes).", self._min_free)
        yield _gauge("notices", "Notices that wait to be sent, and that failed.", "state", {
            "waiting": seen.notices[NoticeState.PENDING], "failed": seen.notices[NoticeState.FAILED],
        })  # fmt: skip
        yield _gauge("results", "Results that are kept.", seen.results)
        info = GaugeMetricFamily(
            "aiohttp_jobs_info", "Which release runs, on which engine.", labels=["version", "engine"]
        )
        info.add_metric([__version__, self._name], 1)
        yield info


class _Families:
    """A collector: what a registry asks when it is shown."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _jobs(seen: _Seen) -> Iterable[Metric]:
    accepted = CounterMetricFamily("aiohttp_jobs_accepted", "Jobs that were accepted.", labels=["mode"])
    retried = CounterMetricFamily("aiohttp_jobs_retried", "Attempts that others followed.", labels=["mode"])
    ended = CounterMetricFamily(
        "aiohttp_jobs_ended", "Jobs that have ended, by how.", labels=["mode", "outcome"]
    )
    for mode in ExecutionMode:
        accepted.add_metric([mode], seen.counted(ACCEPTED, mode))
        retried.add_metric([mode], seen.counted(RETRIED, mode))
        for status in JobStatus:
            ended.add_metric([mode, status], seen.counted(ENDED, status, mode))
    yield from (accepted, ended, retried)
    yield _histogram(seen, "wait", "From accepted, or due, to started.", WAIT, WAIT_SECONDS, ExecutionMode)
    yield _histogram(seen, "run", "From started to ended.", RUN, RUN_SECONDS, ExecutionMode)


def _queue(queue: QueueSummary) -> Iterable[Metric]:
    yield _gauge("queued", "Jobs that wait for their turn.", queue.queued)
    yield _gauge("pending", "Jobs that are not due yet.", queue.pending)
    yield _gauge("running", "Jobs that run.", queue.running)
    yield _gauge("paused", "Whether the queue is paused.", queue.is_paused)


def _gauge(name: str, text: str, value: float | str, values: Mapping[str, float] | None = None) -> Metric:
    """One number, or one for each value of the label `value`."""
    if values is None:
        return GaugeMetricFamily(f"aiohttp_jobs_{name}", text, value=float(value))
    family = GaugeMetricFamily(f"aiohttp_jobs_{name}", text, labels=[str(value)])
    for label, number in values.items():
        family.add_metric([label], number)
    return family


def _histogram(
    seen: _Seen, name: str, text: str, counted: str, bounds: Sequence[float], modes: Iterable[str] = ()
) -> Metric:
    labels = [[mode] for mode in modes] or [[]]
    family = HistogramMetricFamily(f"aiohttp_jobs_{name}_seconds", text, labels=["mode"] if labels[0] else [])
    for label in labels:
        parts = [seen.counted(counted, *label, index) for index in range(len(bounds) + 1)]
        names = [*map(str, bounds), "+Inf"]
        buckets = list(zip(names, accumulate(parts), strict=True))
        family.add_metric(label, buckets, seen.counted(counted, *label, SUM))
    return family

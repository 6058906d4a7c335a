"""From submitting one job over HTTP until its result is readable, against a bare spawn."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ..bench import Bench
from ..floors import spawn_one_by_one
from ..ours import COMMAND, HostProcess, submit_and_wait, submit_and_watch
from ..peers.process import Peer
from ..tables import Kind, Table, percentile

FLOOR, OURS, EMBEDDED = "bare spawn", "aiohttp-jobs, over HTTP", "aiohttp-jobs, in the host's code"
WATCHED = "aiohttp-jobs, over HTTP, watched"


async def measure(bench: Bench) -> list[Table]:
    count = bench.size(100, 15)
    how = (
        f"Milliseconds, one job at a time, {count} a round. aiohttp-jobs: `POST /jobs/submit?wait=60`, whose "
        "answer has the result; watched, `POST /jobs/submit` and the job's event stream until its end. "
        "Peers: enqueued and waited for from Python, in the fastest way that each documents."
    )
    medians = Table("latency", "Submit to result, one at a time: median", how, "ms", more_is_better=False)
    tails = Table("latency-p99", "Submit to result, one at a time: p99", how, "ms", more_is_better=False)

    def note(name: str, kind: Kind, seconds: Sequence[float]) -> float:
        tails.note(name, kind, percentile(seconds, 0.99) * 1000)
        return statistics.median(seconds) * 1000

    async def peer_round(peer: Peer) -> float:
        return note(peer.name, Kind.PEER, await peer.one_by_one("command", count))

    async with bench.host("latency") as host:
        await _over_http(host, 10)
        for _ in range(bench.rounds):
            medians.note(FLOOR, Kind.FLOOR, note(FLOOR, Kind.FLOOR, await spawn_one_by_one(count)))
            medians.note(OURS, Kind.OURS, note(OURS, Kind.OURS, await _over_http(host, count)))
            medians.note(WATCHED, Kind.OTHER, note(WATCHED, Kind.OTHER, await _watched(host, count)))
            embedded = await host.embedded("one_by_one", job=COMMAND, count=count)
            medians.note(EMBEDDED, Kind.OTHER, note(EMBEDDED, Kind.OTHER, embedded))
            await bench.each_peer(medians, peer_round)
    ran = {row.name for row in medians.contenders}
    tails.contenders = [row for row in tails.contenders if row.name in ran]
    _ask(medians, 3.0)
    medians.ask_ahead_of_peers(OURS)
    _ask(tails, 10.0)
    return [medians, tails]


async def _over_http(host: HostProcess, count: int) -> list[float]:
    (connection,) = await host.connections(1)
    seconds = [await submit_and_wait(connection, COMMAND) for _ in range(count)]
    await connection.close()
    return seconds


async def _watched(host: HostProcess, count: int) -> list[float]:
    submitting, watching = await host.connections(2)
    seconds = [await submit_and_watch(submitting, watching, COMMAND) for _ in range(count)]
    await submitting.close()
    await watching.close()
    return seconds


def _ask(table: Table, most: float) -> None:
    more = table.difference(table.contender(OURS, Kind.OURS)).median
    table.ask(f"at most the bare spawn + {most:g} ms", f"+ {more:.2f} ms", more <= most)

"""Presence: this process's heartbeat, and the tasks that only it may do.

A process without a heartbeat for the stall time, by the database's clock, is dead, whatever it reports later.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..._version import __version__
from ...worker.process.dead_mans_switch import boottime
from .database import Database, DatabaseUnavailableError

STALL_SECONDS = 30.0
_BEATS = 6
_BEATS_TO_FORGET = 720
"""Of some five seconds each: once in an hour those are forgotten that died long ago."""
_TRUSTED = 0.75
_HELD = 0.9
_logger = logging.getLogger(__name__)

_HEARD = """
INSERT INTO aiohttp_jobs.processes (process_id, kind, name, machine, pid, version, labels, offers, places,
    gives_output)
VALUES (%(me)s, %(kind)s, %(name)s, %(machine)s, %(pid)s, %(version)s, %(labels)s, %(offers)s,
    %(places)s::json, %(gives_output)s)
ON CONFLICT (process_id) DO UPDATE SET heard_at = clock_timestamp()
RETURNING is_draining
"""
_FORGET_OLD = """
DELETE FROM aiohttp_jobs.processes
WHERE heard_at < clock_timestamp() - greatest(interval '1 day', %s * interval '2 s')
"""
_LEADER = """
SELECT l.process_id, EXISTS (
    SELECT FROM aiohttp_jobs.processes p
    WHERE p.process_id = l.process_id AND p.heard_at > clock_timestamp() - %s * interval '1 s')
FROM aiohttp_jobs.leases l WHERE l.name = %s
"""
_LEAD = """
INSERT INTO aiohttp_jobs.leases AS l (name, process_id) VALUES (%(name)s, %(me)s)
ON CONFLICT (name) DO UPDATE SET process_id = excluded.process_id
WHERE NOT EXISTS (
    SELECT FROM aiohttp_jobs.processes p
    WHERE p.process_id = l.process_id AND p.heard_at > clock_timestamp() - %(stall)s * interval '1 s')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutProcess:
    """What a process tells the others of itself: `places` are the jobs that it runs at once, by slot.

    `gives_output`: it answers who asks for outputs that it has on its disk.
    """

    kind: Literal["host", "worker"] = "host"
    name: str = ""
    labels: Sequence[str] = ()
    offers: Sequence[str] = ()
    places: Mapping[str, int] = field(default_factory=dict)
    gives_output: bool = False

    def row(self) -> dict[str, Any]:
        """As it is written, with what every process can tell of itself."""
        return {
            "kind": self.kind,
            "name": self.name,
            "machine": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
            "labels": list(self.labels),
            "offers": list(self.offers),
            "places": json.dumps(dict(self.places)),
            "gives_output": self.gives_output,
        }


class Presence:
    """One process among those on `database`. Its thread says that it lives six times in the stall time.

    It says so by `beats`, the same database, which nobody else asks so that it never waits for others.
    `on_drain` is called in that thread, once, when it is found that this process is to take no more jobs.

    May be used in any thread. Everything but the properties blocks.
    """

    def __init__(
        self,
        database: Database,
        beats: Database,
        stall_seconds: float = STALL_SECONDS,
        about: AboutProcess | None = None,
    ) -> None:
        self.process_id = str(uuid.uuid4())
        self.on_drain: Callable[[], None] = lambda: None
        self._about = about or AboutProcess()
        self._is_draining = False
        self.stall_seconds = stall_seconds
        self._database = database
        self._beats = beats
        self._heard = float("-inf")
        self._steady_since = float("inf")
        self.lapses = 0
        """How often this process was not heard of for so long that others could have taken it for dead."""
        self.on_held: Callable[[float], None] = lambda until: None
        """Is told, in this thread, until when by `boottime` its commands may run on, before it counts
        as heard."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="aiohttp-jobs-presence", daemon=True)

    @property
    def is_certain(self) -> bool:
        """Whether no other process can have taken this one for dead yet.

        `_heard` is when it was heard last, or found out last that nobody could be.
        """
        return boottime() < self._heard + _TRUSTED * self.stall_seconds

    @property
    def may_judge(self) -> bool:
        """Whether this process may take others for dead: it was heard of itself for as long as they were not.

        So nobody is taken for dead because the database was away, or is another one now.
        """
        return boottime() > self._steady_since + self.stall_seconds

    def open(self) -> None:
        self._database.change(_FORGET_OLD, (self.stall_seconds,))
        self.be_heard()
        self._thread.start()

    def close(self) -> None:
        """What this process alone could do is for others from now on. Does not fail."""
        self._closing.set()
        self._thread.join()
        self._heard = float("-inf")
        try:
            self._database.change(
                "DELETE FROM aiohttp_jobs.processes WHERE process_id = %s", (self.process_id,)
            )
        except DatabaseUnavailableError:
            _logger.warning(
                "The others find out only in %g s that this process has ended", self.stall_seconds
            )

    def lead(self, name: str) -> bool:
        """Whether this process is the one that does what is called `name`, until it dies or steps down."""
        if not self.is_certain:
            return False
        leader = self._database.row(_LEADER, (self.stall_seconds, name))
        if leader is not None and leader[1]:
            return str(leader[0]) == self.process_id
        values = {"name": name, "me": self.process_id, "stall": self.stall_seconds}
        return self._database.change(_LEAD, values) == 1

    def step_down(self, name: str) -> None:
        """Leave to another process what is called `name`."""
        self._database.change(
            "DELETE FROM aiohttp_jobs.leases WHERE name = %s AND process_id = %s", (name, self.process_id)
        )

    def be_heard(self) -> None:
        """Say that this process lives, and hear whether it is to take no more jobs."""
        # From before it was sent on, as nobody knows when it arrived.
        sent = boottime()
        ((is_draining,),) = self._beats.rows(_HEARD, {"me": self.process_id, **self._about.row()})
        # Before this process is certain again: what it begins then would be ended for what was before.
        self.on_held(sent + _HELD * self.stall_seconds)
        if not self.is_certain:
            self._steady_since = float("inf")
            self.lapses += 1  # before that, too: what it began earlier is not its own
        self._heard = sent
        self._steady_since = min(self._steady_since, sent)
        if is_draining and not self._is_draining:
            self._is_draining = True
            self.on_drain()

    def _go_on(self) -> None:
        beats = 0
        while not self._closing.wait(self.stall_seconds / _BEATS):
            beats += 1
            try:
                self.be_heard()
                if beats % _BEATS_TO_FORGET == 0:
                    self._database.change(_FORGET_OLD, (self.stall_seconds,))
            except DatabaseUnavailableError as error:
                _logger.warning("Cannot tell the others that this process lives: %s", error.__cause__)
                self._hold_while_refused()
            except Exception:
                _logger.exception("Cannot tell the others that this process lives")

    def _hold_while_refused(self) -> None:
        """While no server is there, nobody else is heard either, who could take this process for dead.

        That is known when the server's machine refuses the connection. One that only does not answer may
        answer others.
        """
        asked = boottime()
        if self.is_certain and self._beats.is_refused() and self.is_certain:
            self.on_held(asked + _HELD * self.stall_seconds)
            self._heard = asked
            self._steady_since = float("inf")

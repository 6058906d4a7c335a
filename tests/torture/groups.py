"""What is done to hosts, a function for each group of scenarios; judging is left to the scenario."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from . import damage, power
from .hosts import TorturedHost
from .model import check_model
from .scenario import Scenario
from .strace import FAMILIES, Injection, Step, killing

_LIFE_SECONDS = 5.0
_SHORT = ("rename", "pwrite")
_GOLDEN = 0.6180339887498949

Run = Callable[[Scenario], Awaitable[None]]


@dataclass(frozen=True)
class Group:
    """`count` scenarios of one kind, `short` of them in the short form.

    `needs` is ``strace``, ``disk`` or nothing. `must_die`: if all hosts survive, nothing was tested.
    """

    name: str
    run: Run
    count: int
    short: int
    needs: str = ""
    must_die: bool = True


def evenly(seed: int, steps: Sequence[Step]) -> Step:
    """One of `steps`, such that those of seeds in sequence lie evenly spread."""
    return steps[int((seed * _GOLDEN % 1) * len(steps))]


# --- killed


async def killed(scenario: Scenario) -> None:
    """kill -9 at any moment, three times."""
    load = await scenario.open()
    load.start()
    for _ in range(3):
        host = await scenario.start()
        await scenario.kill_after(host, scenario.chance.uniform(0.05, 1.5))
        scenario.tried += 1
        scenario.died += 1
    await asyncio.sleep(0.2)


async def killed_at(steps: Sequence[Step], calls: Sequence[str], scenario: Scenario) -> None:
    """Killed at a system call: once counted from a host's first step, once from some moment of its life."""
    load = await scenario.open()
    load.start()
    step = evenly(scenario.seed, steps)
    host = await scenario.start(killing((step.call,), step.number))
    await _see(scenario, host)
    host = await scenario.start()
    await asyncio.sleep(scenario.chance.uniform(0, 0.8))
    injection = killing(calls, min(9, 1 + int(scenario.chance.expovariate(0.6))))
    scenario.note(f"host {host.pid}: {injection}")
    await host.trace(injection)
    await _see(scenario, host)


async def _see(scenario: Scenario, host: TorturedHost) -> None:
    """Whether `host` dies of what is done to it; if not, it is killed."""
    scenario.tried += 1
    scenario.died += await host.died_within(_LIFE_SECONDS)
    await scenario.kill_after(host, 0)


async def shut_down(scenario: Scenario) -> None:
    """SIGTERM in the middle of everything; then a kill -9 while another shutdown is under way."""
    load = await scenario.open()
    load.start()
    host = await scenario.start()
    await asyncio.sleep(scenario.chance.uniform(0.2, 1.5))
    scenario.tried += 2
    if (code := await host.stop()) != 0:
        scenario.findings.faults.append(f"a normal shutdown ended with code {code}")
    host = await scenario.start()
    await asyncio.sleep(scenario.chance.uniform(0.2, 1.0))
    host.send(signal.SIGTERM)
    scenario.died += not await host.died_within(scenario.chance.uniform(0, 0.6))
    await scenario.kill_after(host, 0)


# --- sick disks

_DURABLE = ("fsync", "fdatasync", "pwrite", "ftruncate")
_SICK = (
    _DURABLE,
    (*_DURABLE, "rename", "link", "mkdir"),
    (*_DURABLE, "unlink"),  # what takes back what was refused
    ("rename",),
    ("unlink",),
    ("pwrite",),
    ("write",),
)
"""Families of calls that fail together."""


async def sick(effects: Sequence[str], scenario: Scenario) -> None:
    """Calls that change the disk fail for a while, or take long; one host is killed then, one goes on."""
    load = await scenario.open()
    load.start()
    for is_last in (False, True):
        host = await scenario.start()
        await asyncio.sleep(scenario.chance.uniform(0, 0.6))
        first = scenario.chance.randrange(1, 6)
        when = f"{first}..{first + scenario.chance.randrange(0, 12)}"
        calls = [call for family in scenario.chance.choice(_SICK) for call in FAMILIES[family]]
        injection = Injection(tuple(calls), scenario.chance.choice(effects), when)
        scenario.note(f"host {host.pid}: {injection}")
        await host.trace(injection)
        scenario.tried += 1
        died = await host.died_within(scenario.chance.uniform(1.5, 3.0))
        scenario.died += died
        if died or not is_last:
            await scenario.kill_after(host, 0)
        else:
            await host.leave_alone()


# --- several processes


async def together(count: int, scenario: Scenario) -> None:
    """Several hosts on one folder; again and again one is killed, or stopped for a while and let go on."""
    load = await scenario.open(ports=count)
    load.start()
    hosts = [await scenario.start(number=number) for number in range(count)]
    for _ in range(4):
        await asyncio.sleep(scenario.chance.uniform(0.2, 1.0))
        number = scenario.chance.randrange(count)
        scenario.tried += 1
        if scenario.chance.random() < 0.35:
            hosts[number].send(signal.SIGSTOP)
            await asyncio.sleep(scenario.chance.uniform(0.5, 3.0))
            hosts[number].send(signal.SIGCONT)
            continue
        await scenario.kill_after(hosts[number], 0)
        scenario.died += 1
        hosts[number] = await scenario.start(number=number)


# --- what happens to files while nobody is there


async def damaged(harm: damage.Harm, scenario: Scenario) -> None:
    """A host is killed, files of its folder are harmed, and another is started."""
    load = await scenario.open()
    load.start()
    for _ in range(2):
        host = await scenario.start()
        await scenario.kill_after(host, scenario.chance.uniform(0.5, 1.8))
        scenario.tried += 1
        scenario.died += 1
        harm(scenario)


async def modelled(scenario: Scenario) -> None:
    """Whatever hypothesis thinks of."""
    counts = await asyncio.to_thread(check_model, scenario.seed, examples=2, steps=16)
    scenario.tried += counts["tried"]
    scenario.died += counts["died"]
    scenario.accepted_elsewhere = counts["accepted"]


def all_groups(steps: Mapping[str, Sequence[Step]]) -> list[Group]:
    """Every group, in the order of the table. `steps` are those of a life without harm, by family."""
    return [
        Group("killed", killed, 12, 1),
        *(
            Group(
                f"killed-at-{family}",
                partial(killed_at, steps.get(family, ()), calls),
                6,
                family in _SHORT,
                "strace",
            )
            for family, calls in FAMILIES.items()
            if steps.get(family)
        ),
        Group("shut-down", shut_down, 5, 0),
        Group("disk-fails", partial(sick, ("error=EIO",)), 8, 1, "strace", must_die=False),
        Group("disk-is-full", partial(sick, ("error=ENOSPC",)), 8, 0, "strace", must_die=False),
        Group(
            "disk-is-slow",
            partial(sick, ("delay_enter=200000", "delay_exit=50000")),
            4,
            0,
            "strace",
            must_die=False,
        ),
        Group("two-hosts", partial(together, 2), 10, 1),
        Group("four-hosts", partial(together, 4), 6, 0),
        Group("index-damaged", partial(damaged, damage.harm_index), 8, 0),
        Group("files-damaged", partial(damaged, damage.harm_files), 16, 1),
        Group("model", modelled, 6, 0),
        Group("power-cut", power.cut, 10, 1, "disk"),
    ]

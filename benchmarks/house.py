"""``make house``: the shape of the package, counted from its code and from one job's way through it.

Counted are the modules of this checkout; with another folder as its argument, those of that one.
"""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import aiohttp
import grimp
from aiohttp import web

PACKAGE = "aiohttp_jobs"
_JOB_FIELDS = frozenset(
    {
        "job_id",
        "user_id",
        "session_id",
        "job_name",
        "command",
        "description",
        "execution_mode",
        "roles",
        "submitted_at",
    }
)
_ENOUGH_FIELDS = 4
_WAIT_SECONDS = 60
_JOBS = 5


class Call(NamedTuple):
    """Where a call goes; not `is_begun` for a coroutine that goes on after it has waited for something."""

    module: str
    is_begun: bool


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    sys.path.insert(0, str(root))
    for what, count in {**shape(root), **way_of_one_job()}.items():
        print(f"{count:>5}  {what}")


def shape(root: Path) -> dict[str, int]:
    """What the source tells: rooms, floors, arrows, shapes of a job, names with two meanings."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    rooms = _rooms(graph.modules)
    arrows = {
        (rooms[importer], rooms[imported])
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if rooms[importer] != rooms[imported]
    }
    floors, upward = _floors(arrows)
    classes = list(_classes(root / PACKAGE))
    return {
        "rooms (packages and loose modules at the top)": len(set(rooms.values())),
        "floors": floors,
        "arrows that run upward": upward,
        "imports that still cross the walls of pyproject.toml": _still_crossing(root),
        "shapes of one job (classes with four or more of a submission's nine fields)": sum(
            len(_fields(node) & _JOB_FIELDS) >= _ENOUGH_FIELDS for _, node in classes
        ),
        "public type names with more than one meaning": _ambiguous(classes),
    }


def _rooms(modules: set[str]) -> Mapping[str, str]:
    return {module: ".".join(module.split(".")[:2]) for module in modules}


def _floors(arrows: set[tuple[str, str]]) -> tuple[int, int]:
    """How many floors the rooms stand on, and how many arrows have to go before none runs upward."""
    below: dict[str, set[str]] = defaultdict(set)
    for upper, lower in arrows:
        below[upper].add(lower)
    upward = 0
    height: dict[str, int] = {}
    path: list[str] = []

    def floor(room: str) -> int:
        nonlocal upward
        if room in height:
            return height[room]
        path.append(room)
        heights = [0]
        for lower in sorted(below[room]):
            if lower in path:
                upward += 1
            else:
                heights.append(floor(lower))
        path.pop()
        height[room] = 1 + max(heights)
        return height[room]

    return max(floor(room) for room in sorted(below)), upward


def _still_crossing(root: Path) -> int:
    settings: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]
    contracts = settings.get("importlinter", {}).get("contracts", [])
    return len({line for contract in contracts for line in contract.get("ignore_imports", [])})


def _classes(package: Path) -> Iterator[tuple[Path, ast.ClassDef]]:
    for path in sorted(package.rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield path, node


def _fields(node: ast.ClassDef) -> set[str]:
    return {
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }


def _ambiguous(classes: list[tuple[Path, ast.ClassDef]]) -> int:
    homes: dict[str, set[Path]] = defaultdict(set)
    for path, node in classes:
        homes[node.name].add(path)
    return sum(len(paths) > 1 for paths in homes.values())


def way_of_one_job() -> dict[str, int]:
    """Which modules one BackgroundJob enters between its request and its result, by profiling a host.

    Of five jobs the one with the fewest changes of module: what upkeep does meanwhile is no part of the way.
    """
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        jobs = asyncio.run(_profiled(data_dir, _make_key(data_dir)))
    calls = min(jobs, key=lambda job: _changes(job.values()))
    modules = {call.module for thread in calls.values() for call in thread}
    begun = [[call for call in thread if call.is_begun] for thread in calls.values()]
    return {
        "modules that one submission enters": len(modules),
        "changes of module on its way": _changes(calls.values()),
        "the same without coroutines that go on after they have waited": _changes(begun),
    }


def _changes(threads: Iterable[list[Call]]) -> int:
    return sum(one.module != other.module for thread in threads for one, other in pairwise(thread))


async def _profiled(data_dir: Path, key: str) -> list[Mapping[int, list[Call]]]:
    """For each job and thread the calls into modules of the package, in their order."""
    import aiohttp_jobs  # noqa: PLC0415 - the one of the folder that was named

    calls: dict[int, list[Call]] = defaultdict(list)
    begun: set[FrameType] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        module = str(frame.f_globals.get("__name__", ""))
        if event == "call" and module.startswith(PACKAGE):
            calls[threading.get_ident()].append(Call(module, frame not in begun))
            begun.add(frame)

    app = web.Application()
    config = aiohttp_jobs.JobsConfig(data_dir=data_dir)
    aiohttp_jobs.setup(app, config)
    threading.setprofile(note)  # before the plugin's own threads start
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{config.prefix}/api/v1"
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as client:
            await _run_one(client, url, "the first, for what is imported and made only once")
            sys.setprofile(note)
            try:
                return [await _calls_of_one(client, url, calls) for _ in range(_JOBS)]
            finally:
                sys.setprofile(None)
                threading.setprofile(None)
    finally:
        await runner.cleanup()


async def _calls_of_one(
    client: aiohttp.ClientSession, url: str, calls: dict[int, list[Call]]
) -> Mapping[int, list[Call]]:
    calls.clear()
    await _run_one(client, url, "one that is counted")
    return {thread: list(each) for thread, each in calls.items()}


async def _run_one(client: aiohttp.ClientSession, url: str, name: str) -> None:
    body = {"jobName": name, "command": "echo done", "executionMode": "BackgroundJob"}
    submit = f"{url}/jobs/submit?wait=20"
    async with asyncio.timeout(_WAIT_SECONDS), client.post(submit, json=body) as got:
        answer = await got.json()
        if not (answer.get("result") or {}).get("Success"):
            raise RuntimeError(f"The job did not succeed: {answer}")


def _make_key(data_dir: Path) -> str:
    """A key for a data folder that no host has seen yet, made as a person makes one."""
    command = ["api-key", "create", "--data-dir", str(data_dir), "--name", "house", "--user", "house"]
    made = subprocess.run(
        [sys.executable, "-m", "aiohttp_jobs", *command, "--role", "task_manager", "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    key: str = json.loads(made.stdout)["ApiKey"]
    return key


if __name__ == "__main__":
    main()

"""Writes the page and the picture: of a whole run into ``docs/``, of any other beside the benchmark."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from . import picture, report
from .bench import Bench
from .tables import Table

_HERE = Path(__file__).resolve().parent
_DRAWN = ("throughput", "latency", "runspace", "functions")
_PACKAGES = ("aiohttp", "pebble")


def publish(bench: Bench, tables: Sequence[Table], command: str, *, whole: bool) -> list[Path]:
    """The files written."""
    docs = _HERE.parent / "docs"
    page, drawing = docs / "benchmarks.md", docs / "_static" / "benchmarks.svg"
    if not whole:
        page, drawing = _HERE / ".last" / "benchmarks.md", _HERE / ".last" / "_static" / "benchmarks.svg"
    drawing.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(report.page(tables, _facts(bench, command)))
    drawing.write_text(picture.draw([table for table in tables if table.key in _DRAWN]))
    return [page, drawing]


def _facts(bench: Bench, command: str) -> report.Facts:
    memory = psutil.virtual_memory().total / 2**30
    machine = (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GB, Linux {platform.release()}, "
        f"the store on {_file_system(bench.work)}"
    )
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {version(name)}" for name in _PACKAGES]
    versions += [f"{name} {number}" for name, number in bench.versions.items()]
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return report.Facts(when, machine, f"`{command}`", versions, [*bench.missing, *bench.failures])


def _file_system(folder: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "an unknown file system"

"""The results list and search with many stored results against few; measured by ``results_scale``."""

from __future__ import annotations

import importlib

from ..bench import Bench
from ..tables import Table


async def measure(bench: Bench) -> list[Table]:
    importlib.import_module("benchmarks.results_scale")
    raise NotImplementedError("not connected yet")

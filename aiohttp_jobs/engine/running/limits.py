"""How many jobs one process runs at once, from its configuration."""

from __future__ import annotations

from ...config import JobsConfig
from ...model.job import ExecutionMode
from ..base import MAIN_LOOP_FUNCTIONS, Limits


def limits_of(config: JobsConfig) -> Limits:
    """One command at a time in MainLoop, and the configured number for every other slot."""
    return Limits(
        modes={
            **dict.fromkeys(ExecutionMode, config.max_parallel_background),
            ExecutionMode.MAIN_LOOP: 1,
            MAIN_LOOP_FUNCTIONS: config.max_parallel_mainloop_functions,
            ExecutionMode.RUNSPACE: config.max_parallel_runspace,
        },
        per_user=config.max_parallel_per_user,
        overall=config.max_parallel,
    )

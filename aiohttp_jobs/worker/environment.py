"""The variables a job gets: an allow-list of the host's, the configured ones, and the job's own."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..config import JobsConfig
from ..model.job import Submission
from .process.process import INSTANCE_VARIABLE, JOB_VARIABLE


def base_environment(config: JobsConfig, instance_id: str) -> dict[str, str]:
    """What every job of this process gets."""
    allowed = {name: os.environ[name] for name in config.environment_allow if name in os.environ}
    return {
        "PATH": os.defpath,
        **allowed,
        **config.environment_extra,
        INSTANCE_VARIABLE: instance_id,
    }


def job_environment(base: Mapping[str, str], submission: Submission) -> dict[str, str]:
    """What this job gets, the names under which it can find out about itself included."""
    traces = {"TRACEPARENT": submission.traceparent, "TRACESTATE": submission.tracestate}
    return {
        **base,
        **{name: value for name, value in traces.items() if value is not None},
        JOB_VARIABLE: submission.job_id,
        "AIOHTTP_JOBS_JOB_NAME": submission.job_name,
        "AIOHTTP_JOBS_ATTEMPT": str(submission.attempt),
        "AIOHTTP_JOBS_USER_ID": submission.user_id,
    }

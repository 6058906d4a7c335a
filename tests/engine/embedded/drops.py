"""Submission files as other programs leave them in a host's folder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from aiohttp_jobs.model.job import format_utc, new_job_id, utc_now
from aiohttp_jobs.system.derived_keys import InstallationKeys

from ...conftest import Host


class Drops:
    """Leaves files in ``JobSubmission/`` of `host`, old enough to count as completely written."""

    def __init__(self, host: Host) -> None:
        self._base = host.base_dir
        self._signer = InstallationKeys(self._base).signer("submission.key")

    def record(self, **fields: Any) -> dict[str, Any]:
        """A submission by alice, who is a debugger, as the specification has it."""
        return {
            "JobID": new_job_id(),
            "UserID": "alice",
            "SessionID": "elsewhere",
            "JobName": "dropped",
            "Command": "echo dropped",
            "Description": "",
            "ExecutionMode": "BackgroundJob",
            "Roles": ["debug"],
            "SubmittedAt": format_utc(utc_now()),
            "Status": "Pending",
            **fields,
        }

    def signed(self, **fields: Any) -> dict[str, Any]:
        return self._signer.sign(self.record(**fields))

    def folder(self, user: str = "alice") -> Path:
        path = self._base / "JobSubmission" / user
        path.mkdir(exist_ok=True)
        return path

    def put(self, content: dict[str, Any] | bytes, name: str = "drop.json", user: str = "alice") -> Path:
        """Leave `content` there in one go."""
        path = self.folder(user) / name
        hidden = path.with_name(f".{path.name}")
        hidden.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        long_ago = time.time() - 60
        os.utime(hidden, (long_ago, long_ago))
        hidden.rename(path)
        return path

    def waiting(self) -> list[Path]:
        """What has not been picked up yet."""
        return [path for path in (self._base / "JobSubmission").glob("*/*") if path.name[0] != "."]

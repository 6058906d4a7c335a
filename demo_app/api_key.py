"""The API key made at the demo's first start, and the curl commands that use it.

The plugin keeps only a key's digest, so the key itself lies in a file of the demo's, readable by its
owner alone; otherwise a later start could not print it again. A real host shows a key once.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.system.atomic import create_secret

from .users import DEMO_ACCOUNTS

FILE_NAME = "demo-api-key"
_NAME, _, _ROLES = DEMO_ACCOUNTS[0]


def demo_api_key(data_dir: Path) -> str | None:
    """The demo's API key, which acts as admin; made if there is none yet.

    ``None`` when the key on file was disabled or deleted since. Blocks. Raises ``OSError``.
    """
    keys = ApiKeys.in_data_dir(data_dir)
    path = data_dir / FILE_NAME
    if not path.exists():
        record, secret = keys.create(name="demo", user_id=_NAME, roles=_ROLES, created_by="demo_app")
        if create_secret(path, f"{secret}\n".encode()).decode().strip() != secret:
            keys.delete(record.key_id)  # another demo started at the same moment and was first
    secret = path.read_text(encoding="utf-8", errors="replace").strip()
    return secret if keys.find(secret, None) else None


def curl_commands(api: str, secret: str) -> str:
    """Shell lines that submit a job, wait for its result, read it and delete it; for pasting.

    `api` is the address of the plugin's API.
    """
    return rf"""
API='{api}' AUTH='Authorization: Bearer {secret}'
JOB=$(curl -sSw '\n' "$API/jobs/submit" -H "$AUTH" -H 'Content-Type: application/json' \
    -d '{{"jobName": "disk space", "command": "df -h .", "executionMode": "BackgroundJob"}}' \
    | tee /dev/stderr | grep -oE '[0-9a-f-]{{36}}')
until curl -sS "$API/jobs/results" -H "$AUTH" | grep "$JOB"; do sleep 1; done
curl -sSw '\n' -X DELETE "$API/jobs/results?jobId=$JOB" -H "$AUTH"
""".strip()

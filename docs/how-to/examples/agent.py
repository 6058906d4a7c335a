"""An agent without a model: runs a template through the Model Context Protocol and follows its job.

pip install mcp
JOBS_KEY=… python agent.py https://jobs.example.org/apps/WebHostTaskManagement/mcp "Restart" name=web
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from httpx2 import AsyncClient  # comes with mcp
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def run_template(address: str, key: str, title: str, values: dict[str, Any]) -> dict[str, Any]:
    """The result of one run of the template called `title`; prints what it prints."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(address, http_client=http)) as client,
    ):
        tools = (await client.list_tools()).tools
        name = next(tool.name for tool in tools if tool.title == title)
        job_id = (await called(client, name, values))["jobId"]
        asked = {"jobId": job_id, "seconds": 50}
        while True:
            seen = await called(client, "watch_job", asked)
            sys.stdout.write(seen["output"])
            if seen["ended"]:
                job: dict[str, Any] = seen["job"]
                return job
            asked["position"] = seen["position"]


async def called(client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What a tool answers. Ends the program with the server's own sentence if it could not."""
    result = await client.call_tool(name, arguments)
    if result.is_error:
        sys.exit("".join(getattr(each, "text", "") for each in result.content))
    return result.structured_content or {}


if __name__ == "__main__":
    address, title, *given = sys.argv[1:]
    values = dict(each.split("=", 1) for each in given)
    result = asyncio.run(run_template(address, os.environ["JOBS_KEY"], title, values))
    sys.exit(0 if result["Success"] else 1)

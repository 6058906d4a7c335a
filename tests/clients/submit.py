"""What a program does with the client that openapi-python-client has made: `out` is that client."""

import sys

from out.api.jobs.submit_job import sync
from out.client import AuthenticatedClient
from out.models.execution_mode import ExecutionMode
from out.models.job_result import JobResult
from out.models.submit_request import SubmitRequest
from out.models.submitted import Submitted


def submit(address: str, key: str) -> str:
    with AuthenticatedClient(base_url=address, token=key) as client:
        body = SubmitRequest("generated", "echo hello", ExecutionMode.BACKGROUNDJOB)
        answer = sync(client=client, body=body, wait=60)
    if not isinstance(answer, Submitted) or not isinstance(answer.result, JobResult):
        raise SystemExit(f"refused: {answer}")
    return answer.result.output


if __name__ == "__main__":
    print(submit(*sys.argv[1:]), end="")

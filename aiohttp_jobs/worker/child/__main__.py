"""The process that runs Python jobs: one job from a file, or a warm worker for many.

Started by path (``python runner FILE``, or ``python runner --serve`` with the descriptors of a socket and a
pipe and the host's process id). It does not import the package, so it starts fast and contains none of the
host's code or data.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if entry != _HERE]
sys.path.insert(0, _HERE)
import childworker  # type: ignore[import-not-found]  # noqa: E402 - found only now
import pycode  # type: ignore[import-not-found]  # noqa: E402 - found only now

sys.path.remove(_HERE)

_PARAMETERS = "AIOHTTP_JOBS_PARAMETERS"


def run_file(path: str, parameters: dict[str, Any]) -> int:
    with open(path, encoding="utf-8") as file:
        source = file.read()
    sys.argv = [path]
    code: int = pycode.run_source(source, parameters)
    return code


def run_request(request: dict[str, Any]) -> Any:
    """Run a warm worker's job: Python in this process, everything else in its own."""
    sys.argv = [request["command_file"]]
    try:
        return childworker.Ending(_run(request))
    finally:
        pycode.forget_values(request["parameters"])


def _run(request: dict[str, Any]) -> int:
    if request["source"] is not None:
        return int(pycode.run_source(request["source"], request["parameters"]))
    if request["arguments"] is None:
        return run_file(request["command_file"], request["parameters"])
    return subprocess.run(request["arguments"], stdin=subprocess.DEVNULL, check=False).returncode


def main(arguments: list[str]) -> int:
    if arguments[0] == "--serve":
        descriptor, output, parent = map(int, arguments[1:])
        childworker.die_with_parent(parent)
        control = socket.socket(fileno=descriptor)
        control.set_inheritable(False)
        os.set_inheritable(output, False)
        childworker.unbuffer_c_stdout()
        childworker.ChildWorker(control, output, run_request).serve()
        return 0
    # Taken out, so that what the job starts does not get the values.
    code = run_file(arguments[0], json.loads(os.environ.pop(_PARAMETERS, "{}")))
    childworker.flush(sys.stdout, sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

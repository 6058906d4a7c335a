"""What ``pwsh -File`` prints for each of `SCRIPTS`: asked now, or as it was when it was last asked.

To ask the same PowerShell the same thing again takes a second each time. An answer is kept by the version
that gave it, the language and the script; where one of them is another, it is asked.
``python -m tests.worker.powershell_oracle`` writes the answers down anew.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from ..processes import printed_by
from .powershell_scripts import SCRIPTS

Answer = tuple[str, int]
"""The output, without colours, and the exit code."""

ALWAYS_ASKED = (
    *("custom objects", "streams", "exit by text"),
    *("files", "cultures", "folders", "a drive", "what if"),  # the machine has a part in these
)
_KEPT = Path(__file__).with_suffix(".json")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


async def asked(script: str, folder: Path) -> Answer:
    """What a ``pwsh`` of its own writes to one pipe, in `folder`."""
    file = folder / "command.ps1"
    file.write_text(script, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        "pwsh",
        *("-NoProfile", "-NonInteractive", "-File", str(file)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    output, _ = await printed_by(process)
    return _COLOURS.sub("", output.decode("utf-8", "replace")), process.returncode or 0


async def answer(name: str, folder: Path) -> Answer:
    """What it says to ``SCRIPTS[name]``. Those of `ALWAYS_ASKED` prove what is kept."""
    script = SCRIPTS[name]
    kept = _kept().get(_key(script))
    if kept is not None and name not in ALWAYS_ASKED:
        return kept
    said = await asked(script, folder)
    assert kept in {None, said}, f"{_KEPT.name} says otherwise about {name!r}: write it anew"
    return said


@functools.cache
def _kept() -> dict[str, Answer]:
    kept = json.loads(_KEPT.read_text(encoding="utf-8")) if _KEPT.exists() else {}
    return {key: (output, code) for key, (output, code) in kept.items()}


def _key(script: str) -> str:
    language = os.environ.get("LC_ALL") or os.environ.get("LANG")
    return hashlib.sha256(json.dumps([_version(), language, script]).encode()).hexdigest()[:20]


@functools.cache
def _version() -> str:
    return subprocess.run(["pwsh", "--version"], check=True, capture_output=True, text=True).stdout.strip()


async def _write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        answers = {_key(script): await asked(script, Path(folder)) for script in SCRIPTS.values()}
    _KEPT.write_text(json.dumps(answers, indent=0, ensure_ascii=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(_write())

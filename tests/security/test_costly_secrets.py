"""The door: secret values whose masking costs so much that everybody waits for one user's job."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from aiohttp_jobs.worker.output.capture import OutputPipe
from aiohttp_jobs.worker.output.log import OutputLog
from aiohttp_jobs.worker.output.masking import MASK, Masker

from ..conftest import Host
from ..http.test_templates import create, ended, run

TOKENS = [{"name": f"token{number}", "type": "secret"} for number in range(8)]


def lines(count: int) -> str:
    return "\n".join(f"<s{number:05}" for number in range(count))


def values(count: int) -> dict[str, Any]:
    """Secrets of `count` short lines in all."""
    parts = [min(400, count - start) for start in range(0, count, 400)]
    return {f"token{number}": lines(part) for number, part in enumerate(parts)}


async def test_thousands_of_secret_lines_are_refused(host: Host) -> None:
    caller = host.caller("task_manager")
    template = await create(caller, parameters=TOKENS, command="true")
    answer = await run(caller, template, values=values(501))
    assert (answer.status, answer.body["code"]) == (422, "invalid_fields")
    assert "at most 500 lines in all secrets together; these have 501" in answer.body["error"]
    assert (await ended(caller, template, values=values(500)))["Success"] is True


class Feeding(Masker):
    """A masker that notes how much it is given at a time."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__(secrets)
        self.sizes: list[int] = []

    def feed(self, data: bytes) -> bytes:
        self.sizes.append(len(data))
        return super().feed(data)


async def test_a_flood_is_masked_in_pieces_that_are_smaller_the_more_is_looked_for(tmp_path: Path) -> None:
    few, many = Feeding([lines(1)]), Feeding([lines(400)])
    assert few.most_at_once > 10 * many.most_at_once
    for masker in (few, many):
        log = OutputLog(tmp_path / str(id(masker)), 1024 * 1024)
        log.masker = masker
        pipe = OutputPipe(log)
        printed = b"x" * 50_000 + b"<s00000\n"
        assert os.write(pipe.write_end, printed) == len(printed)
        await pipe.close()
        log.end()
        assert log.output().text == "x" * 50_000 + MASK.decode() + "\n"
        assert max(masker.sizes) <= masker.most_at_once
    assert len(many.sizes) > len(few.sizes)

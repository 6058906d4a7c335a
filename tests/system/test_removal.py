"""Removing in the background: what a disk refuses to let go of is removed when it does."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiohttp_jobs.system.removal import Sweeper

from ..gate import PATIENCE_SECONDS, until


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    made = Sweeper()
    made.open()
    yield made
    assert made.close(PATIENCE_SECONDS)


async def test_what_the_disk_refuses_to_let_go_of_is_removed_when_it_does_and_holds_nothing_up(
    sweeper: Sweeper, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused, other = tmp_path / "refused", tmp_path / "other"
    refused.mkdir()
    other.mkdir()

    def refuse(path: str, **where: int) -> None:
        if str(path) == str(refused):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        real(path, **where)

    real = os.rmdir
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rmdir", refuse)
        sweeper.remove([refused, other])
        await until(lambda: not other.exists(), "the other folder's removal")
        assert refused.exists()
    await until(lambda: not refused.exists(), "the removal of what was refused")
    assert caplog.text.count("cannot be removed") == 1

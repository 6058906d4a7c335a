"""Who waits for something to write to a pipe is told when nobody reads it any more, and of nothing else."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aiohttp_jobs.cli.pipes import while_read
from aiohttp_jobs.cli.streams import OutputError

from ..gate import PATIENCE_SECONDS


@contextmanager
def as_stdout(descriptor: int) -> Iterator[None]:
    """Have that, which is closed at the end, for standard output."""
    with pytest.MonkeyPatch.context() as patch, os.fdopen(descriptor, "wb", buffering=0) as stdout:
        patch.setattr(sys, "stdout", stdout)
        yield


async def test_the_end_of_the_reader_ends_what_waits() -> None:
    read_end, write_end = os.pipe()
    with as_stdout(write_end):
        asyncio.get_running_loop().call_soon(os.close, read_end)
        with pytest.raises(OutputError) as error:
            async with while_read():
                await asyncio.sleep(PATIENCE_SECONDS)
        assert error.value.is_broken_pipe


async def test_what_waits_keeps_an_error_of_its_own() -> None:
    read_end, write_end = os.pipe()
    with as_stdout(write_end), pytest.raises(TimeoutError, match="its own"):
        async with while_read():
            raise TimeoutError("its own")
    os.close(read_end)


async def test_a_file_has_no_reader_to_miss_and_a_pipe_that_we_could_read_is_not_taken_for_closed(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "fifo")
    both_ways = os.open(tmp_path / "fifo", os.O_RDWR)
    os.write(both_ways, b"unread")
    for descriptor in (both_ways, os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)):
        with as_stdout(descriptor):
            async with while_read():
                await asyncio.sleep(0.05)

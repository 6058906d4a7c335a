"""Downloads a job's output to a file, and resumes after checking what the file already contains."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, cast

from aiohttp import ClientConnectionError, ClientPayloadError, ClientResponse, ClientTimeout

from .connection import ClientError, raise_for, record_of

PIECE = 256 * 1024
DOWNLOAD_TIMEOUT = ClientTimeout(total=None, sock_connect=30, sock_read=60)
_MOST_FAILURES = 5
_PAUSE_SECONDS = 1.0


class SavedHow(StrEnum):
    """How the file was written."""

    NEW = "new"
    CONTINUED = "continued"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class SavedOutput:
    """A file with `size` bytes of the output of the attempt `attempt`."""

    size: int
    attempt: int
    how: SavedHow


class Download:
    """The download of one job's output. `request` is the connection's; `address` is below it."""

    def __init__(
        self, request: Callable[..., AbstractAsyncContextManager[ClientResponse]], address: str
    ) -> None:
        self._request = request
        self._address = address
        self._tag = ""
        self._attempt = 1

    async def save(self, path: Path) -> SavedOutput:
        """Write the output so far to `path`.

        A file that is a prefix of the output, according to the server's digest, is continued. Any other file
        is kept until all has been received, and then replaced. Raises ``OSError``, `ClientError` and
        aiohttp's client errors.
        """
        if await asyncio.to_thread(_has_nothing_to_lose, path):
            return await self._into(path, "wb", SavedHow.NEW)
        if await self._is_beginning(path):
            before = await asyncio.to_thread(os.path.getsize, path)
            with contextlib.suppress(_OtherOutputError):
                saved = await self._into(path, "ab", SavedHow.CONTINUED)
                return saved if saved.size != before else replace(saved, how=SavedHow.UNCHANGED)
        return await self._replace(await asyncio.to_thread(path.resolve))

    async def _is_beginning(self, path: Path) -> bool:
        length, digest = await asyncio.to_thread(_digest, path)
        url, query = f"{self._address}/digest", {"length": str(length)}
        try:
            async with self._request("GET", url, params=query) as response:
                await raise_for(response)
                theirs = await record_of(response)
        except ClientError as error:
            if error.status == 416:  # it is longer than the output
                return False
            raise
        self._tag, self._attempt = str(theirs["etag"]), int(theirs["attempt"])
        return bool(theirs["sha256"] == digest)

    async def _replace(self, path: Path) -> SavedOutput:
        part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
        try:
            saved = await self._into(part, "xb", SavedHow.REPLACED)
            await asyncio.to_thread(_put_in_place, part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return saved

    async def _into(self, path: Path, mode: str, how: SavedHow) -> SavedOutput:
        if how is not SavedHow.CONTINUED:
            self._tag = ""
        with await asyncio.to_thread(_open, path, mode) as file:
            is_new = how is not SavedHow.CONTINUED and file.seekable()
            written = file.tell() if file.seekable() else 0
            failures = 0
            while True:
                before = written
                try:
                    async for size in self._fetch(file, written):
                        written = size
                    await asyncio.to_thread(file.flush)
                    return SavedOutput(written, self._attempt, how)
                except _OtherOutputError:
                    if not is_new:
                        raise
                    await asyncio.to_thread(_empty, file)
                    self._tag, written = "", 0
                except (ClientConnectionError, ClientPayloadError, TimeoutError):
                    failures = failures + 1 if written == before else 1
                    if failures == _MOST_FAILURES:
                        raise
                    await asyncio.sleep(_PAUSE_SECONDS)

    async def _fetch(self, file: BinaryIO, written: int) -> AsyncIterator[int]:
        """Append what follows the `written` bytes of `file`; yields how many it has after each piece.

        Raises `_OtherOutputError` when the output is not any more what they are the beginning of.
        """
        has_more = True
        while has_more:
            headers = {"Range": f"bytes={written}-", "If-Range": self._tag} if self._tag else {}
            async with self._request(
                "GET", self._address, headers=headers, timeout=DOWNLOAD_TIMEOUT
            ) as response:
                if response.status == 416:
                    return
                await raise_for(response, "text/plain")
                if response.status != 206 and written:
                    raise _OtherOutputError
                self._know(response)
                async for piece in response.content.iter_chunked(PIECE):
                    await asyncio.to_thread(file.write, piece)
                    written += len(piece)
                    yield written
                # Of a job that runs, a range is sent in parts.
                has_more = response.headers.get("Content-Range", "").endswith("/*")

    def _know(self, response: ClientResponse) -> None:
        tag = response.headers.get("ETag", "")
        self._tag = tag if tag.startswith('"') else ""
        self._attempt = int(response.headers.get("X-Output-Attempt", self._attempt))


class _OtherOutputError(Exception):
    """What was fetched so far is not the beginning of the output any more."""

    def __str__(self) -> str:
        return "the job was tried again while its output was being saved"


def _has_nothing_to_lose(path: Path) -> bool:
    """Whether there is no file, an empty one, or what is no file, such as a pipe or a terminal."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    return not stat.S_ISREG(status.st_mode) or status.st_size == 0


def _digest(path: Path) -> tuple[int, str]:
    """How many bytes the file has, and their SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


def _open(path: Path, mode: str) -> BinaryIO:
    return cast("BinaryIO", path.open(mode))


def _empty(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


def _put_in_place(part: Path, path: Path) -> None:
    """Have `part` take the place of `path`, with its permissions."""
    part.chmod(stat.S_IMODE(path.stat().st_mode))
    part.replace(path)

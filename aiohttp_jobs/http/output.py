"""Responses with a job's output: whole, from an offset on, or by Range (RFC 9110), with validators.

The service checks who may read it; the engine finds it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from aiohttp import hdrs, web

from ..engine.base import JobOutput
from ..errors import NotFoundError, RangeError
from ..services.streams.output import WholeOutput, note_of_gap
from .app_keys import SERVICE
from .as_is import ResponseAsIs, StreamAsIs
from .open_streams import break_off, open_stream, while_rights_last
from .parameters import Choice, Count, Header, Offset
from .request_keys import IDENTITY

_PIECE = 256 * 1024
_MOST = 16 * 1024 * 1024
_LONGEST_CHARACTER = 4
_STALLED_SECONDS = 600.0
_RANGE_SET = re.compile(r"bytes=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.IGNORECASE)
_MOST_DIGITS = 18
_TAG = re.compile(r'"(?P<id>[0-9a-f-]{36})-(?P<attempt>[0-9]{1,9})-(?P<length>[0-9]{1,18})"')

OFFSET = Offset(name="offset", description="The first byte to return, for polling.")
BYTES = Count(
    name="limit",
    default=_PIECE,
    most=_MOST,
    description="The maximum number of bytes to return, with `offset`.",
)
DOWNLOAD = Choice(
    name="download", choices=("0", "1"), default="0", description="1: send it as a file to save."
)
RANGE = Header(
    name="Range",
    description="One range of bytes. Several ranges, or other units, are ignored.",
    example="bytes=0-",
)
IF_RANGE = Header(
    name="If-Range",
    description="An ETag: use `Range` only if it continues the response that had this ETag.",
    example='"a7f3e8d9-4b2c-4f5a-9e7d-6c8b3a2f1e0d-1-1000"',
)
IF_NONE_MATCH = Header(
    name="If-None-Match",
    description="ETags: 304 if the output of an ended job has one of them.",
    example='"a7f3e8d9-4b2c-4f5a-9e7d-6c8b3a2f1e0d-1-1000"',
)
LENGTH = Offset(name="length", description="The number of bytes to digest.")

_NUMBER = {"type": "integer"}
_TEXT = {"type": "string"}
VALIDATORS: Mapping[str, dict[str, Any]] = {"ETag": _TEXT, "X-Output-Attempt": _NUMBER}
_GAP = {"X-Output-Left-Out": _NUMBER}
WHOLE_HEADERS = {
    **VALIDATORS,
    **_GAP,
    "Accept-Ranges": {"const": "bytes"},
    "Content-Length": _NUMBER,
    "X-Output-Offset": _NUMBER,
    "X-Output-Next": _NUMBER,
    "X-Output-Complete": {"enum": ["true", "false"]},
}
RANGE_HEADERS = {**VALIDATORS, **_GAP, "Content-Range": _TEXT, "Content-Length": _NUMBER}


class _Version(NamedTuple):
    """Which text an answer has: so many bytes of one attempt's output. `str` makes its strong ETag.

    An output only grows: the same attempt's first bytes are the same in every later version.
    """

    job_id: str
    attempt: int
    length: int

    def __str__(self) -> str:
        return f'"{self.job_id}-{self.attempt}-{self.length}"'

    def follows(self, tag: str, start: int, gap: int) -> bool:
        """Whether what it has from `start` on goes on what somebody has who got `tag` (``If-Range``).

        `gap` is where the first bytes are that are not kept, or where it ends.
        """
        match = _TAG.fullmatch(tag.strip())
        if match is None or match["id"] != self.job_id or int(match["attempt"]) != self.attempt:
            return False
        return int(match["length"]) <= gap and start <= gap


class _Asked(NamedTuple):
    """A range of bytes as it was asked for: from `start` up to and with `last`, or the last `suffix`."""

    start: int
    last: int | None
    suffix: int | None

    def within(self, size: int) -> tuple[int, int]:
        """Where it starts and stops in `size` bytes. Raises `RangeError` when it has none of them."""
        start = self.start if self.suffix is None else max(0, size - self.suffix)
        stop = size if self.last is None else min(size, self.last + 1)
        if start >= stop:
            raise _no_such_range(start, size)
        return start, stop


async def output_answer(request: web.Request, job_id: str) -> web.StreamResponse:
    """The response to a request for the output of `job_id`."""
    reader = await request.app[SERVICE].output(request[IDENTITY], job_id)
    with open_stream(request):
        async with while_rights_last(request):
            return await _sent(request, job_id, reader)
    return break_off(request)


async def _sent(request: web.Request, job_id: str, reader: JobOutput) -> web.StreamResponse:
    offset = OFFSET.of(request)
    asked = _asked(RANGE.of(request)) if request.method == hdrs.METH_GET else None
    if asked is None and (offset is not None or BYTES.name in request.query):
        response, data = await _piece(reader, offset or 0, BYTES.of(request))
    elif reader.complete:
        return await _ended(request, job_id, WholeOutput(reader, await reader.spans()), asked)
    elif asked is not None and await _may_go_on(request, job_id, reader, asked):
        response, data = await _live_range(reader, job_id, asked)
    else:
        return await _live(request, job_id, reader)
    # Here rather than by aiohttp: it may be much, and take long.
    response.content_length = len(data)
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        await _taken(request, response.write(data))
    await response.write_eof()
    return response


async def output_digest(request: web.Request, job_id: str, length: int) -> dict[str, Any]:
    """The digest of the first `length` bytes of the output, and the ETag to continue with.

    Raises `RangeError` when there are fewer bytes, or some are missing while the job runs.
    """
    reader = await request.app[SERVICE].output(request[IDENTITY], job_id)
    with open_stream(request):
        size, digest = await _digest(reader, length)
    return {
        "attempt": reader.attempt,
        "length": length,
        "sha256": digest,
        "size": size,
        "complete": reader.complete,
        "etag": str(_Version(job_id, reader.attempt, size if reader.complete else length)),
    }


async def _digest(reader: JobOutput, length: int) -> tuple[int, str]:
    """How long the output is, and the digest of its first `length` bytes."""
    size = reader.size
    if reader.complete:
        whole = WholeOutput(reader, await reader.spans())
        size, pieces = whole.size, whole.read(0, length)
    else:
        pieces = _beginning(reader, length)
    if length > size:
        raise _no_such_range(length - 1, size)
    digest = hashlib.sha256()
    async for data in pieces:
        await asyncio.to_thread(digest.update, data)
    return size, digest.hexdigest()


# --- of a job that has ended


async def _ended(
    request: web.Request, job_id: str, whole: WholeOutput, asked: _Asked | None
) -> web.StreamResponse:
    version = _Version(job_id, whole.attempt, whole.size)
    headers = _headers(whole.attempt, str(version)) | _disposition(request, job_id)
    if _is_known(IF_NONE_MATCH.of(request), str(version)):
        return ResponseAsIs(status=304, headers=headers)
    headers |= _left_out(whole.left_out)
    start, stop, status = 0, whole.size, 200
    if asked is not None and _goes_on(IF_RANGE.of(request), version, asked, whole.gap):
        (start, stop), status = asked.within(whole.size), 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{whole.size}"
    response = StreamAsIs(status=status, headers=headers)
    response.content_length = stop - start
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        await _send(request, response, whole.read(start, stop))
    return response


def _goes_on(condition: str | None, version: _Version, asked: _Asked, gap: int) -> bool:
    if condition is None or condition.strip() == str(version):
        return True
    return version.follows(condition, asked.start, gap)


async def _send(request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[bytes]) -> None:
    try:
        async for data in pieces:
            await _taken(request, response.write(data))
        await response.write_eof()
    except NotFoundError:
        # Less than was promised: the connection breaks, so that nobody takes it for all.
        if request.transport is not None:
            request.transport.abort()


# --- of a job that has not ended


async def _live(request: web.Request, job_id: str, reader: JobOutput) -> web.StreamResponse:
    """What there is so far."""
    size, attempt = reader.size, reader.attempt
    has_gap = len(await reader.spans()) > 1
    # With a gap the same number of bytes may be told in another way a moment later.
    tag = ("W/" if has_gap else "") + str(_Version(job_id, attempt, size))
    response = StreamAsIs(headers=_headers(attempt, tag) | _disposition(request, job_id))
    if request.method == hdrs.METH_HEAD and not has_gap:
        response.content_length = size
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        await _write_so_far(request, response, job_id, reader, size)
    await response.write_eof()
    return response


async def _write_so_far(
    request: web.Request, response: web.StreamResponse, job_id: str, reader: JobOutput, size: int
) -> None:
    offset, attempt = 0, reader.attempt
    while offset < size:
        part = await reader.read(offset, _PIECE)
        if not part.data and not reader.complete:
            # It may have ended meanwhile, and its output be elsewhere now.
            with suppress(NotFoundError):
                reader = await request.app[SERVICE].output(request[IDENTITY], job_id)
                if reader.attempt == attempt:
                    part = await reader.read(offset, _PIECE)
        if not part.data:
            return
        if part.offset > offset:
            note = note_of_gap(part.offset - offset, reader.left_out_because)
            await _taken(request, response.write(note))
        await _taken(request, response.write(part.data[: max(0, size - part.offset)]))
        offset = part.offset + len(part.data)


async def _live_range(reader: JobOutput, job_id: str, asked: _Asked) -> tuple[StreamAsIs, bytes]:
    start, stop = asked.within(reader.size)
    part = await reader.read(start, min(_MOST, stop - start), whole=False)
    if part.offset != start or not part.data:
        raise _no_such_range(start, reader.size)
    following = start + len(part.data)
    headers = _headers(reader.attempt, str(_Version(job_id, reader.attempt, following)))
    headers["Content-Range"] = f"bytes {start}-{following - 1}/*"
    return StreamAsIs(status=206, headers=headers), part.data


async def _may_go_on(request: web.Request, job_id: str, reader: JobOutput, asked: _Asked) -> bool:
    condition = IF_RANGE.of(request)
    if condition is None:
        return True
    spans = await reader.spans()
    gap = spans[0].stop if len(spans) > 1 else reader.size
    version = _Version(job_id, reader.attempt, reader.size)
    return version.follows(condition, asked.start, gap)


async def _beginning(reader: JobOutput, length: int) -> AsyncIterator[bytes]:
    offset = 0
    while offset < length:
        part = await reader.read(offset, min(_PIECE, length - offset), whole=False)
        if part.offset != offset or not part.data:
            raise _no_such_range(offset, reader.size)
        yield part.data
        offset += len(part.data)


# --- of any


async def _taken(request: web.Request, writing: Awaitable[None]) -> None:
    """Have something written, but not for ever: the connection of whoever takes nothing is closed."""
    try:
        async with asyncio.timeout(_STALLED_SECONDS):
            await writing
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader has stalled") from None


async def _piece(reader: JobOutput, offset: int, most: int) -> tuple[StreamAsIs, bytes]:
    part = await reader.read(offset, max(most, _LONGEST_CHARACTER))
    following = part.offset + len(part.data)
    headers = _headers(reader.attempt)
    headers["X-Output-Offset"] = str(part.offset)
    headers["X-Output-Next"] = str(following)
    headers["X-Output-Complete"] = str(reader.complete and following >= reader.size).lower()
    return StreamAsIs(headers=headers | _left_out(part.offset - offset if part.data else 0)), part.data


def _left_out(count: int) -> dict[str, str]:
    """Says how many bytes are missing that were asked for, if any are."""
    return {"X-Output-Left-Out": str(count)} if count > 0 else {}


def _asked(text: str | None) -> _Asked | None:
    """The one range of bytes in the header `text`; whatever else it says is ignored (RFC 9110, 14.2)."""
    match = _RANGE_SET.fullmatch(text or "")
    if match is None:
        return None
    start, last, suffix = (int(digits[:_MOST_DIGITS]) if digits else None for digits in match.groups())
    return _Asked(start or 0, last, suffix)


def _is_known(condition: str | None, tag: str) -> bool:
    if condition is None:
        return False
    # Compared weakly, as RFC 9110 (13.1.2) wants it.
    return any(each.strip().removeprefix("W/") in ("*", tag) for each in condition.split(","))


def _no_such_range(start: int, size: int) -> RangeError:
    message = f"There is no output from byte {start} on, of {size} bytes."
    return RangeError(message, headers={"Content-Range": f"bytes */{size}"})


def _headers(attempt: int, tag: str | None = None) -> dict[str, str]:
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "X-Output-Attempt": str(attempt),
    }
    return headers if tag is None else {**headers, "ETag": tag}


def _disposition(request: web.Request, job_id: str) -> dict[str, str]:
    if DOWNLOAD.of(request) != "1":
        return {}
    return {"Content-Disposition": f'attachment; filename="{job_id}.txt"'}

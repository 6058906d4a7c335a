"""The searchable fields of a result, taken from its record, and its id among others. No I/O."""

from __future__ import annotations

import math
import random
from collections.abc import Container, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ...model.terminal import as_seen
from .ids import id_bytes
from .pairs import indexed
from .text_search import OWNER_MARK

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATEST = (1 << 53) - 1  # the year 2255: what fits into an id with ten bits to spare
_TIE_BITS = 10
_LAST_ID = (1 << 63) - 1


class IndexEntry(NamedTuple):
    """One result. Times are in microseconds since 1970, `changed` (its file's, if any) in nanoseconds."""

    job_id: bytes
    user_id: str
    name: str
    status: str
    mode: str
    success: bool
    completed: int
    started: int
    runtime: float
    size: int
    changed: int
    command: str
    output: str

    @property
    def id(self) -> int:
        """Its place in the order of completion. Some bits of the job id make it unique."""
        return first_id(self.completed) | int.from_bytes(self.job_id[-2:], "big") % (1 << _TIE_BITS)


def entry_of(
    record: Mapping[str, Any], *, size: int, search_bytes: int, changed: int = 0
) -> IndexEntry | None:
    """The entry of a stored result; ``None`` when `record` is not one, as anybody may have written it.

    Of the command and of the output, `search_bytes` each are searchable: the start and the end.
    """
    try:
        completed = microseconds(datetime.fromisoformat(record["DateCompleted"]))
        user_id = record["UserID"]
        job_id = id_bytes(record["JobID"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    if not isinstance(user_id, str):
        return None
    success = record.get("Success") is True
    name, command, output = searched_texts(record, search_bytes)
    return IndexEntry(
        job_id=job_id,
        user_id=_clean(user_id),
        name=name,
        status=_clean(record.get("Status")) or ("Succeeded" if success else "Failed"),
        mode=_clean(record.get("ExecutionMode")),
        success=success,
        completed=completed,
        started=_moment(record.get("DateStarted"), completed),
        runtime=_number(record.get("Runtime")),
        size=size,
        changed=changed,
        command=command,
        output=output,
    )


def searched_texts(record: Mapping[str, Any], search_bytes: int) -> tuple[str, str, str]:
    """The searchable text of a result's name, command and output; of the output as a terminal shows it."""
    return (
        _clean(record.get("JobName")),
        searched_part(_clean(record.get("Command")), search_bytes),
        searched_output(record.get("Output"), search_bytes),
    )


def indexed_text(entry: IndexEntry) -> str:
    """All searchable text, to be split into words for an index."""
    texts = (text.replace(OWNER_MARK, " ") for text in (entry.name, entry.command, entry.output))
    return "\n".join(map(indexed, texts))


def abridged(record: Mapping[str, Any], search_bytes: int) -> Mapping[str, Any]:
    """`record` with no more of a long text than `entry_of` makes use of, to be held in its place."""
    longer = {
        name: _ends(text, search_bytes)
        for name in ("Command", "Output")
        if isinstance(text := record.get(name), str)
        and len(text) > search_bytes
        and _is_longer(text, search_bytes)
    }
    return {**record, **longer} if longer else record


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970; a time without a time zone is in UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def first_id(completed: int) -> int:
    """The lowest id of results that were completed in this microsecond or later."""
    return min(max(completed, 0), _LATEST) << _TIE_BITS


def ids_of_moment(result_id: int) -> range:
    """All ids of the microsecond of `result_id`."""
    first = result_id >> _TIE_BITS << _TIE_BITS
    return range(first, first + (1 << _TIE_BITS))


def ids_instead(wanted: int, taken: Container[int]) -> Iterator[int]:
    """An endless series of ids to try in place of `wanted`; `taken` are all ids in use in its microsecond.

    Free ids of the same microsecond come first, so that times stay exact, and then ids ever further away, so
    that any number of results with the same time find room.
    """
    free = [result_id for result_id in ids_of_moment(wanted) if result_id not in taken]
    yield from random.sample(free, len(free))  # others may choose at the same time
    spread = 1 << _TIE_BITS
    while True:
        spread *= 2
        yield max(0, min(wanted + random.randint(-spread, spread), _LAST_ID))  # noqa: S311


def searched_output(output: Any, search_bytes: int) -> str:
    """The searchable part of an output: its start and its end, as a terminal shows them."""
    return searched_part(as_seen(_ends(_clean(output), search_bytes)), search_bytes)


def _ends(text: str, most: int) -> str:
    """The first and the last `most` characters of a longer text: at least as many as of bytes."""
    return f"{text[:most]}\n{text[-most:]}" if _is_longer(text, most) else text


def _is_longer(text: str, most: int) -> bool:
    return len(text) > 2 * most + 1 > 1


def searched_part(text: str, most: int) -> str:
    """The start and the end of `text`, `most` bytes in all."""
    if len(text) * 4 <= most:
        return text
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return text
    half = most // 2
    head, tail = data[:half], data[len(data) - half :]
    return f"{head.decode('utf-8', 'ignore')}\n{tail.decode('utf-8', 'ignore')}"


def _clean(value: Any) -> str:
    """Text that databases take: without lone surrogates."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _moment(value: Any, otherwise: int) -> int:
    try:
        return microseconds(datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError):
        return otherwise


def _number(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return float(value) if is_number and math.isfinite(value) else 0.0
    except OverflowError:
        return 0.0

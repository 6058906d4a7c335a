"""A function's return value for its result: JSON, limited in size, without secrets.

`as_json` is for the process that ran the function, `kept_value` for the host, which validates it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic_core import to_json

from .output.masking import MASK, Masker

MOST_BYTES = 64 * 1024
"""Of a value as JSON in UTF-8."""
MOST_DEEP = 100
_LARGEST = 2**63 - 1
_BETWEEN = b"\xff"  # is in no text, nor in any form of one
_NOT_KEPT = "The return value was not kept: "


class ReturnValue(NamedTuple):
    """A value as JSON, or a sentence that says why it was not stored; neither for ``None``."""

    json: bytes | None = None
    fault: str | None = None


NOTHING = ReturnValue()


class KeptValue(NamedTuple):
    """The stored value and, if there is more to say, a sentence for the job's owner."""

    value: Any = None
    fault: str | None = None


def as_json(value: Any) -> ReturnValue:
    """`value` as JSON; models, dates, enums and so on as pydantic serializes them."""
    if value is None:
        return NOTHING
    try:
        data = to_json(value, inf_nan_mode="constants")
    except Exception as error:
        return ReturnValue(fault=f"{_NOT_KEPT}{_type_name(value)} is not, or has in it what is not, JSON "
                                 f"({type(error).__name__}).")  # fmt: skip
    if len(data) > MOST_BYTES:
        return ReturnValue(fault=_too_large(len(data)))
    return ReturnValue(data)


def kept_value(returned: ReturnValue, masker: Masker | None) -> KeptValue:
    """The value to store, with the secrets of `masker` masked. May be slow if there are any."""
    if returned.json is None:
        return KeptValue(None, returned.fault)
    if len(returned.json) > MOST_BYTES:
        return KeptValue(None, _too_large(len(returned.json)))
    try:
        value = json.loads(returned.json, parse_int=_whole, parse_constant=_no_number)
        pieces = list(_pieces(value, MOST_DEEP))
    except (ValueError, RecursionError) as error:
        fault = str(error) if isinstance(error, _UnkeptError) else "it is not JSON"
        return KeptValue(None, f"{_NOT_KEPT}{fault}.")
    return KeptValue(value if masker is None else _masked(value, pieces, masker))


class _UnkeptError(ValueError):
    """The message ends a sentence about the value."""


def _whole(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > _LARGEST:
        raise _UnkeptError("it has whole numbers of more than 64 bits")
    return int(digits)


def _no_number(name: str) -> float:
    raise _UnkeptError(f"it has {name}, which is no number in JSON")


def _pieces(value: Any, levels: int) -> Iterator[str]:
    """All texts and numbers in `value`, as text, in the order in which `_rebuilt` takes them back."""
    if levels < 0:
        raise _UnkeptError(f"it has more than {MOST_DEEP} levels")
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _pieces(each, levels - 1)
    elif isinstance(value, list):
        for each in value:
            yield from _pieces(each, levels - 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _masked(value: Any, pieces: list[str], masker: Masker) -> Any:
    joined = _BETWEEN.join(piece.encode("utf-8", "surrogatepass") for piece in pieces)
    shown = masker.whole(joined)
    if shown == joined:
        return value
    return _rebuilt(value, (piece.decode("utf-8", "replace") for piece in shown.split(_BETWEEN)))


def _rebuilt(value: Any, pieces: Iterator[str]) -> Any:
    """`value` with `pieces` in place of its texts, and a mask in place of numbers that have been changed."""
    if isinstance(value, dict):
        return {next(pieces): _rebuilt(each, pieces) for each in value.values()}
    if isinstance(value, list):
        return [_rebuilt(each, pieces) for each in value]
    if isinstance(value, str):
        return next(pieces)
    if isinstance(value, bool) or value is None:
        return value
    return value if next(pieces) == str(value) else MASK.decode()


def _too_large(size: int) -> str:
    return f"{_NOT_KEPT}it takes {size:,} bytes as JSON, and at most {MOST_BYTES:,} are kept."


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"

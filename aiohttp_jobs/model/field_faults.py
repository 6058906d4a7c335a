"""What is wrong with a field that pydantic has refused, in the words that people read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import field_error

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_SUBJECT = re.compile(r"^(?:[A-Z][A-Za-z ]*?) (?:should|must) ")
_OWN = re.compile(r"^(?:Value error|Assertion failed), ")
_IN_OUR_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not a field here; check its spelling",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "uuid_type": "must be a UUID, as text",
    "too_short": "must have at least {min_length} {unit}",
    "too_long": "must have at most {max_length} {unit}",
    "union_tag_not_found": "must have the field {discriminator}",
    "union_tag_invalid": "must have one of {expected_tags} as its {discriminator}",
}
"""By pydantic's type of error, with what it says of its limits; the others' own words are plain enough once
their subject is left out.
"""


def what_is_wrong(fault: ErrorDetails) -> str:
    """The end of a sentence that begins with the field's name, without its full stop.

    `fault` needs its input and its context, as ``ValidationError.errors`` has them.
    """
    limits = fault.get("ctx", {})
    if limits.get("min_length") == 1:
        return "must not be empty"
    unit = "characters" if isinstance(fault["input"], str) else "entries"
    with suppress(KeyError):  # of no type of ours, or of a host's own check with such a type
        return _IN_OUR_WORDS[fault["type"]].format_map({**limits, "unit": unit})
    return _SUBJECT.sub("must ", _OWN.sub("", fault["msg"]))


def details_of(faults: Iterable[ErrorDetails]) -> list[dict[str, Any]]:
    """An entry of an error's ``details`` for each of them; what is about all of a body names the ``body``."""
    return [field_error(".".join(map(str, fault["loc"])) or "body", what_is_wrong(fault)) for fault in faults]

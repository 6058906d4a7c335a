"""What is wrong with a field that pydantic has refused, in the words that people read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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
}
"""By pydantic's type of error; the others' own words are plain enough once their subject is left out."""


def what_is_wrong(fault: ErrorDetails) -> str:
    """The end of a sentence that begins with the field's name, without its full stop."""
    kind, limits = fault["type"], fault.get("ctx", {})
    if kind in _IN_OUR_WORDS or limits.get("min_length") == 1:
        return _IN_OUR_WORDS.get(kind, "must not be empty")
    match kind:
        case "too_short":
            return f"must have at least {limits['min_length']} {_unit(fault)}"
        case "too_long":
            return f"must have at most {limits['max_length']} {_unit(fault)}"
        case "union_tag_not_found":
            return f"must have the field {limits['discriminator']}"
        case "union_tag_invalid":
            return f"must have one of {limits['expected_tags']} as its {limits['discriminator']}"
        case _:
            return _SUBJECT.sub("must ", _OWN.sub("", fault["msg"]))


def _unit(fault: ErrorDetails) -> str:
    return "characters" if isinstance(fault["input"], str) else "entries"

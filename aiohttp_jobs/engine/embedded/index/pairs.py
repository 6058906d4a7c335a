"""Scripts that put no blanks between words, or endings onto them, made to be found by any part. Pure.

In the index each run of such characters is its overlapping pairs and its last character (``数据库`` is
``数据 据库 库``), so that a part of it is a phrase of pairs, and each character begins exactly one token.
"""

from __future__ import annotations

import re
from itertools import pairwise

RANGES = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd"  # Thai, Lao
    "\u1000-\u103f\u1100-\u11ff\u1780-\u17d3"  # Burmese, the letters of Korean syllables, Khmer
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3131-\u318e\u31f0-\u31ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f"  # Chinese, Korean
    "\U00020000-\U0003ffff"
)
"""The characters, as they stand in a regular expression between brackets."""
_RUN = re.compile(f"[{RANGES}]+")
_SIGNS = re.compile("[\ue000-\uf8ff\U0001f300-\U0001faff\U000f0000-\U0010fffd]")
"""Pictures and signs of fonts: FTS5 takes those it does not know, such as newer ones, for parts of words."""


def is_run(word: str) -> bool:
    """Whether `word`, one of those that `apart` gives, is a run of such characters."""
    return _RUN.match(word) is not None


def apart(text: str) -> str:
    """`text` with blanks around its runs."""
    return text if text.isascii() else _RUN.sub(lambda run: f" {run[0]} ", text)


def indexed(text: str) -> str:
    """`text` as it goes into the index."""
    if text.isascii():
        return text
    return _RUN.sub(lambda run: f" {pairs(run[0])} {run[0][-1]} ", _SIGNS.sub(" ", text))


def pairs(run: str) -> str:
    """The overlapping pairs of `run`, with blanks between them; none of a single character."""
    return " ".join(map("".join, pairwise(run)))

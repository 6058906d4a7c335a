"""Scripts without blanks between words (``model.scripts``), made to be found by any part. Pure.

In the index each run of such characters is its overlapping pairs and its last character (``数据库`` is
``数据 据库 库``), so that a part of it is a phrase of pairs, and each character begins exactly one token.
"""

from __future__ import annotations

import re
from itertools import pairwise

from ....model.scripts import RUN

_SIGNS = re.compile("[\ue000-\uf8ff\U0001f300-\U0001faff\U000f0000-\U0010fffd]")
"""Pictures and signs of fonts: FTS5 takes those it does not know, such as newer ones, for parts of words."""


def indexed(text: str) -> str:
    """`text` as it goes into the index."""
    if text.isascii():
        return text
    return RUN.sub(lambda run: f" {pairs(run[0])} {run[0][-1]} ", _SIGNS.sub(" ", text))


def pairs(run: str) -> str:
    """The overlapping pairs of `run`, with blanks between them; none of a single character."""
    return " ".join(map("".join, pairwise(run)))

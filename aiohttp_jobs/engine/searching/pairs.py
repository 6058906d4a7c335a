"""Scripts without blanks between words (``model.scripts``), made to be found by any part. Pure.

Each run of such characters becomes its overlapping pairs and its last character (``数据库`` is ``数据 据库
库``), so that a part of it is a phrase of pairs, and each character begins exactly one token.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from ...model.scripts import RUN

_SIGNS = re.compile("[\ue000-\uf8ff\U0001f300-\U0001faff\U000f0000-\U0010fffd]")
"""Pictures and signs of fonts: FTS5 takes those it does not know, such as newer ones, for parts of words."""
_GROUPS = "abcdefghijklmnop"


def paired(text: str) -> str:
    """`text` with each run as its pairs and its last character."""
    return _apart(text, pairs)


def indexed(text: str) -> str:
    """`text` as it goes into an index of results: as `paired`, but with `grouped_pairs`."""
    return _apart(text, grouped_pairs)


def _apart(text: str, pairs_of: Callable[[str], str]) -> str:
    if text.isascii():
        return text
    return RUN.sub(lambda run: f" {pairs_of(run[0])} {run[0][-1]} ", _SIGNS.sub(" ", text))


def pairs(run: str) -> str:
    """The overlapping pairs of `run`, with blanks between them; none of a single character."""
    return " ".join(map("".join, pairwise(run)))


def grouped_pairs(run: str) -> str:
    """The same with one of sixteen letters in place of each second character, which stands for many.

    A text has nearly as many different pairs as characters, most of them in few other texts: an index of
    them is as large as the text. Of these there are so few that an index of them takes two fifths of it.
    """
    return " ".join([first + _GROUPS[ord(second) % len(_GROUPS)] for first, second in pairwise(run)])

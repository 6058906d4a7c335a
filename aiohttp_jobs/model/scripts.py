"""Scripts without blanks between words, or with attached endings, such as Chinese, Thai and Korean. Pure."""

from __future__ import annotations

import re

RANGES = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd"  # Thai, Lao
    "\u1000-\u103f\u1100-\u11ff\u1780-\u17d3"  # Burmese, the letters of Korean syllables, Khmer
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3131-\u318e\u31f0-\u31ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f"  # Chinese, Korean
    "\U00020000-\U0003ffff"
)
"""The characters, as they stand in a regular expression between brackets."""
RUN = re.compile(f"[{RANGES}]+")
"""Such characters that follow each other."""


def is_run(word: str) -> bool:
    """Whether `word`, from `apart`, is a run of such characters."""
    return RUN.match(word) is not None


def apart(text: str) -> str:
    """`text` with blanks around its runs of such characters."""
    return text if text.isascii() else RUN.sub(lambda run: f" {run[0]} ", text)

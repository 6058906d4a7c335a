"""Progress, and the escape sequence with which any program can report it in its output. Pure.

It is what terminals know as OSC 9;4 (from ConEmu): ``ESC ] 9 ; 4 ; STATE ; PERCENT [; TEXT] BEL``. TEXT,
percent-encoded UTF-8, is this package's addition. Following an output is left to ``worker.output.log``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

MOST_TEXT = 200
"""Characters of a text; the rest is cut off."""
START = b"\x1b]9;4;"
LONGEST = 4096
"""Bytes of a sequence: what is longer is none."""
TAIL = 64 * 1024
"""Bytes at the end of an output in which whoever does not run the job looks for the last sequence."""
_SEQUENCE = re.compile(
    rb"\x1b\]9;4;(?P<state>[0-4])(?:;(?P<percent>[0-9]{1,3}(?:\.[0-9]{1,9})?)?(?:;(?P<text>[^\x07\x1b\n]*))?)?"
    rb"(?:\x07|\x1b\\)"
)
_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Progress:
    """The `share` of the work that is done, from 0 to 1 or ``None`` if unknown; `text` says what is done
    now.
    """

    share: float | None
    text: str = ""


def progress_sequence(progress: Progress | None) -> str:
    """The sequence that reports `progress`; ``None`` removes it."""
    if progress is None:
        return "\x1b]9;4;0;0\x07"
    text = one_line(progress.text)
    state, percent = (
        (3, "0") if progress.share is None else (1, f"{round(_within(progress.share) * 100, 2):g}")
    )
    encoded = quote(text, safe="", errors="replace") if text else ""
    return f"\x1b]9;4;{state};{percent}{';' if encoded else ''}{encoded}\x07"


def last_progress(output: bytes) -> tuple[Progress | None] | None:
    """The report in the last complete sequence in `output`, which may remove the progress; ``None`` if there
    is none.
    """
    end = len(output)
    while (at := output.rfind(START, 0, end)) >= 0:
        if (match := _SEQUENCE.match(output, at, at + LONGEST)) is not None:
            return (_meaning(match),)
        end = at
    return None


def one_line(text: str) -> str:
    """`text` as one short line without control characters."""
    return _NOT_SHOWN.sub(" ", text).strip()[:MOST_TEXT]


def _meaning(match: re.Match[bytes]) -> Progress | None:
    state, percent = match["state"], match["percent"]
    if state == b"0":
        return None
    share = None if state == b"3" else round(_within(float(percent or 0) / 100), 6)
    return Progress(share, one_line(unquote((match["text"] or b"").decode("utf-8", "replace"))))


def _within(share: float) -> float:
    """`share` between 0 and 1; what is no number is 0."""
    return min(1.0, share) if share > 0 else 0.0

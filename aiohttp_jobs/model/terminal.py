"""What a terminal shows of an output: progress bars overwritten, no colours, no titles.

A model of lines, not of a screen: a line feed makes a line final, so cursor movements up or down are ignored,
and a block of several bars that is redrawn follows the block before it. Each character takes one column.
`ui/assets/core/terminal.js` does the same for the page; `tests/cases/terminal.json` tests both.
"""

from __future__ import annotations

import re
from collections.abc import Callable

ROW = 4000
"""Columns of a row. A longer line goes on in further rows, and the cursor moves in the last of them."""
_FURTHEST = 256
_TAB = 8
_CONTROLS = "\x1b\r\b\x00\x07\x0e\x0f"
_DRAWS_NOTHING = dict.fromkeys(map(ord, "\x00\x07\x0e\x0f"))
_LINE_END = re.compile(r"(?<!\r)\r+(?![^\n])")
# What draws nothing and moves nothing as long as nothing else in the line does: most of what is printed.
_STILL = re.compile(r"\x1b(?:\[(?:[0-9;:]*m|0?K|\?[0-9;]*[hl])|\][^\x07\x1b\n]*\x07?|\\|[()*+][0-~])")
_TOKEN = re.compile(
    r"([^\t\x00\x07\x08\x0e\x0f\r\x1b]+)"
    r"|\x1b\[([0-9;:]*)([@CDEFGHJKPX`afsu])"
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"  # of no effect on the text of a line
    # OSC, then DCS, SOS, PM and APC; the "ESC \" at their end is a sequence of its own
    r"|\x1b\][^\x07\x1b\n]*\x07?|\x1b[PX^_][^\x1b\n]*"
    r"|\x1b[ -/]+[0-~]?|\x1b[0-~]?|[\t\x00\x07\x08\x0e\x0f\r]"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[ -/]*)\Z")
_UNFINISHED_TEXT = re.compile(r"(\x1b(?:\](?!.*\x07)|[PX^_]))[^\x1b\n]*\Z")
_LONGEST_SEQUENCE = 256


def as_seen(text: str) -> str:
    """`text` as a terminal shows it, with the same number of line feeds."""
    if not _has_controls(text):
        return text
    terminal = Terminal()
    return terminal.write(text) + terminal.end()


def tail_as_seen(text: str, most: int) -> str:
    """The last `most` characters of `text` as a terminal shows it; only as many lines as needed are
    processed.
    """
    lines: list[str] = []
    size, end = 0, len(text)
    while end > 0 and size < most:
        start = text.rfind("\n", 0, end - 1) + 1
        lines.append(as_seen(text[start:end]))
        size, end = size + len(lines[-1]), start
    return "".join(reversed(lines))[-most:]


class Terminal:
    """Processes text in pieces and returns what is final. Buffers one row, however long the line is."""

    def __init__(self) -> None:
        self._unfinished = ""
        self._final: list[str] = []
        self._row: list[str] = []
        self._column = self._saved = 0
        self._is_drawn_over = self._has_tabs = False

    def write(self, text: str) -> str:
        """The lines that `text` completes, with their line feeds; of a long line, its full rows."""
        text = self._whole_sequences(self._unfinished + text)
        end = text.rfind("\n") + 1
        lines, last = text[:end], text[end:]
        if not self._has_begun and (seen := _without_still(lines)) is not None:
            self._final.append(seen)
        else:
            self._write_lines(lines)
        self._draw(last)
        final, self._final = "".join(self._final), []
        return final

    def end(self) -> str:
        """The current, incomplete line as it is shown now. The next piece starts a new line."""
        text = self._row_text()
        self._unfinished = ""
        self._clear_row()
        return text

    @property
    def _has_begun(self) -> bool:
        return bool(self._row or self._column or self._saved or self._is_drawn_over)

    def _write_lines(self, text: str) -> None:
        for line in text.split("\n")[:-1]:
            seen = None if self._has_begun else _without_still(line)
            if seen is None:
                self._draw(line)
                seen = self._row_text()
                self._clear_row()
            self._final += (seen, "\n")

    def _whole_sequences(self, text: str) -> str:
        """`text` without the beginning of a sequence at its end, which is kept for the next piece."""
        self._unfinished = ""
        at = text.rfind("\x1b")
        if at < 0:
            return text
        if (begun := _UNFINISHED.match(text, at)) is not None:
            self._unfinished = begun[0][:_LONGEST_SEQUENCE]
        elif (begun := _UNFINISHED_TEXT.match(text, at)) is not None:
            self._unfinished = begun[1]
        return text[:at] if begun is not None else text

    def _draw(self, text: str) -> None:
        for token in _TOKEN.finditer(text):
            plain, numbers, final = token.groups()
            if plain is not None:
                self._put(plain)
            elif final is not None:
                _SEQUENCES[final](self, numbers)
            elif (obey := _CHARACTERS.get(token[0])) is not None:
                obey(self)

    def _put(self, text: str) -> None:
        start = 0
        while start < len(text):
            part = text[start : start + ROW - self._column]
            start += len(part)
            if len(part) == ROW and not self._has_begun:
                self._final.append(part)
                self._clear_row()
                continue
            if self._column < len(self._row):
                self._draw_over()
            self._row += " " * (self._column - len(self._row))
            self._row[self._column : self._column + len(part)] = part
            self._column += len(part)
            if self._column == ROW:
                self._final.append(self._row_text())
                self._clear_row()

    def _draw_over(self) -> None:
        """What is drawn over has no tabs left in it, but the blanks that they were."""
        self._is_drawn_over = True
        if self._has_tabs:
            self._row = [" " if cell in ("\t", "") else cell for cell in self._row]
            self._has_tabs = False

    def _row_text(self) -> str:
        text = "".join(self._row)
        return text.rstrip(" ") if self._is_drawn_over else text

    def _clear_row(self) -> None:
        self._row = []
        self._column = self._saved = 0
        self._is_drawn_over = self._has_tabs = False

    # --- what is obeyed

    def _go_to(self, column: int) -> None:
        self._column = max(0, min(column, max(len(self._row), _FURTHEST)))

    def _tab(self) -> None:
        width = min(_TAB - self._column % _TAB, ROW - 1 - self._column)
        if width and self._column == len(self._row):
            self._row += ["\t", *[""] * (width - 1)]
            self._has_tabs = True
        self._column += width

    def _save(self) -> None:
        self._saved = self._column

    def _erase(self, numbers: str) -> None:
        way = _number(numbers, 0)
        if way == 0 and self._column >= len(self._row):
            return
        self._draw_over()
        if way == 0:
            del self._row[self._column :]
        elif way == 1:
            count = min(self._column + 1, len(self._row))
            self._row[:count] = " " * count
        else:
            self._row.clear()

    def _replace(self, count: int, by: str) -> None:
        """Exchange `count` characters from the cursor on, if there are any."""
        if self._column < len(self._row):
            self._draw_over()
            self._row[self._column : self._column + count] = by
            del self._row[ROW:]

    def _blank(self, numbers: str) -> None:
        count = min(_number(numbers, 1), len(self._row) - self._column)
        self._replace(count, " " * count)


def _without_still(lines: str) -> str | None:
    """What is seen of lines in which nothing moves; ``None`` when something may."""
    seen = _STILL.sub("", lines) if "\x1b" in lines else lines
    if "\r" in seen:
        seen = _LINE_END.sub("", seen.replace("\r\n", "\n"))
    if _has_controls(seen):
        seen = seen.translate(_DRAWS_NOTHING)
    return None if _has_controls(seen) else seen


def _has_controls(text: str) -> bool:
    return any(control in text for control in _CONTROLS)


def _number(numbers: str, otherwise: int, place: int = 0) -> int:
    """The number at `place` in a sequence; where there is none, and for 0 in place of 1, `otherwise`."""
    parts = numbers.split(";")
    found = parts[place].partition(":")[0] if place < len(parts) else ""
    return min(int(found[-9:]), ROW) or otherwise if found else otherwise


_CHARACTERS: dict[str, Callable[[Terminal], None]] = {
    "\r": lambda self: self._go_to(0),
    "\b": lambda self: self._go_to(self._column - 1),
    "\t": Terminal._tab,
    "\x1b7": Terminal._save,
    "\x1b8": lambda self: self._go_to(self._saved),
    "\x1bE": lambda self: self._go_to(0),
    "\x1bc": lambda self: self._clear_row(),
}
_SEQUENCES: dict[str, Callable[[Terminal, str], None]] = {
    "C": lambda self, numbers: self._go_to(self._column + _number(numbers, 1)),
    "D": lambda self, numbers: self._go_to(self._column - _number(numbers, 1)),
    "G": lambda self, numbers: self._go_to(_number(numbers, 1) - 1),
    "H": lambda self, numbers: self._go_to(_number(numbers, 1, 1) - 1),
    "E": lambda self, numbers: self._go_to(0),
    "s": lambda self, numbers: self._save(),
    "u": lambda self, numbers: self._go_to(self._saved),
    "J": Terminal._erase,
    "X": Terminal._blank,
    "P": lambda self, numbers: self._replace(_number(numbers, 1), ""),
    "@": lambda self, numbers: self._replace(0, " " * _number(numbers, 1)),
}
_SEQUENCES |= {"a": _SEQUENCES["C"], "`": _SEQUENCES["G"], "f": _SEQUENCES["H"], "F": _SEQUENCES["E"]}
_SEQUENCES["K"] = _SEQUENCES["J"]

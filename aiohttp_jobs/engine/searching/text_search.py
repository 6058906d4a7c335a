"""How FTS5 takes text apart, and whether texts that are no part of the index have what is looked for."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from types import TracebackType
from typing import Self

from .pairs import paired

OWNER_MARK = "\x1f"
"""The first character of a word that says whose a result is: no text that can be searched has it."""
TOKENIZER = (
    "tokenize = \"unicode61 remove_diacritics 2 categories 'L* N* M*' tokenchars '_" + OWNER_MARK + "'\""
)
"""The option of a table of FTS5. Marks (M) are parts of words: Thai and Hindi ones would fall apart there."""

_PLAIN = re.compile(r"[\t\n\r -~\x1f]{0,10000}")
"""Of such characters, and in so short a text that no word is too long for FTS5, the words are found here."""
_PLAIN_WORD = re.compile(r"[0-9a-z_\x1f]+")


def tokens(text: str) -> list[str]:
    """The words of `text` as FTS5 sees them, in their order."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(f"CREATE VIRTUAL TABLE texts USING fts5 (text, content = '', {TOKENIZER})")
        connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab (texts, instance)")
        connection.execute("INSERT INTO texts (rowid, text) VALUES (1, ?)", (text,))
        found = connection.execute("SELECT term FROM words ORDER BY offset").fetchall()
    return [term for (term,) in found if term]


def distinct_words(text: str) -> list[str]:
    """The words of `text` as FTS5 sees them, each once."""
    if _PLAIN.fullmatch(text):
        return sorted(set(_PLAIN_WORD.findall(text.lower())))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(
            "CREATE VIRTUAL TABLE texts USING fts5"
            f" (text, content = '', columnsize = 0, detail = none, {TOKENIZER})"
        )
        connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab (texts, row)")
        connection.execute("INSERT INTO texts (rowid, text) VALUES (1, ?)", (text,))
        return [term for (term,) in connection.execute("SELECT term FROM words") if term]


class TextSearch:
    """Looks for the FTS5 expression `wanted` in texts, one at a time. For one thread; blocks."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute(
            "CREATE VIRTUAL TABLE texts USING fts5"
            f" (first, second, third, content = '', columnsize = 0, {TOKENIZER})"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def finds(self, texts: Sequence[str]) -> bool:
        """Whether three texts, taken together, have it; a phrase must be in one of them."""
        self._connection.execute("BEGIN")
        try:
            self._connection.execute(
                "INSERT INTO texts (rowid, first, second, third) VALUES (1, ?, ?, ?)",
                tuple(map(paired, texts)),
            )
            query = "SELECT 1 FROM texts WHERE texts MATCH ?"
            return self._connection.execute(query, (self._wanted,)).fetchone() is not None
        finally:
            self._connection.execute("ROLLBACK")

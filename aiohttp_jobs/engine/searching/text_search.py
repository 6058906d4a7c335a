"""Splits text into words as FTS5 does, and matches texts that are not in an index."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from types import TracebackType
from typing import Self

from .pairs import paired

OWNER_MARK = "\x1f"
"""The first character of the word that names a result's owner. No searchable text contains it."""
TOKENIZER = (
    "tokenize = \"unicode61 remove_diacritics 2 categories 'L* N* M*' tokenchars '_" + OWNER_MARK + "'\""
)
"""The option of an FTS5 table. Marks (M) are parts of words, or Thai and Hindi words would fall apart."""

_PLAIN = re.compile(r"[\t\n\r -~\x1f]{0,10000}")
"""Texts whose words are found without FTS5: too short for a word that FTS5 would cut off."""
_PLAIN_WORD = re.compile(r"[0-9a-z_\x1f]+")


def tokens(text: str) -> list[str]:
    """The words of `text` in their order, as FTS5 splits it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(f"CREATE VIRTUAL TABLE texts USING fts5 (text, content = '', {TOKENIZER})")
        connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab (texts, instance)")
        connection.execute("INSERT INTO texts (rowid, text) VALUES (1, ?)", (text,))
        found = connection.execute("SELECT term FROM words ORDER BY offset").fetchall()
    return [term for (term,) in found if term]


def distinct_words(text: str) -> list[str]:
    """The different words of `text`, as FTS5 splits it."""
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
    """Matches texts with the FTS5 expression `wanted`. For one thread; blocks."""

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
        """Whether the three `texts` together match. A phrase must be within one of them."""
        return bool(self.among([texts]))

    def among(self, results: Iterable[Sequence[str]]) -> set[int]:
        """The numbers, from 0, of those `results` whose three texts together match, as `finds` says."""
        self._connection.execute("BEGIN")
        try:
            self._connection.executemany(
                "INSERT INTO texts (rowid, first, second, third) VALUES (?, ?, ?, ?)",
                ((number, *map(paired, texts)) for number, texts in enumerate(results)),
            )
            query = "SELECT rowid FROM texts WHERE texts MATCH ?"
            return {number for (number,) in self._connection.execute(query, (self._wanted,))}
        finally:
            self._connection.execute("ROLLBACK")

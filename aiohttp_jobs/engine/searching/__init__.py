"""What the engines' searches for results share: words, cursors, snippets. Imports no engine."""

from .cursors import Key, read_cursor, write_cursor
from .entries import (
    IndexEntry,
    abridged,
    entry_of,
    first_id,
    ids_instead,
    ids_of_moment,
    indexed_text,
    microseconds,
    searched_texts,
)
from .ids import id_bytes, id_text
from .terms import Word, all_exact, candidate_words, phrases, snippet
from .text_search import OWNER_MARK, TOKENIZER, TextSearch, distinct_words

__all__ = [
    "OWNER_MARK",
    "TOKENIZER",
    "IndexEntry",
    "Key",
    "TextSearch",
    "Word",
    "abridged",
    "all_exact",
    "candidate_words",
    "distinct_words",
    "entry_of",
    "first_id",
    "id_bytes",
    "id_text",
    "ids_instead",
    "ids_of_moment",
    "indexed_text",
    "microseconds",
    "phrases",
    "read_cursor",
    "searched_texts",
    "snippet",
    "write_cursor",
]

"""The results index: SQLite, derived from the result files, which remain the truth."""

from .cursors import read_cursor, write_cursor
from .entries import IndexEntry, abridged, entry_of, searched_texts
from .index import ResultIndex
from .query import Key
from .reconcile import Reconciler
from .searching import is_exact, phrases, snippet
from .text_search import TextSearch

__all__ = [
    "IndexEntry",
    "Key",
    "Reconciler",
    "ResultIndex",
    "TextSearch",
    "abridged",
    "entry_of",
    "is_exact",
    "phrases",
    "read_cursor",
    "searched_texts",
    "snippet",
    "write_cursor",
]

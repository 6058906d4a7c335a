"""The results index: SQLite, derived from the result files, which remain the truth."""

from .cursors import BadCursorError, read_cursor, write_cursor
from .entries import IndexEntry, abridged, entry_of, searched_texts
from .expiry import RetentionRules
from .index import ResultIndex, TooSlowError
from .query import Key, ResultFilter, Sort
from .reconcile import Reconciler
from .searching import Term, parse_search, phrases, snippet
from .statistics import Bucket, StatsFilter
from .text_search import TextSearch

__all__ = [
    "BadCursorError",
    "Bucket",
    "IndexEntry",
    "Key",
    "Reconciler",
    "ResultFilter",
    "ResultIndex",
    "RetentionRules",
    "Sort",
    "StatsFilter",
    "Term",
    "TextSearch",
    "TooSlowError",
    "abridged",
    "entry_of",
    "parse_search",
    "phrases",
    "read_cursor",
    "searched_texts",
    "snippet",
    "write_cursor",
]

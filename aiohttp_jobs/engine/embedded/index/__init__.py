"""The search index of results, in SQLite. It is derived from the result files, which are authoritative."""

from .index import ResultIndex
from .reconcile import Reconciler

__all__ = ["Reconciler", "ResultIndex"]

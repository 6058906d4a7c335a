"""The results index: SQLite, derived from the result files, which remain the truth."""

from .index import ResultIndex
from .reconcile import Reconciler

__all__ = ["Reconciler", "ResultIndex"]

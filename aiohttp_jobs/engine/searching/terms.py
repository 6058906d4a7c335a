"""Search terms (``model.search``) as index words, and their places for snippets. Pure.

The indexes of results do not store word positions, so a result that has all words of a phrase is checked once
more, with the FTS5 query from `phrases`. FTS5's query syntax is never exposed: every word is quoted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from ...model.scripts import RANGES, is_run
from ...model.search import Term
from .pairs import grouped_pairs, indexed, paired, pairs
from .text_search import tokens

_MOST_CANDIDATE_WORDS = 64
_AROUND = 80
_LETTER = rf"[^\W{RANGES}]"


class Word(NamedTuple):
    """A word as the index stores it, or the beginning of one. `text` is never empty."""

    text: str
    is_beginning: bool = False


@lru_cache(64)
def words_of(term: Term) -> tuple[Word, ...]:
    """The words that a text must have to contain the term, as FTS5 tokenizes them."""
    # Kept, as a page asks several times, and each opens a database in memory if the text is not ASCII.
    text = " ".join(_taken_apart(term, indexed, grouped_pairs))
    words = (text.lower().split() if text.isascii() else tokens(text)) or [""]
    return (*map(Word, words[:-1]), Word(words[-1], _is_beginning(term)))


def all_exact(terms: Sequence[Term]) -> bool:
    """Whether every result with the words of `terms` also has the terms."""
    return all(map(is_exact, terms))


def is_exact(term: Term) -> bool:
    """Whether every result with the words of this term also has the term."""
    is_one_word = len(_taken_apart(term, paired, pairs)) == len(words_of(term)) == 1
    return is_one_word and (len(term.text) == 1 or not is_run(term.text))


def _expression(term: Term) -> str:
    """For a table of FTS5 that knows the places of words, and has texts as they are `paired`."""
    words = " ".join(_taken_apart(term, paired, pairs))
    return f'"{words}"' + (" *" if _is_beginning(term) else "")


def _taken_apart(term: Term, whole: Callable[[str], str], open_end: Callable[[str], str]) -> list[str]:
    """The words of `term`: its last, if that is a run, by `open_end`, and all others by `whole`."""
    *before, last = term.text.split()
    # What something follows has ended: its last character is there too, and not only pairs.
    words = [*map(whole, before), open_end(last) if is_run(last) and len(last) > 1 else last]
    return " ".join(words).split()


def _is_beginning(term: Term) -> bool:
    last = term.text.split()[-1]
    return term.prefix or (is_run(last) and len(last) == 1)


def candidate_words(terms: Sequence[Term]) -> list[Word]:
    """Words that all results with the terms have, and also some others unless each term is exact."""
    return list(dict.fromkeys(word for term in terms for word in words_of(term)))[:_MOST_CANDIDATE_WORDS]


def phrases(terms: Sequence[Term]) -> str:
    """The FTS5 query for all terms, for a table that stores word positions."""
    return " AND ".join(_expression(term) for term in terms)


def snippet(terms: Sequence[Term], texts: Sequence[str]) -> str | None:
    """A line of plain text around the first match in `texts`."""
    for text in texts:
        for find_in in (text,) if _has_no_marks(text) else (text, _without_marks(text)):
            for term in terms:
                match = _pattern(term).search(find_in)
                if match is not None:
                    return _line(text, match.start(), match.end())
    return None


def _line(text: str, start: int, end: int) -> str:
    first, last = max(0, start - _AROUND), min(len(text), min(end, start + _AROUND) + _AROUND)
    line = " ".join(text[first:last].split())
    return f"{'…' if first else ''}{line}{'…' if last < len(text) else ''}"


@lru_cache(64)
def _pattern(term: Term) -> re.Pattern[str]:
    words = term.text.split()
    parts = [re.escape(words[0])]
    for before, word in pairwise(words):
        # A run needs no blank beside it.
        parts += (r"\W+" if is_run(before) == is_run(word) else r"\W*", re.escape(word))
    start = "" if is_run(words[0]) else f"(?<!{_LETTER})"
    end = "" if term.prefix or is_run(words[-1]) else f"(?!{_LETTER})"
    return re.compile(f"{start}{''.join(parts)}{end}", re.IGNORECASE)


def _has_no_marks(text: str) -> bool:
    return text.isascii() or unicodedata.is_normalized("NFD", text)


def _without_marks(text: str) -> str:
    """The same letters without accents, one for one."""
    return "".join(unicodedata.normalize("NFD", character)[0] for character in text)

"""What a user types into the search box: turned into expressions for FTS5, and found again for snippets.

It is never read as FTS5's own syntax: every word is quoted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .pairs import RANGES, apart, indexed, is_run, pairs
from .text_search import OWNER_MARK, tokens

MOST_WORDS = 32
_MOST_CANDIDATE_WORDS = 64
LEAST_PREFIX = 3
_AROUND = 80
_LETTER = rf"[^\W{RANGES}]"


@dataclass(frozen=True, slots=True)
class Term:
    """A word or a phrase that must be there; with `prefix`, its last word may go on.

    The words of `text` have blanks between them; a run of Chinese, Thai and the like (`pairs`) is one word.
    """

    text: str
    prefix: bool = False

    @property
    def expression(self) -> str:
        """For a table of FTS5 that knows the places of words."""
        return f'"{" ".join(self._indexed)}"' + (" *" if self._is_beginning else "")

    @property
    def words(self) -> tuple[str, ...]:
        """Expressions for a table of FTS5 that knows no places: each is one word, and all must be there."""
        text = " ".join(self._indexed)
        words = text.split() if text.isascii() else tokens(text)
        quoted = [f'"{word}"' for word in words or [""]]
        return (*quoted[:-1], quoted[-1] + (" *" if self._is_beginning else ""))

    @property
    def is_exact(self) -> bool:
        """Whether every result that has its words has the term."""
        return len(self._indexed) == len(self.words) == 1

    @property
    def _indexed(self) -> list[str]:
        """Its words as they are in the index."""
        *before, last = self.text.split()
        # What something follows has ended: its last character is there too, and not only pairs.
        words = [*map(indexed, before), pairs(last) if is_run(last) and len(last) > 1 else last]
        return " ".join(words).split()

    @property
    def _is_beginning(self) -> bool:
        last = self.text.split()[-1]
        return self.prefix or (is_run(last) and len(last) == 1)


def parse_search(text: str) -> tuple[Term, ...]:
    """The terms of `text`: words, ``"phrases in quotes"``, ``beginnings*``.

    Raises ``ValueError``, with what a person should change, when there is nothing to look for.
    """
    terms: list[Term] = []
    for phrase, word, star in re.findall(r'"([^"]*)"|([^\s"*]+)(\*?)', text.replace("\0", " ")):
        words = _tokens(phrase or word)
        if not words:
            continue
        prefix = bool(star) and not is_run(words[-1])  # a run may always go on
        if prefix and len(words[-1]) < LEAST_PREFIX:
            raise ValueError(f"needs at least {LEAST_PREFIX} letters before a '*'")
        terms.append(Term(" ".join(words), prefix))
    if not terms:
        raise ValueError("must hold a word or a number to look for")
    if sum(len(term.text.split()) for term in terms) > MOST_WORDS:
        raise ValueError(f"must not have more than {MOST_WORDS} words")
    return tuple(terms)


def candidates(terms: Sequence[Term], owner: int | None) -> str:
    """For ``search MATCH``: the words of `terms`, in what belongs to the user with the key `owner` if given.

    All results that have the terms have these, and some others where a term is not exact.
    """
    words = list(dict.fromkeys(word for term in terms for word in term.words))[:_MOST_CANDIDATE_WORDS]
    return " AND ".join(words if owner is None else [f'"{OWNER_MARK}{owner}"', *words])


def phrases(terms: Sequence[Term]) -> str:
    """For a table of FTS5 that knows the places of words: every term."""
    return " AND ".join(term.expression for term in terms)


def snippet(terms: Sequence[Term], texts: Sequence[str]) -> str | None:
    """A line of plain text around the first place in `texts`, in their order, that has a term."""
    for text in texts:
        for find_in in (text,) if text.isascii() else (text, _without_marks(text)):
            for term in terms:
                match = _pattern(term).search(find_in)
                if match is not None:
                    return _line(text, match.start(), match.end())
    return None


def _line(text: str, start: int, end: int) -> str:
    first, last = max(0, start - _AROUND), min(len(text), min(end, start + _AROUND) + _AROUND)
    line = " ".join(text[first:last].split())
    return f"{'…' if first else ''}{line}{'…' if last < len(text) else ''}"


def _pattern(term: Term) -> re.Pattern[str]:
    words = term.text.split()
    parts = [re.escape(words[0])]
    for before, word in pairwise(words):
        # A run needs no blank beside it.
        parts += (r"\W+" if is_run(before) == is_run(word) else r"\W*", re.escape(word))
    start = "" if is_run(words[0]) else f"(?<!{_LETTER})"
    end = "" if term.prefix or is_run(words[-1]) else f"(?!{_LETTER})"
    return re.compile(f"{start}{''.join(parts)}{end}", re.IGNORECASE)


def _without_marks(text: str) -> str:
    """The same letters without accents, one for one."""
    return "".join(unicodedata.normalize("NFD", character)[0] for character in text)


def _tokens(text: str) -> list[str]:
    """As FTS5's tokenizer sees them: what is neither letter, number nor underscore parts words."""
    kept = (character if _is_part_of_word(character) else " " for character in text)
    return apart("".join(kept)).split()


def _is_part_of_word(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character == "_"
    # Marks are part of the letter before them; lone surrogates can be in no text that is kept.
    return unicodedata.category(character)[0] in "LNM"

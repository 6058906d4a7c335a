"""Parses search queries: words, phrases and prefixes. The engines search."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from .scripts import apart, is_run

MOST_WORDS = 32
LEAST_PREFIX = 3


@dataclass(frozen=True, slots=True)
class Term:
    """A word or a phrase to be found. With `prefix`, its last word may continue.

    The words of `text` are separated by blanks; a run of Chinese, Thai and so on is one word.
    """

    text: str
    prefix: bool = False


def parse_search(text: str) -> tuple[Term, ...]:
    """The terms of `text`: words, ``"phrases in quotes"``, ``prefixes*``.

    Raises ``ValueError``, with what to change, when there is nothing to search for.
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


def _tokens(text: str) -> list[str]:
    """As FTS5's tokenizer sees them: what is neither letter, number nor underscore parts words."""
    kept = (character if _is_part_of_word(character) else " " for character in text)
    return apart("".join(kept)).split()


def _is_part_of_word(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character == "_"
    # Marks are part of the letter before them; lone surrogates can be in no text that is kept.
    return unicodedata.category(character)[0] in "LNM"

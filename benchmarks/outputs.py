"""Outputs such as jobs have, made up: prose, logs, coloured logs, Chinese; from 100 bytes to 300 KB.

Words are as frequent as in languages (Zipf), and lines of logs have times and ids that are in no other line.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from itertools import accumulate, pairwise

_SMALLEST, _LARGEST = 100, 300_000
_WORDS = 20_000
_LINES = 5_000
_CHARACTERS = [chr(0x4E00 + 5 * number) for number in range(3500)]
_CONSONANTS, _VOWELS, _ENDS = "bcdfghjklmnprstvw", "aeiou", ("", "", "n", "r", "s", "t")
_COLOURS = {"INFO": "32", "WARN": "33", "ERROR": "1;31", "DEBUG": "2"}


def size(chosen: random.Random) -> int:
    """Bytes of an output: as many between 1 and 10 KB as between 10 and 100 KB."""
    return int(_SMALLEST * (_LARGEST / _SMALLEST) ** chosen.random())


def prose(chosen: random.Random, most: int) -> str:
    """About `most` bytes of something like English."""
    words = chosen.choices(_vocabulary(), cum_weights=_weights(), k=most // 6 + 1)
    return " ".join(words)[:most]


def log(chosen: random.Random, most: int) -> str:
    """About `most` bytes of lines with a time, a level, words and an id."""
    return _log(chosen, most, lambda level: level)


def coloured(chosen: random.Random, most: int) -> str:
    """The same with the codes that colour the level."""
    return _log(chosen, most, lambda level: f"\x1b[{_COLOURS[level]}m{level}\x1b[0m")


def chinese(chosen: random.Random, most: int) -> str:
    """About `most` bytes of words of one to four characters, without blanks."""
    words = chosen.choices(_chinese_vocabulary(), cum_weights=_weights(), k=most // 8 + 1)
    text = "".join(words)[: most // 3]
    return "。\n".join(text[start : start + 30] for start in range(0, len(text), 30))


KINDS: dict[str, Callable[[random.Random, int], str]] = {
    "English": prose,
    "log lines": log,
    "coloured log lines": coloured,
    "Chinese": chinese,
}
_SHARES = [25, 45, 20, 10]


def any_kind(chosen: random.Random, most: int) -> str:
    """One of `KINDS`; mostly logs."""
    return chosen.choices(list(KINDS.values()), _SHARES)[0](chosen, most)


def _log(chosen: random.Random, most: int, level: Callable[[str], str]) -> str:
    lines: list[str] = []
    length, second = 0, chosen.randrange(86_400)
    bodies, levels = _bodies(), [(level(name), name) for name in _COLOURS]
    digits = chosen.randbytes(6 * (most // 100 + 1)).hex()
    while length < most:
        second += 1
        clock = f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02},{len(lines) % 1000:03}"
        shown = levels[second * 7 % 13 % 4][0]
        start = 12 * len(lines) % max(1, len(digits) - 12)
        lines.append(f"2026-03-01 {clock} {shown} {chosen.choice(bodies)} id={digits[start : start + 12]}")
        length += len(lines[-1]) + 1
    return "\n".join(lines)[:most]


@cache
def _vocabulary() -> list[str]:
    chosen = random.Random(1)
    syllables = [a + b + c for a in _CONSONANTS for b in _VOWELS for c in _ENDS]
    words = {"".join(chosen.choices(syllables, k=chosen.randint(1, 4))) for _ in range(2 * _WORDS)}
    ordered = sorted(words)
    chosen.shuffle(ordered)
    return ordered[:_WORDS]


@cache
def _chinese_vocabulary() -> list[str]:
    chosen = random.Random(2)
    return ["".join(chosen.choices(_CHARACTERS, k=chosen.choice((1, 2, 2, 2, 3, 4)))) for _ in range(_WORDS)]


@cache
def _weights() -> list[float]:
    return list(accumulate(1 / (rank + 3) for rank in range(_WORDS)))


@cache
def _bodies() -> list[str]:
    """What lines of logs say, beside what differs in each."""
    chosen = random.Random(3)
    places = [f"[{first}.{second}]" for first, second in pairwise(_vocabulary()[:500])]
    return [
        f"{chosen.choice(places)} {prose(chosen, 50)} took {chosen.randrange(5000)} ms" for _ in range(_LINES)
    ]

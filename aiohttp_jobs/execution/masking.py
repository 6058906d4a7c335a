"""Keeps secret values out of an output: each occurrence is replaced as it passes, whatever the chunks.

Bytes that could be the start of a secret are held back until what follows decides, or the output
ends. They are never let go after a while: the rest of the secret may come later still.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Collection, Iterator
from urllib.parse import quote, quote_plus

MASK = b"********"
LEAST_LENGTH = 4
"""Characters: anything shorter would be masked all over an output, and told by that."""


class Masker:
    """Masks `secrets` in a stream of bytes: as they are, line by line, and in the common encodings.

    Encodings are base64 (also within a longer text that was encoded), URL, JSON, and Python and shell
    quoting. What a job does beyond that to a secret (reversing it, printing it in halves) is not seen.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        # One that contains another needs no look of its own, but may show only later that it is one.
        self._forms = sorted(forms, key=len, reverse=True)
        self._has_ended = False
        self._held = b""
        self._masked = 0  # so many of the held bytes belong to a secret whose mask is out already

    def feed(self, data: bytes) -> bytes:
        """What of the output so far can be shown after `data` has come."""
        if self._has_ended:
            return b""
        return self._advance(data, final=False)

    def end(self) -> bytes:
        """The rest. What follows all the same is not shown any more, as the secrets are forgotten by then."""
        rest = self._advance(b"", final=True)
        self._forms, self._has_ended = [], True
        return rest

    def _advance(self, data: bytes, *, final: bool) -> bytes:
        text = self._held + data
        stop = len(text) if final else self._undecided(text)
        shown = bytearray()
        position = self._masked
        for start, end in self._found(text):
            if start >= stop:
                break
            if start >= position:
                shown += text[position:start] + MASK
            position = max(position, end)
        shown += text[position:stop]
        self._held, self._masked = text[stop:], max(0, position - stop)
        return bytes(shown)

    def _found(self, text: bytes) -> list[tuple[int, int]]:
        """Where the forms occur in `text`, overlapping ones too, by their start."""
        found: list[tuple[int, int]] = []
        for form in self._forms:
            start = text.find(form)
            while start >= 0:
                found.append((start, start + len(form)))
                start = text.find(form, start + 1)
        return sorted(found)

    def _undecided(self, text: bytes) -> int:
        """Where the longest end of `text` starts that is the beginning of a form."""
        first = len(text)
        for form in self._forms:
            start = text.find(form[:1], max(0, len(text) - len(form) + 1), first)
            while start >= 0:
                if form.startswith(text[start:]):
                    first = start
                    break
                start = text.find(form[:1], start + 1, first)
        return first


def _forms(secret: str) -> Iterator[bytes]:
    for part in {secret, secret.strip(), *secret.splitlines()}:
        quoted = {
            part,
            part.strip(),
            json.dumps(part)[1:-1],
            json.dumps(part, ensure_ascii=False)[1:-1],
            repr(part)[1:-1],
            quote(part),
            quote(part, safe=""),
            quote_plus(part),
            shlex.quote(part).removeprefix("'").removesuffix("'"),
            part.replace("'", "'\\''"),
        }
        if len(part) >= LEAST_LENGTH:
            yield from (form.encode() for form in quoted if len(form) >= LEAST_LENGTH)
            yield from _base64_forms(part.encode())


def _base64_forms(secret: bytes) -> Iterator[bytes]:
    """The characters that encode `secret` and nothing else, wherever it lies in what is encoded."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret)
        first = (before * 8 + 5) // 6
        last = (before + len(secret)) * 8 // 6
        for form in (encoded[first:last], encoded[first:last].translate(bytes.maketrans(b"+/", b"-_"))):
            if len(form) >= LEAST_LENGTH:
                yield form

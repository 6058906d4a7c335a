"""The encodings in which programs print a text: quoted for a shell, in JSON, in a URL, in base64. Pure.

``masking`` finds them in an output.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Callable, Collection, Iterator
from urllib.parse import quote, quote_plus

from ...model.parameters import LEAST_SECRET_LENGTH
from ...system.one_by_one import pausing

_LEAST_WRAPPED = 12
_BASE64_URL = bytes.maketrans(b"+/", b"-_")

_BASH_ESCAPED = frozenset(" \t'\"`$&;()<>|\\!{}*[?]^,")
"""What ``printf %q`` of bash puts a backslash before, wherever it is; ``#`` and ``~`` only in some places."""
_ANSI_C = {
    "\a": "\\a", "\b": "\\b", "\x1b": "\\E", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", "'": "\\'",
}  # fmt: skip
_JSON_OWN = {"\\": "\\\\", '"': '\\"', "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JSON_DIALECTS: tuple[tuple[str, bool, bool], ...] = (
    # characters that are escaped by number, whether all beyond ASCII are, and in upper case
    ("", False, False),  # JSON.stringify, jq, Python with ensure_ascii=False
    ("\x7f", True, False),  # Python, PHP
    ("<>&\u2028\u2029", False, False),  # Go, Rails
    ("<>&='\u2028\u2029", False, False),  # Gson
    ("<>&'", True, False),  # Windows PowerShell
    ("<>&'\"", True, True),  # PHP with JSON_HEX_*
    ("<>&'\"+`\x7f", True, True),  # System.Text.Json
)


def encoded_forms(secrets: Collection[str]) -> set[bytes]:
    """The encoded forms of `secrets`, and of each of their lines, without line breaks.

    Takes 0.5 ms for each, with pauses.
    """
    forms: set[bytes] = set()
    for part in pausing(_parts(secrets)):
        texts = {text for write in _WRITERS for text in write(part)}
        forms |= {text.encode() for text in texts if len(text) >= LEAST_SECRET_LENGTH}
        forms |= set(_base64_forms(part.encode()))
    return forms


def wrapped_forms(secrets: Collection[str]) -> set[bytes]:
    """The encoded forms that are broken into lines: base64 of more than a few characters."""
    forms = {form for part in pausing(_parts(secrets)) for form in _base64_forms(part.encode())}
    return {form for form in forms if len(form) >= _LEAST_WRAPPED}


def _parts(secrets: Collection[str]) -> Iterator[str]:
    for secret in secrets:
        for part in {secret, secret.strip(), *secret.splitlines()}:
            if len(part) >= LEAST_SECRET_LENGTH:
                yield part


def _plain(text: str) -> Iterator[str]:
    yield from (text, text.strip(), repr(text)[1:-1], repr(text.encode())[2:-1])


def _url(text: str) -> Iterator[str]:
    for form in (quote(text), quote(text, safe=""), quote(text, safe="!'()*"), quote_plus(text)):
        yield form
        yield re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), form)


def _markup(text: str) -> Iterator[str]:
    escaped = html.escape(text, quote=False)
    yield escaped
    for double in ("&quot;", "&#34;"):
        for single in ("'", "&#x27;", "&#39;", "&#039;", "&apos;"):
            yield escaped.replace('"', double).replace("'", single)


def _shell(text: str) -> Iterator[str]:
    yield shlex.quote(text).removeprefix("'").removesuffix("'")
    yield text.replace("'", "'\\''")
    yield text.replace("'", "''")  # PowerShell, SQL
    yield re.sub(r'[\\"$`]', r"\\\g<0>", text)  # declare -p
    backslashed = "".join(f"\\{each}" if each in _BASH_ESCAPED else each for each in text)
    yield backslashed
    if text[0] in "#~":
        yield f"\\{backslashed}"
    yield re.sub("(?<=[:=])~", r"\\~", backslashed)
    yield re.sub("^[#~]|(?<=[:=])~", r"\\\g<0>", backslashed)
    yield "".join(_ansi_c(each, all_bytes=False) for each in text)
    yield "".join(_ansi_c(each, all_bytes=True) for each in text)


def _ansi_c(character: str, *, all_bytes: bool) -> str:
    if character in _ANSI_C:
        return _ANSI_C[character]
    if character.isprintable() and (character.isascii() or not all_bytes):
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode())


def _json(text: str) -> Iterator[str]:
    for numbered, beyond_ascii, is_upper in _JSON_DIALECTS:
        form = "".join(_json_character(each, numbered, beyond_ascii, is_upper) for each in text)
        yield form
        yield form.replace("/", "\\/")  # PHP
        yield json.dumps(form, ensure_ascii=False)[1:-1]  # as text in another JSON, as logs have it


def _json_character(character: str, numbered: str, beyond_ascii: bool, is_upper: bool) -> str:
    is_numbered = character in numbered or (beyond_ascii and not character.isascii())
    if character in _JSON_OWN and not is_numbered:
        return _JSON_OWN[character]
    if not is_numbered and character >= " ":
        return character
    units = character.encode("utf-16-be")
    digits = "{:04X}" if is_upper else "{:04x}"
    return "".join(
        "\\u" + digits.format(int.from_bytes(units[at : at + 2], "big")) for at in range(0, len(units), 2)
    )


_WRITERS: tuple[Callable[[str], Iterator[str]], ...] = (_plain, _url, _markup, _shell, _json)


def _base64_forms(secret: bytes) -> Iterator[bytes]:
    """The characters that encode `secret` and nothing else, wherever it lies in what is encoded."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret)
        first = (before * 8 + 5) // 6
        last = (before + len(secret)) * 8 // 6
        for form in (encoded[first:last], encoded[first:last].translate(_BASE64_URL)):
            if len(form) >= LEAST_SECRET_LENGTH:
                yield form

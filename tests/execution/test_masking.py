"""Secrets in an output: gone whatever the chunks, and nothing else is touched."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_jobs.execution.log import OutputLog
from aiohttp_jobs.execution.masking import MASK, Masker

MASKED = MASK.decode()


def mask(text: str | bytes, *secrets: str, size: int = 1 << 20) -> str:
    """`text`, given to a masker in chunks of `size` bytes."""
    data = text.encode() if isinstance(text, str) else text
    masker = Masker(secrets)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    return (b"".join(map(masker.feed, chunks)) + masker.end()).decode()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_a_secret_is_masked_wherever_it_is_cut(size: int) -> None:
    text = "Bearer hunter2€ and hunter2€hunter2€; hunter, hunter2"
    assert mask(text, "hunter2€", size=size) == f"Bearer {MASKED} and {MASKED}{MASKED}; hunter, hunter2"


@pytest.mark.parametrize(
    "shown",
    [
        lambda secret: secret,
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(f"a:{secret}\n".encode()).decode(),
        lambda secret: quote(secret, safe=""),
        json.dumps,
        repr,
        shlex.quote,
    ],
)
def test_encodings_of_a_secret_are_masked_too(shown: object) -> None:
    secret = "päss/w?rd'\"\\ >>~"
    text = shown(secret)  # type: ignore[operator]
    for size in (1, 4, 100):
        masked = mask(f"<{text}>", secret, size=size)
        assert MASKED in masked
        assert len(masked) < len(MASKED) + 16, masked


def test_each_line_of_a_secret_with_several_is_masked() -> None:
    key = "-----BEGIN KEY-----\nabcdefgh\nijkl\n}\n-----END KEY-----\n"
    assert mask(key.replace("\n", "\r\n"), key) == f"{MASKED}\r\n" * 3 + "}\r\n" + f"{MASKED}\r\n"
    assert mask("see " + key, key) == f"see {MASKED}"


def test_secrets_that_overlap_or_contain_each_other_leave_nothing() -> None:
    for size in (1, 2, 3, 100):
        assert mask("1abcdefgh2", "abcd", "cdefgh", size=size) == f"1{MASKED}2"
        assert mask("1abcdef2abcd3", "abcd", "abcdef", size=size) == f"1{MASKED}2{MASKED}3"
        assert mask("1" + "a" * 50 + "2", "a" * 7, size=size) == f"1{MASKED}2"


def test_only_what_could_be_a_secrets_start_is_held_back() -> None:
    masker = Masker(["hunter2"])
    assert masker.feed(b"ready\n") == b"ready\n"
    assert masker.feed(b"prompt> hun") == b"prompt> "
    assert masker.feed(b"gry\n") == b"hungry\n"
    assert masker.feed(b"hunter") == b""
    assert masker.feed(b"2") == MASK
    assert masker.feed(b"hu") == b""
    assert masker.end() == b"hu"


secrets_ = st.text(alphabet="ab\né'=/+ \"", min_size=4, max_size=12).filter(
    lambda text: len(text.strip()) > 3
)


@settings(max_examples=300)
@given(
    st.lists(secrets_, min_size=1, max_size=3),
    st.lists(st.one_of(st.integers(0, 2), st.text(alphabet="abé\n x", max_size=8)), max_size=12),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_no_secret_gets_through_however_the_output_comes(
    secrets: list[str], pieces: list[int | str], cuts: list[int]
) -> None:
    texts = [secrets[each % len(secrets)] if isinstance(each, int) else each for each in pieces]
    data, masker, shown, turn = "".join(texts).encode(), Masker(secrets), b"", 0
    while data:
        size = cuts[turn % len(cuts)]
        shown, data, turn = shown + masker.feed(data[:size]), data[size:], turn + 1
    shown += masker.end()
    assert not [secret for secret in secrets if secret.encode() in shown]


@settings(max_examples=100)
@given(st.binary(max_size=500), st.lists(st.integers(1, 50), min_size=1))
def test_what_is_no_secret_is_not_changed(data: bytes, cuts: list[int]) -> None:
    masker, shown, position, turn = Masker(["correct horse battery staple"]), b"", 0, 0
    while position < len(data):
        size = cuts[turn % len(cuts)]
        shown += masker.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    assert shown + masker.end() == data


def test_a_log_keeps_only_what_is_masked_and_whole_characters(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    log.masker = Masker(["s€cret"])
    for byte in "é s€cret s€".encode():
        log.append(bytes([byte]))
    assert log.read(0) is not None
    log.end()
    assert log.output().text == f"é {MASKED} s€"


def test_what_comes_after_the_end_is_not_shown_as_the_secrets_are_forgotten() -> None:
    masker = Masker(["hunter2"])
    assert masker.feed(b"a hun") + masker.end() == b"a hun"
    assert masker.feed(b"ter2 hunter2") + masker.end() == b""

"""Secrets in an output: gone whatever the chunks, and nothing else is touched."""

from __future__ import annotations

import base64
import json
import re
import shlex
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_jobs.worker.output.log import OutputLog
from aiohttp_jobs.worker.output.masking import MASK, Masker

from ...cases import cases
from ...conftest import Host

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


@pytest.mark.slow
async def test_programs_that_real_jobs_print_secrets_with_show_no_part_of_them(host: Host) -> None:
    caller = host.caller("debug", "system_admin")
    python = "s = os.environ['PARAM_s']; print(repr(s), json.dumps(json.dumps(s)))"
    quoted = 'bash -c \'printf "%q\\n" "x$PARAM_s" "$PARAM_s"\''
    own = [
        ('it\'s a "Qu0ted" $ecret`x`\\end', command)
        for command in (
            'set -x; : "$PARAM_s"',
            "bash -xc ': \"$PARAM_s\"'",
            "bash -c 'declare -p PARAM_s; echo \"${PARAM_s@Q}\"'",
            "/usr/bin/printf '%q\\n' \"$PARAM_s\"",
            "env; export -p; set",
            f'python3 -c "import os, json; {python}"',
            'printf %s "$PARAM_s" | base64 -w 20',
            "printf 'user:%s' \"$PARAM_s\" | base64 -w 64 | sed 's/^/    /'",
        )
    ]
    own += [
        ("#tilde~ in:~a\ttab and \u20ac sign", quoted),
        ("#tilde~ in:~a plain one!", quoted),
        ("https://key/of/mine?a=1", "printf '\"https:\\\\/\\\\/key\\\\/of\\\\/mine?a=1\"'"),
        ("multi line\nsecret of mine\n", f'printf %s "$PARAM_s" | base64; {quoted}'),
    ]
    table = [(case["secret"], case["command"]) for case in cases("masking")]
    for secret, command in [*table, *own]:
        body = {
            "name": "t",
            "command": f"PATH=$PATH:/usr/bin:/bin; {command}",
            "executionMode": "BackgroundJob",
            "interpreter": "shell",
            "parameters": [{"name": "s", "type": "secret", "required": True}],
        }
        made = await caller.request("POST", "/templates", json=body)
        path = f"/templates/{made.body['template']['TemplateID']}"
        ran = await caller.request("POST", f"{path}/run", json={"values": {"s": secret}})
        result = await caller.result(ran.body["jobId"])
        await caller.request("DELETE", path)
        output = result["Output"]
        assert MASKED in output, (command, output)
        assert leaked(secret, output) is None, (command, output)


def leaked(secret: str, output: str) -> str | None:
    """A part of the secret of eight characters or more that the output shows, in base64 too."""
    found = ["".join(output.split())]
    for start in range(4):
        digits = "".join(re.findall("[A-Za-z0-9+/]", output))[start:]
        found.append(base64.b64decode(digits[: len(digits) // 4 * 4]).decode("latin-1"))
    parts = [secret[at : at + 8] for at in range(len(secret) - 7)]
    shown = [text for text in (output, *found) for part in parts if part in text]
    return shown[0] if shown else None


SECRET = "p\u00e4ss/w?rd'\"\\ >>~<&=+`\u2028!"


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    "shown",
    [
        r"p\u00e4ss\/w?rd" + r"""'\"\\ >>~<&=+`\u2028!""",  # PHP
        "p\u00e4ss/w?rd'" + r"\"\\ \u003e\u003e~\u003c\u0026=+`\u2028!",  # Go
        "p\u00e4ss/w?rd" + r"\u0027\"\\ \u003e\u003e~\u003c\u0026\u003d+`\u2028!",  # Gson
        r"p\u00E4ss/w?rd\u0027\u0022\\ \u003E\u003E~\u003C\u0026=\u002B\u0060\u2028!",  # System.Text.Json
        "p\u00e4ss/w?rd'&quot;\\ &gt;&gt;~&lt;&amp;=+`\u2028!",  # HTML
        "p%c3%a4ss%2fw%3frd%27%22%5c%20%3e%3e~%3c%26%3d%2b%60%e2%80%a8%21",  # a URL in lower case
        "p%C3%A4ss%2Fw%3Frd'%22%5C%20%3E%3E~%3C%26%3D%2B%60%E2%80%A8!",  # encodeURIComponent
        r"p\303\244ss/w?rd\'" + r'"\\ >>~<&=+`\342\200\250!',  # $'...' of bash, in the C locale
    ],
)
def test_forms_of_other_languages(shown: str, size: int) -> None:
    assert mask(f"<{shown}>", SECRET, size=size) == f"<{MASKED}>"


@settings(max_examples=200)
@given(
    st.binary(max_size=80),
    st.integers(16, 100),
    st.sampled_from([b"\n", b"\r\n", b"\n  "]),
    st.lists(st.integers(1, 30), min_size=1),
)
@pytest.mark.slow
def test_base64_in_lines_is_masked_wherever_they_end_and_it_is_cut(
    before: bytes, width: int, end: bytes, cuts: list[int]
) -> None:
    secret = "correct horse battery staple"
    digits = base64.b64encode(before + secret.encode() + b"and the rest of it")
    data = end.join(digits[at : at + width] for at in range(0, len(digits), width)) + b"\n"
    masker, shown, turn = Masker([secret]), b"", 0
    while data:
        size = cuts[turn % len(cuts)]
        shown, data, turn = shown + masker.feed(data[:size]), data[size:], turn + 1
    shown += masker.end()
    assert MASK in shown
    assert leaked(secret, shown.decode()) is None


def test_lines_that_are_no_base64_are_shown_at_once() -> None:
    masker = Masker(["correct horse battery staple"])
    for line in (b"Ready\n", b"Y\r\n", b"Waiting for Y29ycmVj\n"):
        assert masker.feed(line) == line

"""The page's model of a terminal in a real browser: by Python's table, and beside Python's.

And a job's output as rows: while it comes, and when it is loaded again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.async_api import expect

from aiohttp_jobs.model.terminal import ROW, as_seen
from tests.conftest import Host
from tests.gate import Gate

from ..cases import cases
from ..model.test_terminal import printed
from .conftest import Visit, modules

CASES = [case for case in cases("terminal") if "prints" in case]
EPOCHS = """import sys, time
for number in range(4000):
    sys.stdout.write(f"\\rEpoch {number} [" + "#" * 80 + "]"); sys.stdout.flush()
"""
# Of each list of pieces: the rows that come of it, with their styles.
_DRAW = """async ([module, texts]) => {
  const {Terminal, textOf} = await import(module);
  return texts.map((pieces) => {
    const terminal = new Terminal();
    const rows = pieces.flatMap((piece) => terminal.write(piece));
    return [...rows, ...terminal.end()].map((row) => [textOf(row), row.styles ?? [[0, null]]]);
  });
}"""
# A text in pieces of `size`, added to a job's output: its rows, also when its text was dropped, and its text.
_ROWS = """async ([module, text, size]) => {
  const {OutputLines} = await import(module);
  const lines = new OutputLines(async (offset, bytes) => text.slice(offset, offset + bytes));
  const add = (from, to) => lines.add(text.slice(from, to), from, to);
  for (let at = 0; at < text.length; at += size) add(at, Math.min(text.length, at + size));
  const live = lines.length;
  lines.end();
  const shown = () => Array.from({length: lines.length}, (_, row) => lines.at(row)?.text ?? null);
  const before = shown();
  for (const chunk of lines.chunks) Object.assign(chunk, {text: null, cache: null});
  const dropped = shown();
  await lines.ensure(0, lines.length);
  const { errorRows: errors, progress } = lines;
  return {live, before, dropped, after: shown(), text: await lines.text(0, lines.length), errors, progress};
}"""


def rows_of(lines: list[str]) -> list[str]:
    return [line[at : at + ROW] for line in lines for at in range(0, max(1, len(line)), ROW)]


def runs(text: str, styles: list[Any]) -> list[list[Any]]:
    """The parts of a row that have the same style."""
    found: list[list[Any]] = []
    for (start, style), end in zip(styles, [start for start, _ in styles[1:]] + [len(text)], strict=True):
        if found and found[-1][1] == (style or {}):
            found[-1][0] += text[start:end]
        else:
            found.append([text[start:end], style or {}])
    return found


async def test_rows_look_as_on_a_terminal(host: Host, visit: Visit) -> None:
    page, folder = await modules(host, visit)
    for split in (lambda text: [text], list):
        texts = [split(case["prints"]) for case in CASES]
        drawn = await page.evaluate(_DRAW, [f"{folder}/terminal.js", texts])
        for case, rows in zip(CASES, drawn, strict=True):
            assert [text for text, _ in rows] == rows_of(case["lines"]), case["from"]
            if "styles" in case:
                assert runs(*rows[0]) == case["styles"], case["from"]


async def test_the_page_and_the_host_see_the_same(host: Host, visit: Visit) -> None:
    page, folder = await modules(host, visit)
    tried: list[list[str]] = []

    @settings(max_examples=400, database=None)
    @given(pieces=st.lists(printed, max_size=5))
    def collect(pieces: list[str]) -> None:
        tried.append(pieces)

    collect()
    drawn = await page.evaluate(_DRAW, [f"{folder}/terminal.js", tried])
    for pieces, rows in zip(tried, drawn, strict=True):
        seen = as_seen("".join(pieces))
        if all(len(line) <= ROW for line in seen.split("\n")):
            assert [text for text, _ in rows] == seen.removesuffix("\n").split("\n") * bool(seen), pieces
        assert "".join(text for text, _ in rows) == seen.replace("\n", ""), pieces


async def test_rows_are_the_same_in_any_pieces_and_when_their_text_is_fetched_again(
    host: Host, visit: Visit
) -> None:
    page, folder = await modules(host, visit)
    text = "".join(case["prints"] for case in CASES if case["prints"].isascii())
    text += "".join(f"\r\x1b[32mEpoch {number}\x1b[0m [{'#' * 80}]" for number in range(4000))
    text += "\r\n[ERROR] disk full\r\r\n" + "x" * 10_000 + "\n" + "\x1b[31my\x1b[0m" * 5000 + "\n40%\r90%"
    expected = rows_of(as_seen(text).split("\n"))
    for size in (97, 4096, len(text)):
        seen = await page.evaluate(_ROWS, [f"{folder}/output-lines.js", text, size])
        assert seen["before"] == seen["after"] == expected
        assert seen["dropped"] == [None] * len(expected)
        assert seen["text"] == "\n".join(expected)
        assert seen["live"] == len(expected)
        assert seen["errors"] == [expected.index("[ERROR] disk full")]
        assert seen["progress"] == {"percent": 90, "message": ""}


async def test_a_bar_without_a_line_feed_is_one_row_live_and_after_a_reload(
    host: Host, visit: Visit, tmp_path: Path
) -> None:
    visitor, gate = await visit(host, "task_manager"), Gate(tmp_path / "gate")
    job_id = await visitor.submit(f"{EPOCHS}{gate.python}", interpreter="python")
    page = await visitor.open(f"#/job/{job_id}")
    for _ in range(2):
        await expect(page.locator(".row .line")).to_have_text([f"Epoch 3999 [{'#' * 80}]"])
        await expect(page.get_by_text("1 line ·")).to_be_visible()
        gate.open()
        await host.caller("task_manager").result(job_id)
        await page.reload()


async def test_lines_that_a_terminal_translated_are_shown_found_and_copied(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager", permissions=["clipboard-read", "clipboard-write"])
    script = "\x1b[1;38:2::200:10:10mFAI\x1b[0m\x1b[KLED\r\r\nServer: x\r\r\n"
    job_id = await visitor.submit(f"print({json.dumps(script)}, end='')", interpreter="python")
    await host.caller("task_manager").result(job_id)
    page = await visitor.open(f"#/job/{job_id}")
    await expect(page.locator(".row .line")).to_have_text(["FAILED", "Server: x"])
    await expect(page.locator(".line .a-bold")).to_have_text("FAI")
    await page.get_by_label("Search in the output").fill("failed")
    await expect(page.get_by_text("1 of 1")).to_be_visible()
    await expect(page.locator(".line mark")).to_have_text(["FAI", "LED"])
    await page.get_by_role("button", name="Copy the output").click()
    await expect(page.get_by_text("Output copied.")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "FAILED\nServer: x"

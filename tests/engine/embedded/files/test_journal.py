"""The journal gives back what was written to it, of earlier lives of the system, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded.files import journal
from aiohttp_jobs.engine.embedded.files.journal import SIZE, Journal, JournalEntry, Kind, read_journal
from aiohttp_jobs.system.storage_state import StorageState

ENTRIES = [
    JournalEntry(Kind.ADDED, "s_n_1", "al%20ice", b'{"a": "\xc3\xa4"}'),
    JournalEntry(Kind.CLAIMED, "s_n_1.attempt2", "alice"),
    JournalEntry(Kind.ENDED, "s_n_1", "", b"x" * 1000),
]


@pytest.fixture
def opened(tmp_path: Path) -> Journal:
    made = Journal(tmp_path, StorageState(tmp_path))
    made.open()
    deadline = time.monotonic() + 30
    while not made.write([]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return made


def after_a_restart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[JournalEntry]:
    """What is read when the system has been started anew."""
    monkeypatch.setattr(journal, "boot_id", lambda: "another")
    return list(read_journal(folder))


def test_what_was_written_is_read_after_a_restart_of_the_system_only(
    opened: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened.write(ENTRIES[:1])
    assert opened.write(ENTRIES[1:])
    assert list(read_journal(tmp_path)) == []
    assert after_a_restart(tmp_path, monkeypatch) == ENTRIES


@pytest.mark.parametrize("cut", [1, 500, 1000, 1100])
def test_a_write_that_the_power_cut_short_is_left_out(
    opened: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    opened.write(ENTRIES)
    file = tmp_path / "journal.0"
    data = bytearray(file.read_bytes())
    end = len(data.rstrip(b"\0"))
    data[end - cut : end] = bytes(cut)
    file.write_bytes(data)
    left = after_a_restart(tmp_path, monkeypatch)
    assert left == ENTRIES[: len(left)]
    assert len(left) < len(ENTRIES)


def test_old_entries_give_way_once_their_files_are_safe(
    opened: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 3 * SIZE // 100_000
    written = [JournalEntry(Kind.ENDED, f"s_n_{number}", "", b"x" * 100_000) for number in range(count)]
    for entry in written:
        assert opened.write([entry])
    found = after_a_restart(tmp_path, monkeypatch)
    kept = sorted(int(entry.run.rpartition("_")[2]) for entry in found)
    assert kept == list(range(kept[0], count)), "the newest are all there"
    assert kept[0] > 0
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2 * SIZE


def test_a_journal_that_is_not_ready_says_so(tmp_path: Path) -> None:
    assert not Journal(tmp_path, StorageState(tmp_path)).write(ENTRIES)


def test_what_is_too_much_for_it_is_refused(opened: Journal) -> None:
    assert not opened.write([JournalEntry(Kind.ENDED, "s_n_1", "", bytes(SIZE))])


def test_a_folder_without_a_journal_and_a_file_that_is_none(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path)) == []
    (tmp_path / "journal.0").write_bytes(b"something else" * 1000)
    (tmp_path / "journal.1").write_bytes(b"")
    assert list(read_journal(tmp_path)) == []


def test_once_closed_everything_is_in_its_files(opened: Journal) -> None:
    opened.write(ENTRIES)
    opened.close()
    assert not opened.write(ENTRIES)

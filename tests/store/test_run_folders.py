"""Folders to run jobs in: private, gone when a job has ended, used again only if nothing was left in them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aiohttp_jobs.store.run_folders import RunFolders, owner_in


class Place:
    """Run folders below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.jobs, self.scratch = folder / "jobs", folder / "scratch"
        self.jobs.mkdir()
        self.scratch.mkdir()
        self.made = RunFolders(str(self.jobs), str(self.scratch))

    def begin(self, run: str, user: str = "alice", *, signed: bool = True) -> Path:
        return Path(self.made.begin(run, user, signed=signed))

    def inodes(self) -> set[int]:
        return {path.stat().st_ino for path in self.scratch.iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_folder_is_private_and_tells_whose_it_is_if_that_is_not_signed(place: Place) -> None:
    folder = place.begin("one")
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "work")] == [0o700, 0o700]
    assert owner_in(place.begin("one")) is None
    assert owner_in(place.begin("two", "bob", signed=False)) == "bob"


def test_a_folder_without_remains_is_used_again_by_the_same_user_only(place: Place) -> None:
    first = place.begin("one", signed=False).stat().st_ino
    place.made.end("one", "alice")
    assert list(place.jobs.iterdir()) == []
    assert place.begin("two", "bob").stat().st_ino != first
    again = place.begin("three")
    assert again.stat().st_ino == first
    assert owner_in(again) is None


@pytest.fixture
def used(place: Place) -> Place:
    """With a folder that one job has run in, some time ago."""
    place.begin("first")
    time.sleep(0.2)
    place.made.end("first", "alice")
    return place


def test_a_folder_in_which_nothing_has_changed_is_not_read(
    used: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode = used.begin("second").stat().st_ino
    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", lambda _: pytest.fail("the folder was read"))
        used.made.end("second", "alice")
    assert used.begin("third").stat().st_ino == inode


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "work" / "file").touch(),
        lambda folder: (folder / "file").touch(),
        lambda folder: (folder / "work").rename(folder / "other"),
        lambda folder: (folder / "work").chmod(0o777),
        lambda folder: (folder / "work" / "folder").mkdir(),
        lambda folder: ((folder / "work").rmdir(), (folder / "work").symlink_to("/tmp")),
    ],
)
def test_what_a_later_job_changes_in_it_is_noticed(used: Place, change: Callable[[Path], object]) -> None:
    change(used.begin("second"))
    used.made.end("second", "alice")
    work = used.begin("third") / "work"
    assert (work.is_symlink(), work.stat().st_mode & 0o777, list(work.parent.rglob("*"))) == (
        False,
        0o700,
        [work],
    )


def test_what_a_job_puts_there_and_dates_back_is_noticed(used: Place) -> None:
    work = used.begin("second") / "work"
    was = work.stat()
    (work / "file").touch()
    os.utime(work, ns=(was.st_atime_ns, was.st_mtime_ns))
    used.made.end("second", "alice")
    assert list((used.begin("third") / "work").iterdir()) == []


@pytest.mark.parametrize("remains", ["log", "work/file", "file"])
def test_what_a_job_has_left_nobody_gets(place: Place, remains: str) -> None:
    folder = place.begin("one")
    if remains == "log":
        (folder / remains).mkdir()
    (folder / remains / "x" if remains == "log" else folder / remains).write_text("secret")
    place.made.end("one", "alice")
    assert list(place.jobs.iterdir()) == [], "it has ended"
    assert not list(place.begin("two").rglob("[!w]*"))
    place.made.sweep()
    assert not any(path.is_file() for path in place.scratch.rglob("*"))


def test_a_working_folder_with_other_rights_is_not_used_again(place: Place) -> None:
    folder = place.begin("one")
    (folder / "work").chmod(0o755)
    place.made.end("one", "alice")
    place.made.sweep()
    assert place.inodes() == set()


@pytest.mark.parametrize("instead", [None, "file", "link"])
def test_a_folder_whose_working_folder_is_gone_is_not_used_again(place: Place, instead: str | None) -> None:
    work = place.begin("one") / "work"
    work.rmdir()
    if instead == "file":
        work.write_text("")
    elif instead == "link":
        work.symlink_to(place.scratch)
    place.made.end("one", "alice")
    work = place.begin("two") / "work"
    assert (work.is_dir(), work.is_symlink(), list(work.iterdir())) == (True, False, [])


def test_of_very_many_users_no_folders_are_kept(place: Place) -> None:
    for number in range(200):
        place.begin("run", f"user{number}")
        place.made.end("run", f"user{number}")
        place.made.sweep()
    assert 0 < len(place.inodes()) <= 64


def test_a_job_that_does_not_run_leaves_nothing(place: Place) -> None:
    place.begin("one")
    place.made.remove("one")
    assert list(place.jobs.iterdir()) == []

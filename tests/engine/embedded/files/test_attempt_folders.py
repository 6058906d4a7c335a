"""Folders to run jobs in: private, gone when a job has ended, used again only if nothing was left in them."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded.files.attempt_folders import AttemptFolders, owner_in
from aiohttp_jobs.engine.embedded.files.left_undone import LeftUndone
from aiohttp_jobs.system.removal import remove_tree


class Place:
    """The folders of running jobs below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.jobs, self.scratch, self.work = (folder / name for name in ("jobs", "scratch", "work"))
        self.jobs.mkdir()
        self.scratch.mkdir()
        self.left_undone = LeftUndone()
        self.made = AttemptFolders(
            str(self.jobs), str(self.scratch), str(self.work), self.discard, self.left_undone
        )

    @staticmethod
    def discard(paths: Sequence[str]) -> None:
        for path in paths:
            remove_tree(path)

    def begin(self, run: str, user: str = "alice", *, signed: bool = True) -> Path:
        """The job's own folder."""
        return Path(self.made.begin(run, user, signed=signed).job_dir)

    def run_dir(self, run: str) -> Path:
        """The host's folder about the job."""
        return self.jobs / run

    def inodes(self) -> set[int]:
        return {path.stat().st_ino for path in self.work.iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_folders_are_private_and_tell_whose_they_are_if_that_is_not_signed(place: Place) -> None:
    folder = place.begin("one")
    private = [path.stat().st_mode & 0o777 for path in (folder, folder / "work", place.run_dir("one"))]
    assert private == [0o700] * 3
    assert owner_in(place.run_dir("one")) is None
    place.begin("two", "bob", signed=False)
    assert owner_in(place.run_dir("two")) == "bob"


def test_a_job_s_folder_and_the_host_s_about_it_lie_apart(place: Place) -> None:
    folder = place.begin("one")
    assert place.jobs not in folder.parents
    assert "one" not in str(folder.relative_to(place.work))


def test_a_folder_without_remains_is_used_again_by_the_same_user_only(place: Place) -> None:
    first = place.begin("one", signed=False).stat().st_ino
    place.made.end("one", "alice")
    assert list(place.jobs.iterdir()) == []
    assert place.begin("two", "bob").stat().st_ino != first
    again = place.begin("three")
    assert again.stat().st_ino == first
    assert [owner_in(place.run_dir(run)) for run in ("two", "three")] == [None, None]


def test_as_many_jobs_as_have_run_at_once_use_their_folders_again(place: Place) -> None:
    """Each that does not has three made for it and three removed, which takes longer than a short job."""
    runs = [str(number) for number in range(48)]
    for _ in range(2):
        for run in runs:
            place.begin(run)
        made = place.inodes()
        for run in runs:
            place.made.end(run, "alice")
        place.made.sweep()
        assert place.inodes() == made
    assert len(made) == len(runs)


def test_what_is_kept_for_jobs_of_many_users_is_bounded(place: Place) -> None:
    runs = [(f"{user}-{number}", str(user)) for user in range(40) for number in range(32)]
    for run, user in runs:
        place.begin(run, user)
    for run, user in runs:
        place.made.end(run, user)
    place.made.sweep()
    assert len(place.inodes()) <= 1024


@pytest.mark.parametrize("instead", ["link", "file", None])
def test_a_spare_folder_that_a_survivor_has_exchanged_is_not_used(place: Place, instead: str | None) -> None:
    """A process that left its job's group may live on in there, and wait for the next job of its user."""
    work = place.begin("one") / "work"
    place.made.end("one", "alice")
    work.rmdir()
    if instead == "file":
        work.write_text("")
    elif instead == "link":
        work.symlink_to(place.scratch)
    work = place.begin("two") / "work"
    assert (work.is_dir(), work.is_symlink(), list(work.iterdir())) == (True, False, [])


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
        patched.setattr(os, "scandir", lambda _: pytest.fail("the folder was read"))
        used.made.end("second", "alice")
    assert used.begin("third").stat().st_ino == inode


def test_the_user_s_next_job_takes_over_what_was_left_as_it_was(used: Place) -> None:
    used.begin("second")
    folders = used.run_dir("second").stat().st_ino, used.inodes()
    used.made.end("second", "alice")
    assert used.begin("other", "bob").stat().st_ino not in folders[1]
    third = used.begin("third")
    assert used.run_dir("third").stat().st_ino == folders[0]
    assert third.stat().st_ino in folders[1]
    assert not used.run_dir("second").exists()


def test_what_somebody_puts_into_the_host_s_folder_after_the_end_the_next_job_does_not_get(
    used: Place,
) -> None:
    used.begin("second")
    used.made.end("second", "alice")
    (used.run_dir("second") / "cancel").touch()
    used.begin("third")
    assert list(used.run_dir("third").iterdir()) == []


def test_folders_that_no_other_job_takes_over_are_put_away_when_there_is_time(used: Place) -> None:
    (used.begin("second") / "work" / "file").touch()
    used.made.end("second", "alice")
    used.made.sweep()
    assert (list(used.jobs.iterdir()), used.inodes()) == ([], set())


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


@pytest.mark.parametrize("remains", ["folder/file", "work/file", "work/folder/file", "file"])
def test_what_a_job_has_left_nobody_gets(place: Place, remains: str) -> None:
    left = place.begin("one") / remains
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("secret")
    place.made.end("one", "alice")
    assert list(place.jobs.iterdir()) == [], "it has ended"
    assert not list(place.begin("two").rglob("[!w]*"))
    place.made.sweep()
    assert not any(path.is_file() for path in place.work.rglob("*"))


def test_what_the_host_wrote_about_a_job_no_other_gets(place: Place) -> None:
    place.begin("one", signed=False)
    (place.run_dir("one") / "log").mkdir()
    (place.run_dir("one") / "log" / "output.000000000").write_text("secret")
    place.made.end("one", "alice")
    place.begin("two")
    assert list(place.run_dir("two").iterdir()) == []
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
    place.made.sweep()
    assert (list(place.jobs.iterdir()), list(place.work.iterdir())) == ([], [])


@contextmanager
def a_disk_that_lets_go_of_nothing() -> Iterator[None]:
    def refuse(path: str, *_: object, **where: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    with pytest.MonkeyPatch.context() as patch:
        for call in ("rename", "rmdir", "unlink"):
            patch.setattr(os, call, refuse)
        yield


@pytest.mark.parametrize("end", ["removed", "ended"])
def test_a_run_folder_that_the_disk_does_not_let_go_of_is_removed_when_it_does(
    place: Place, end: str
) -> None:
    place.begin("one")
    (place.run_dir("one") / "log").mkdir()
    with a_disk_that_lets_go_of_nothing():
        if end == "removed":
            place.made.remove("one")
        else:
            place.made.end("one", "alice")
            place.made.sweep()
        place.left_undone.try_again()
        assert place.run_dir("one").exists()
    place.left_undone.try_again()
    assert [*place.jobs.iterdir(), *place.scratch.iterdir()] == []


def test_one_that_was_to_be_removed_and_is_used_again_stays(place: Place) -> None:
    place.begin("one")
    with a_disk_that_lets_go_of_nothing():
        place.made.remove("one")
    place.begin("one")
    place.left_undone.try_again()
    assert place.run_dir("one").is_dir()


def test_a_disk_that_refuses_to_say_whose_a_folder_is_leaves_none(place: Place) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            place.begin("one", signed=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    place.made.sweep()
    assert list(place.jobs.iterdir()) == []
    assert list(place.work.iterdir()) == []

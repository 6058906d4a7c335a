"""Writes that survive a crash, and secrets that are made once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, get_ident

import pytest

from aiohttp_jobs.system.app_folder import APP_FOLDER
from aiohttp_jobs.system.atomic import create_secret, make_folder, replace_file


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    target = tmp_path / "file"
    replace_file(target, b"one")
    replace_file(target, b"two")
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        replace_file(tmp_path / "nowhere" / "file", b"data", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_is_set_aside(tmp_path: Path) -> None:
    target = tmp_path / "file"
    (target / "inside").mkdir(parents=True)
    replace_file(target, b"data")
    assert target.read_bytes() == b"data"
    (aside,) = (path for path in tmp_path.iterdir() if path != target)
    assert [path.name for path in aside.iterdir()] == ["inside"]
    assert aside.name.startswith(".file.")


def test_folders_are_private(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert {(tmp_path / p).stat().st_mode & 0o777 for p in ("a", "a/b")} == {0o700}


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    target = tmp_path / "Secrets" / "key"
    assert create_secret(target, b"first") == b"first"
    assert create_secret(target, b"second") == b"first"
    assert target.stat().st_mode & 0o777 == 0o600


def test_processes_that_start_at_once_share_one_secret(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from aiohttp_jobs.system.atomic import create_secret;"
        "print(create_secret(Path(sys.argv[1]) / 'key', str(os.getpid()).encode()).decode())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    assert len({process.communicate()[0] for process in started}) == 1


def test_a_folder_that_many_make_at_once_is_left_where_it_is(tmp_path: Path) -> None:
    parent, together = tmp_path / APP_FOLDER / "JobSubmission", Barrier(8)
    parent.mkdir(parents=True)

    def make(name: str) -> None:
        together.wait(60)
        make_folder(parent / name)
        (parent / name / str(get_ident())).touch()

    with ThreadPoolExecutor(8) as threads:
        for number in range(200):
            list(threads.map(make, [str(number)] * 8))
    assert sorted(int(folder.name) for folder in parent.iterdir()) == list(range(200))

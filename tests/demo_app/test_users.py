"""The demo's accounts on disk: made once, hashed, private, read again at each use."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from aiohttp_jobs import ConfigurationError
from demo_app.users import DEMO_ACCOUNTS, Users

from ..demos import make_quick_users

FILE = "demo-users.json"


def test_the_file_is_private_and_holds_no_password(tmp_path: Path) -> None:
    Users.in_data_dir(tmp_path / "new")
    path = tmp_path / "new" / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert all(password not in text for _, password, _ in DEMO_ACCOUNTS)
    assert text.count("$argon2id$") == len(DEMO_ACCOUNTS)


def test_a_later_start_keeps_the_accounts(tmp_path: Path) -> None:
    Users.in_data_dir(tmp_path)
    before = (tmp_path / FILE).read_bytes()
    users = Users.in_data_dir(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    assert users.verify("operator", "operator-demo") == users.get("operator")


def test_only_the_right_password_of_an_existing_name_is_accepted(tmp_path: Path) -> None:
    users = Users.in_data_dir(tmp_path)
    assert users.verify("admin", "admin-demo") is not None
    assert users.verify("admin", "viewer-demo") is None
    assert users.verify("nobody", "admin-demo") is None
    assert users.verify("viewer", "") is None


async def test_roles_are_those_of_the_moment(tmp_path: Path) -> None:
    make_quick_users(tmp_path)
    users = Users.in_data_dir(tmp_path)
    assert await users.roles("admin") == ("debug", "system_admin")
    assert await users.roles("viewer") == ()
    accounts = json.loads((tmp_path / FILE).read_text())
    accounts["viewer"]["roles"] = ["task_manager"]
    del accounts["admin"]
    (tmp_path / FILE).write_text(json.dumps(accounts))
    assert await users.roles("viewer") == ("task_manager",)
    assert await users.roles("admin") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"admin": {"roles": "debug"}}'])
def test_a_damaged_file_is_reported_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigurationError, match="is damaged"):
        Users.in_data_dir(tmp_path)
    assert (tmp_path / FILE).read_text() == text


def test_without_any_account_nobody_signs_in(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}")
    assert Users.in_data_dir(tmp_path).verify("admin", "admin-demo") is None

"""Templates on disk: private, signed, in the specification's case, and the same for every process."""

from __future__ import annotations

import errno
import json
import stat
from pathlib import Path
from uuid import uuid4

import pytest

from aiohttp_jobs.engine.embedded import records
from aiohttp_jobs.engine.embedded.records import TemplateStore
from aiohttp_jobs.errors import ConflictError, NotFoundError
from aiohttp_jobs.model.job import utc_now
from aiohttp_jobs.model.template import Template


def make_template(**fields: object) -> Template:
    now = utc_now()
    return Template.model_validate(
        {
            "template_id": str(uuid4()),
            "user_id": "alice",
            "submitted_with": "session",
            "roles": ("debug",),
            "name": "greet",
            "command": "echo hello",
            "execution_mode": "BackgroundJob",
            "interpreter": "shell",
            "parameters": [{"name": "who", "type": "int", "minimum": 1, "default": 3}],
            "run_roles": ["clerk"],
            "created_at": now,
            "updated_at": now,
            "updated_by": "alice",
            **fields,
        }
    )


def opened(base: Path) -> TemplateStore:
    store = TemplateStore(base)
    store.open()
    return store


def test_a_template_that_the_disk_refused_to_give_is_there_once_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = make_template()
    opened(tmp_path).add(template, most=10)

    def refuse(path: Path, most: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    store = opened(tmp_path)
    with monkeypatch.context() as sick:
        sick.setattr(records, "read_file", refuse)
        assert store.all() == []
    assert store.has_changed()
    assert [each.template_id for each in store.all()] == [template.template_id]


def test_a_template_is_one_private_file_that_the_next_process_reads_back_whole(tmp_path: Path) -> None:
    template = make_template(retry={"count": 2}, timeout_seconds=5.5)
    opened(tmp_path).add(template, most=10)
    path = tmp_path / "Templates" / f"{template.template_id}.json"
    record = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (record["TemplateID"], record["UserID"], record["RunRoles"]) == (
        template.template_id,
        "alice",
        ["clerk"],
    )
    assert opened(tmp_path).get(template.template_id) == template


def test_there_are_at_most_so_many_of_all_users_together(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add(make_template(), most=2)
    store.add(make_template(user_id="bob"), most=2)
    with pytest.raises(ConflictError, match="no more than 2 are allowed"):
        store.add(make_template(), most=2)


def test_a_file_changed_by_hand_is_not_used_and_a_missing_one_not_found(tmp_path: Path) -> None:
    store, template = opened(tmp_path), make_template()
    store.add(template, most=10)
    path = tmp_path / "Templates" / f"{template.template_id}.json"
    path.write_text(path.read_text().replace("clerk", "authenticated"))
    with pytest.raises(NotFoundError, match="There is no template"):
        store.get(template.template_id)


def test_the_digest_names_what_was_approved_and_nothing_else() -> None:
    template = make_template()
    same = {"name": "other", "run_roles": ("boss",), "user_id": "bob", "priority": 3}
    assert template.model_copy(update=same).digest == template.digest
    for changed in ({"command": "id"}, {"execution_mode": "Runspace"}, {"parameters": ()}):
        assert Template.model_validate({**dict(template), **changed}).digest != template.digest

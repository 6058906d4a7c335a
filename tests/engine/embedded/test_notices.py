"""Notices as files: durable, private, known to several processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded.notices import NoticeStore
from aiohttp_jobs.errors import NotFoundError
from aiohttp_jobs.model.notice import Notice, NoticeState

from ...notify.support import email, make_notice

RULE = email("ops@example.org")


@pytest.fixture
def store(tmp_path: Path) -> NoticeStore:
    store = NoticeStore(tmp_path)
    store.open()
    return store


def prepared(**fields: object) -> Notice:
    return make_notice(RULE, **fields).model_copy(update={"state": NoticeState.PREPARED})


def test_what_is_prepared_is_not_there_until_it_is_released(store: NoticeStore) -> None:
    notice = prepared()
    store.prepare(notice)
    assert store.all() == []
    assert store.prepared(0) == [notice]
    assert store.prepared(60) == []
    store.release(notice.notice_id)
    assert store.prepared(0) == []
    assert [each.state for each in store.all()] == [NoticeState.PENDING]
    assert store.get(notice.notice_id).job == notice.job
    store.release(notice.notice_id)


def test_one_that_was_sent_is_not_released_again(store: NoticeStore) -> None:
    notice = prepared()
    store.prepare(notice)
    store.release(notice.notice_id)
    store.change(notice.notice_id, lambda each: each.model_copy(update={"state": NoticeState.SENT}))
    store.prepare(notice)
    store.release(notice.notice_id)
    assert [each.state for each in store.all()] == [NoticeState.SENT]
    assert store.prepared(0) == []


def test_what_is_withdrawn_is_gone(store: NoticeStore) -> None:
    notice = prepared()
    store.prepare(notice)
    store.withdraw([notice.notice_id, notice.notice_id])
    store.release(notice.notice_id)
    assert (store.all(), store.prepared(0)) == ([], [])


def test_another_process_sees_each_change(store: NoticeStore, tmp_path: Path) -> None:
    other = NoticeStore(tmp_path)
    other.open()
    notice = make_notice(RULE)
    for attempts in range(5):
        store.add(notice.model_copy(update={"attempts": attempts}))
        assert [each.attempts for each in other.all()] == [attempts]
        store.change(notice.notice_id, lambda each: each.model_copy(update={"attempts": 99}))
        assert other.get(notice.notice_id).attempts == 99
    store.remove([notice.notice_id])
    assert other.all() == []
    with pytest.raises(NotFoundError):
        other.get(notice.notice_id)


def test_one_process_at_a_time_sends(store: NoticeStore, tmp_path: Path) -> None:
    other = NoticeStore(tmp_path)
    assert store.lead()
    assert store.lead()
    assert not other.lead()
    store.step_down()
    assert other.lead()
    assert not store.lead()
    other.step_down()


def test_files_are_for_the_hosts_user_only(store: NoticeStore, tmp_path: Path) -> None:
    notice = make_notice(RULE)
    store.add(notice)
    assert (tmp_path / "Notices" / f"{notice.notice_id}.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "Notices").stat().st_mode & 0o777 == 0o700


def test_files_that_are_no_notices_are_left_out(store: NoticeStore, tmp_path: Path) -> None:
    record = make_notice(RULE).to_record()
    folder, name = tmp_path / "Notices", "11111111-1111-4111-8111-111111111111.json"
    for text in ("", "[]", "{}", "nonsense", json.dumps(record), json.dumps({**record, "State": "odd"})):
        (folder / name).write_text(text)
        os.utime(folder)
        assert store.all() == []
        (folder / name).unlink()

"""What every engine promises of notices: prepared, released once, known to every process, sent by one."""

from __future__ import annotations

from uuid import uuid4

import pytest

from aiohttp_jobs.errors import NotFoundError
from aiohttp_jobs.model.notice import Notice, NoticeState

from ..notify.support import email, make_notice
from .records import KeptRecords

RULE = email("ops@example.org")


def prepared(**fields: object) -> Notice:
    return make_notice(RULE, **fields).model_copy(update={"state": NoticeState.PREPARED})


def test_what_is_prepared_is_not_there_until_it_is_released(kept: KeptRecords, other: KeptRecords) -> None:
    notice = prepared()
    kept.notices.prepare(notice)
    assert kept.notices.all() == []
    assert other.notices.prepared(0) == [notice]
    assert other.notices.prepared(60) == []
    assert other.notices.has_changed()
    kept.notices.release(notice.notice_id)
    assert other.notices.prepared(0) == []
    assert [each.state for each in other.notices.all()] == [NoticeState.PENDING]
    assert other.notices.get(notice.notice_id).job == notice.job
    kept.notices.release(notice.notice_id)
    assert len(other.notices.all()) == 1


def test_lists_do_without_what_is_told(kept: KeptRecords) -> None:
    notice = make_notice(RULE)
    kept.notices.add(notice)
    assert kept.notices.all() == [notice.without_job()]


def test_one_that_was_sent_is_not_released_again(kept: KeptRecords) -> None:
    notice = prepared()
    kept.notices.prepare(notice)
    kept.notices.release(notice.notice_id)
    kept.notices.change(notice.notice_id, lambda each: each.model_copy(update={"state": NoticeState.SENT}))
    kept.notices.prepare(notice)
    kept.notices.release(notice.notice_id)
    assert [each.state for each in kept.notices.all()] == [NoticeState.SENT]
    assert kept.notices.prepared(0) == []


def test_one_prepared_again_is_replaced(kept: KeptRecords) -> None:
    notice = prepared()
    kept.notices.prepare(notice)
    again = notice.model_copy(update={"target": "else"})
    kept.notices.prepare(again)
    assert kept.notices.prepared(0) == [again]


def test_what_is_withdrawn_is_gone(kept: KeptRecords) -> None:
    notice = prepared()
    kept.notices.prepare(notice)
    kept.notices.withdraw([])
    kept.notices.withdraw([notice.notice_id, notice.notice_id, str(uuid4())])
    kept.notices.release(notice.notice_id)
    assert (kept.notices.all(), kept.notices.prepared(0)) == ([], [])


def test_another_process_sees_each_change(kept: KeptRecords, other: KeptRecords) -> None:
    notice = make_notice(RULE)
    for attempts in range(5):
        kept.notices.add(notice.model_copy(update={"attempts": attempts}))
        assert [each.attempts for each in other.notices.all()] == [attempts]
        kept.notices.change(notice.notice_id, lambda each: each.model_copy(update={"attempts": 99}))
        assert other.notices.get(notice.notice_id).attempts == 99
    kept.notices.remove([notice.notice_id, str(uuid4())])
    assert other.notices.all() == []
    with pytest.raises(NotFoundError):
        other.notices.get(notice.notice_id)
    with pytest.raises(NotFoundError):
        other.notices.get("nonsense")


def test_one_process_at_a_time_sends(kept: KeptRecords, other: KeptRecords) -> None:
    assert kept.notices.lead()
    assert kept.notices.lead()
    assert not other.notices.lead()
    other.notices.step_down()
    assert not other.notices.lead()
    kept.notices.step_down()
    assert other.notices.lead()
    assert not kept.notices.lead()
    other.notices.step_down()

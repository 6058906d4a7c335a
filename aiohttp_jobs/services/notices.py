"""NoticeService: lists, retries and deletes notices, with the caller's rights."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from ..access.policy import AccessPolicy
from ..config import JobsConfig
from ..engine.base import NoticeRecords
from ..errors import ConflictError, LimitReachedError
from ..model.identity import Identity
from ..model.job import utc_now
from ..model.notice import Notice, NoticeState
from ..model.notice_rules import EmailRule


class NoticeService:
    """What a user can do with notices. Every method takes the caller's `Identity`.

    `changed` is called when there is something to send.
    """

    def __init__(
        self,
        config: JobsConfig,
        policy: AccessPolicy,
        store: NoticeRecords,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._policy = policy
        self._store = store
        self._changed = changed

    async def require_room(self, user_id: str) -> None:
        """Raise `LimitReachedError` when so many of the user's notices wait that no job may add another."""
        most = self._config.max_pending_notices_per_user

        def count() -> int:
            found = self._store.all()
            return sum(each.user_id == user_id and each.state is NoticeState.PENDING for each in found)

        waiting = await self._store.in_thread(count)
        if waiting >= most:
            raise LimitReachedError(
                "max_pending_notices_per_user",
                most=most,
                used=waiting,
                what="notices waiting to be sent",
                advice="Try again when some were sent, delete some, or submit the job without `notify`.",
            )

    async def list_notices(
        self,
        identity: Identity,
        states: Collection[str],
        *,
        job_id: str | None,
        everyone: bool,
        limit: int,
    ) -> list[dict[str, Any]]:
        """The caller's notices, or those of all users, newest first. Raises `ForbiddenError`."""
        self._policy.require(identity.roles, "list_notices")
        if everyone:
            self._policy.require(identity.roles, "see_all_jobs")

        def is_wanted(notice: Notice) -> bool:
            is_visible = everyone or notice.user_id == identity.user_id
            return is_visible and notice.state in states and job_id in (None, notice.job_id)

        def views() -> list[dict[str, Any]]:
            wanted = [notice for notice in self._store.all() if is_wanted(notice)]
            return [notice.view() for notice in reversed(wanted[-limit:])]

        return await self._store.in_thread(views)

    async def retry(self, identity: Identity, notice_id: str) -> dict[str, Any]:
        """Send a notice now, with as many attempts as a new one; return it.

        Raises `NotFoundError`, `ForbiddenError`, or `ConflictError` when it was sent already.
        """
        self._policy.require(identity.roles, "manage_notices")

        def again(notice: Notice) -> Notice:
            self._require_owner(identity, notice)
            if notice.state is NoticeState.SENT:
                raise ConflictError("The notice has been sent already.")
            changes = {"state": NoticeState.PENDING, "attempts": 0, "next_attempt_at": utc_now()}
            if not notice.remaining and isinstance(notice.rule, EmailRule):
                changes["remaining"] = notice.rule.to
            return notice.model_copy(update=changes)

        notice = await self._store.in_thread(self._store.change, notice_id, again)
        self._changed()
        return notice.view()

    async def delete(self, identity: Identity, notice_id: str) -> None:
        """Delete a notice; one that waits is not sent. Raises `NotFoundError` or `ForbiddenError`."""
        self._policy.require(identity.roles, "manage_notices")

        def remove() -> None:
            self._require_owner(identity, self._store.get(notice_id))
            self._store.remove([notice_id])

        await self._store.in_thread(remove)

    def _require_owner(self, identity: Identity, notice: Notice) -> None:
        self._policy.require_own_or("manage_all_notices", identity, notice.user_id, "notice")

"""Checks the rights of a stored submission again, when its job is picked up."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from ..engine.base import KeysNow
from ..errors import ForbiddenError
from ..model.api_key import ended_with_user
from ..model.functions import FROM_CODE
from ..model.identity import Proof
from ..model.job import Submission, utc_now
from .current_roles import CurrentRoles
from .policy import AccessPolicy


class Submitted(Protocol):
    """The stored fields that say who submitted something: a job or a schedule."""

    @property
    def user_id(self) -> str: ...
    @property
    def submitted_with(self) -> str: ...
    @property
    def roles(self) -> Collection[str]: ...


class RightsCheck:
    """Raises `ForbiddenError` for a submission whose owner may no longer run it.

    The roles are those that the ``roles_resolver`` gives now; without one, those stored in the submission.
    The API key that submitted it must still be enabled and not expired, and limits the roles to its own.
    """

    def __init__(self, policy: AccessPolicy, api_keys: KeysNow, current: CurrentRoles) -> None:
        self._policy = policy
        self._api_keys = api_keys
        self._current = current

    async def __call__(self, submission: Submission) -> None:
        roles = await self.roles(submission)
        self._policy.require_run(roles, submission.execution_mode, submission.concurrency_key)

    async def has_user(self, user_id: str, submitted_with: str) -> bool:
        """Whether the user who was `submitted_with` this proof still exists; true without a resolver.

        Service keys and the host's own code need no user. Raises `RightsUnavailableError` when it cannot be
        found out.
        """
        if submitted_with == FROM_CODE:
            return True
        _, _, key_id = submitted_with.partition(":")
        key = (await self._api_keys.now()).get(key_id) if key_id else None
        if key is not None:
            return await self._current.of_key(key) is not None
        return await self._current.of_user(user_id, ()) is not None

    async def roles(self, submission: Submitted) -> Collection[str]:
        """The current roles of the submitter.

        Raises `ForbiddenError` when the submitter or their key no longer exists, and `RightsUnavailableError`
        when that cannot be found out.
        """
        proof, _, key_id = submission.submitted_with.partition(":")
        if proof == Proof.API_KEY and key_id:
            key = (await self._api_keys.now()).get(key_id)
            if key is None or not key.is_alive_at(utc_now()):
                raise ForbiddenError(
                    "The API key that submitted this job was disabled or deleted, or had expired, "
                    "before the job ran."
                )
            roles = await self._current.of_key(key)
            if roles is None:
                raise ForbiddenError(ended_with_user("The API key that submitted this job", key))
            return roles
        roles = await self._current.of_user(submission.user_id, submission.roles)
        if roles is None:
            raise ForbiddenError(f"The user {submission.user_id!r} no longer exists.")
        return roles

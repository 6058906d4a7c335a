"""Users' current roles, looked up with the host's ``roles_resolver`` and cached; and whether a stored
submission may still run by them.

What a role allows is in ``policy``, authentication in ``http.auth.middleware``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Protocol

from ..config import JobsConfig, RolesResolver
from ..engine.base import KeysNow
from ..errors import AuthenticationError, ForbiddenError, RolesUnavailableError
from ..model.api_key import ApiKey, ended_with_user
from ..model.functions import FROM_CODE
from ..model.identity import Identity, Proof
from ..model.job import Submission, utc_now
from .policy import AccessPolicy

_MOST_KNOWN = 10_000
_CLOSE_SECONDS = 5.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    asked_at: float
    roles: frozenset[str] | None


class CurrentRoles:
    """Users' current roles, from the ``roles_resolver``, cached for ``roles_cache_seconds``.

    Concurrent requests for one user share a lookup. A resolver that raises, returns nonsense or takes longer
    than ``roles_timeout`` seconds makes the methods raise `RolesUnavailableError`: outdated roles are never
    used instead.
    """

    def __init__(self, config: JobsConfig) -> None:
        self._resolver = config.roles_resolver
        self._cache_seconds = config.roles_cache_seconds
        self._timeout = config.roles_timeout
        self._known: dict[str, _Known] = {}
        self._lookups: dict[str, asyncio.Task[frozenset[str] | None]] = {}
        self._is_failing = False

    @property
    def has_resolver(self) -> bool:
        """Whether there is a ``roles_resolver``. Without one, users keep the roles they signed in with."""
        return self._resolver is not None

    async def of_user(self, user_id: str, otherwise: Collection[str]) -> frozenset[str] | None:
        """The user's current roles; ``None`` when there is no such user. Without a resolver: `otherwise`."""
        if self._resolver is None:
            return frozenset(otherwise)
        known = self._known.get(user_id)
        if known is not None and self._is_fresh(known):
            return known.roles
        lookup = self._lookups.get(user_id) or self._begin(self._resolver, user_id)
        done, _ = await asyncio.wait({lookup}, timeout=self._timeout)
        if not done or lookup.cancelled():
            raise RolesUnavailableError
        return lookup.result()

    async def of_key(self, key: ApiKey) -> frozenset[str] | None:
        """The key's roles that its user still has; ``None`` when that user no longer exists.

        A service key keeps all its roles as long as the resolver does not know its user.
        """
        current = await self.of_user(key.user_id, key.roles)
        if current is None:
            return frozenset(key.roles) if key.service else None
        return current & frozenset(key.roles)

    async def apply_to(self, identity: Identity) -> Identity:
        """`identity`, which was not authenticated by an API key of the plugin, with its user's current roles.

        A session gets all of them. An identity from the host's ``identity_resolver`` may have been
        authenticated with a narrower scope, such as a token: it keeps only those roles that the user still
        has. Raises `AuthenticationError` when there is no such user.
        """
        current = await self.of_user(identity.user_id, identity.roles)
        if current is None:
            raise AuthenticationError(
                f"The user {identity.user_id!r} no longer exists, and this sign-in ended with it."
            )
        return replace(
            identity, roles=current if identity.proof is Proof.SESSION else current & identity.roles
        )

    async def close(self) -> None:
        """Cancel the lookups that are running; takes 5 s at most."""
        lookups = set(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        if lookups:
            await asyncio.wait(lookups, timeout=_CLOSE_SECONDS)

    def _is_fresh(self, known: _Known) -> bool:
        return asyncio.get_running_loop().time() - known.asked_at < self._cache_seconds

    def _begin(self, resolver: RolesResolver, user_id: str) -> asyncio.Task[frozenset[str] | None]:
        lookup = asyncio.create_task(self._ask(resolver, user_id), name=f"aiohttp-jobs-roles-{user_id}")
        self._lookups[user_id] = lookup
        lookup.add_done_callback(lambda lookup: self._ended(user_id, lookup))
        return lookup

    def _ended(self, user_id: str, lookup: asyncio.Task[frozenset[str] | None]) -> None:
        del self._lookups[user_id]
        if not lookup.cancelled():
            lookup.exception()  # whoever waited for it may have given up

    async def _ask(self, resolver: RolesResolver, user_id: str) -> frozenset[str] | None:
        asked_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timeout):
                roles = _checked(user_id, await resolver(user_id))
        except Exception:
            if not self._is_failing:
                _logger.exception(
                    "The roles_resolver cannot tell users' roles; they are refused until it can"
                )
            self._is_failing = True
            raise RolesUnavailableError from None
        if self._is_failing:
            _logger.warning("The roles_resolver tells users' roles again")
        self._is_failing = False
        self._keep(user_id, _Known(asked_at, roles))
        return roles

    def _keep(self, user_id: str, known: _Known) -> None:
        self._known.pop(user_id, None)
        self._known[user_id] = known
        while len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]


def _checked(user_id: str, roles: Collection[str] | None) -> frozenset[str] | None:
    """Raises ``TypeError`` or ``ValueError`` for what are no roles."""
    if roles is None:
        return None
    if isinstance(roles, str) or not all(isinstance(role, str) for role in roles):
        raise TypeError(f"a roles_resolver returns a collection of texts, or None, and not {roles!r}")
    return Identity(user_id, roles=frozenset(roles)).roles


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

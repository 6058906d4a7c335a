"""Looks up users' current roles with the host's ``roles_resolver``, and caches them.

What a role allows is in ``policy``, authentication in ``http.auth.middleware``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

from ..config import JobsConfig, RolesResolver
from ..errors import AuthenticationError, RolesUnavailableError
from ..model.api_key import ApiKey
from ..model.identity import Identity, Proof

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

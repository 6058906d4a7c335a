"""Who may run a function of the host, when it is submitted and again when its job is picked up."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from ..engine.base import ClaimedJob
from ..errors import ForbiddenError, InvalidFieldsError, field_error
from ..functions.registry import Function, Functions
from ..model.functions import FROM_CODE
from ..model.job import ExecutionMode, Submission
from ..model.roles import effective_roles
from ..system.secret_box import Vault
from .current_roles import RightsCheck
from .policy import AccessPolicy

_NOT_OURS = (
    "Only the host's own code submits jobs in its own name, and this submission file is not from there."
)


class FunctionRights:
    """Decides in which modes a user may run a function, and whether a job of one may still run."""

    def __init__(self, policy: AccessPolicy, functions: Functions, rights: RightsCheck, vault: Vault) -> None:
        self._policy = policy
        self._functions = functions
        self._rights = rights
        self._vault = vault

    def modes(self, function: Function[..., Any], roles: Collection[str]) -> list[ExecutionMode]:
        """The modes in which someone with `roles` may run the function, the default first; empty if they may
        not.

        One of the function's own roles is enough for every mode. A function without roles needs the same
        rights as a command.
        """
        options = function.options
        if options.roles:
            return list(options.modes) if effective_roles(roles) & options.roles else []
        allowed = self._policy.modes(roles) if self._policy.allows(roles, "submit") else []
        return [mode for mode in options.modes if mode in allowed]

    async def recheck(self, claimed: ClaimedJob, name: str) -> None:
        """Check again, at pick-up, a job of the function `name`: roles and code may have changed.

        Raises `ForbiddenError`.
        """
        submission = claimed.submission
        function = self._functions.get(name)
        if function is None:
            raise ForbiddenError(f"This server no longer has the function {name}, which this job was to run.")
        mode = submission.execution_mode
        if mode not in function.options.modes:
            raise ForbiddenError(f"The function {function.name} no longer runs in {mode}. Run it anew.")
        if submission.submitted_with != FROM_CODE:
            roles = await self._rights.roles(submission)
            if mode not in self.modes(function, roles):
                raise ForbiddenError(f"Your roles no longer allow you to run {function.name} in {mode}.")
        elif not claimed.is_signed:
            raise ForbiddenError(_NOT_OURS)
        if not claimed.accepted_here:  # those were checked when they were accepted, by the same code
            await asyncio.to_thread(self._require_values, function, submission)

    def _require_values(self, function: Function[..., Any], submission: Submission) -> None:
        secrets = self._vault.unseal(submission.job_id, submission.sealed_values)
        try:
            checked = function.signature.validate({**(submission.function_values or {}), **secrets})
            if changed := sorted(checked.secret.keys() ^ secrets.keys()):
                message = "is a secret by now, or was one; run the function anew"
                raise InvalidFieldsError.of([field_error(f"values.{name}", message) for name in changed])
        except InvalidFieldsError as error:
            raise ForbiddenError(
                f"The function {function.name} does not take this job's values: {error.message}"
            ) from None

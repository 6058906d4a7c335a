"""Lists the tools that a caller may use, page by page, or finds one by its name.

They are computed for each request, so a lost role or a deleted template removes its tools at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from ...model.identity import Identity
from ...system.jsontext import dumps
from ...system.one_by_one import one_by_one
from ..app_keys import ACCESS
from ..functions import FUNCTIONS
from ..templates import TEMPLATES
from .job_tools import job_tools, only_modes
from .own_tools import FUNCTION, TEMPLATE, function_tools, template_tools
from .result_tools import result_tools
from .tool import Tool

_MOST_TOOLS = 100
_MOST_BYTES = 256 * 1024


class Catalogue:
    """The tools of one application; `limits` are the settings that their schemas show."""

    def __init__(self, app: web.Application, limits: Mapping[str, Any]) -> None:
        self._app = app
        self._every = [*job_tools(limits), *result_tools()]

    async def page(self, identity: Identity, after: str) -> tuple[list[bytes], str | None]:
        """Some tools, as JSON texts ordered by name, after the name `after`; and where the next page begins,
        if there is one.
        """
        tools = sorted(await self._all(identity), key=lambda tool: tool.name)
        wanted = [tool for tool in tools if tool.name > after][: _MOST_TOOLS + 1]
        texts = await one_by_one(lambda tool: dumps(tool.to_json()), wanted)
        count = _fitting(texts)
        return texts[:count], wanted[count - 1].name if count < len(wanted) else None

    async def find(self, identity: Identity, name: str) -> Tool | None:
        """The tool with this name, if `identity` may use it."""
        kind = name.partition("_")[0]
        if kind in (FUNCTION, TEMPLATE):
            tools = await self._of_kind(identity, kind)
        else:
            tools = self._fixed(identity)
        return next((tool for tool in tools if tool.name == name), None)

    async def _all(self, identity: Identity) -> list[Tool]:
        functions = await self._of_kind(identity, FUNCTION)
        return [*self._fixed(identity), *functions, *await self._of_kind(identity, TEMPLATE)]

    def _fixed(self, identity: Identity) -> list[Tool]:
        policy = self._app[ACCESS]
        found = [
            tool for tool in self._every if tool.right is None or policy.allows(identity.roles, tool.right)
        ]
        modes = policy.modes(identity.roles)
        return [
            only_modes(tool, modes) if tool.right == "submit" else tool
            for tool in found
            if modes or tool.right != "submit"
        ]

    async def _of_kind(self, identity: Identity, kind: str) -> list[Tool]:
        if kind == FUNCTION:
            return _distinct(function_tools(await self._app[FUNCTIONS].list_functions(identity)))
        return _distinct(template_tools(await self._app[TEMPLATES].list_templates(identity)))


def _distinct(tools: Sequence[Tool]) -> list[Tool]:
    """Without those whose name another has already, which is as likely as two ids that begin alike."""
    return list({tool.name: tool for tool in reversed(tools)}.values())


def _fitting(texts: Sequence[bytes]) -> int:
    """How many of `texts` one answer has: one at least, if there is one."""
    size = 0
    for count, text in enumerate(texts[:_MOST_TOOLS]):
        size += len(text)
        if count and size > _MOST_BYTES:
            return count
    return min(len(texts), _MOST_TOOLS)

"""JobsClient: a typed asyncio client of the plugin's HTTP API, one module for each resource.

Printing and options are left to the ``cli`` package.
"""

from __future__ import annotations

from .account import ApiKeyCalls
from .connection import ClientError, Connection, Record
from .download import SavedHow, SavedOutput
from .events import JobEvent
from .functions import FunctionCalls
from .jobs import JobCalls
from .notices import NoticeCalls
from .queue import QueueCalls
from .results import ResultCalls
from .schedules import ScheduleCalls
from .sessions import SessionCalls
from .templates import TemplateCalls
from .workers import WorkerCalls

__all__ = ["ClientError", "JobEvent", "JobsClient", "Record", "SavedHow", "SavedOutput"]


class JobsClient(JobCalls, ResultCalls, QueueCalls, Connection):
    """Talks to the plugin mounted at `url`, such as ``https://host/apps/WebHostTaskManagement``.

    Use it as an async context manager. Every method raises `ClientError` when the server refuses and
    ``aiohttp.ClientConnectionError`` when it cannot be reached. `timeout` is in seconds, for each
    request but `follow`. In place of the key, `session` may be one that is signed in by cookie; it is
    not closed. `proxy` is the address of an HTTP proxy to go through, and `headers`, such as ``traceparent``,
    are sent with each request. Jobs, results and the queue are methods of its own; the rest are in
    `schedules`, `templates`, `functions`, `notices`, `workers`, `api_keys` and `sessions`.
    """

    @property
    def schedules(self) -> ScheduleCalls:
        return ScheduleCalls(self)

    @property
    def templates(self) -> TemplateCalls:
        return TemplateCalls(self)

    @property
    def functions(self) -> FunctionCalls:
        return FunctionCalls(self)

    @property
    def notices(self) -> NoticeCalls:
        return NoticeCalls(self)

    @property
    def workers(self) -> WorkerCalls:
        return WorkerCalls(self)

    @property
    def api_keys(self) -> ApiKeyCalls:
        """Only for who is signed in: a key cannot make keys."""
        return ApiKeyCalls(self)

    @property
    def sessions(self) -> SessionCalls:
        """For who is signed in, and for administrators' keys."""
        return SessionCalls(self)

    async def me(self) -> Record:
        """Who the server takes the caller for, and what they may do."""
        return dict((await self.call("GET", "/me"))["me"])

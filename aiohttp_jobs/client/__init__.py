"""JobsClient: a typed asyncio client of the HTTP API, one module for each resource.

The ``cli`` package uses it.
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
    """A client of the plugin that is mounted at `url`, such as ``https://host/apps/WebHostTaskManagement``.

    Use it as an async context manager. Every method raises `ClientError` when the server refuses the request,
    and ``aiohttp.ClientConnectionError`` when it cannot be reached. `timeout` is in seconds, for each request
    except `follow`. Instead of an API key, `session` may be a session that is signed in by cookie; it is not
    closed. `proxy` is the address of an HTTP proxy; `headers`, such as ``traceparent``, are sent with each
    request.

    Jobs, results and the queue are methods of the client itself; the rest is in `schedules`, `templates`,
    `functions`, `notices`, `workers`, `api_keys` and `sessions`.
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
        """Manage API keys. Needs a session: a key cannot create keys."""
        return ApiKeyCalls(self)

    @property
    def sessions(self) -> SessionCalls:
        """Manage sessions. Needs a session, or an administrator's key."""
        return SessionCalls(self)

    async def me(self) -> Record:
        """The caller's identity and rights."""
        return dict((await self.call("GET", "/me"))["me"])

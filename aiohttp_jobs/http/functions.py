"""``/api/v1/functions``: lists, shows and runs the host's own functions."""

from __future__ import annotations

from aiohttp import web

from ..errors import ForbiddenError, NotFoundError
from ..model.functions import FunctionRunRequest
from ..services.functions import FunctionService
from .answers import SUBMITTED, NamedModel, answering, listing
from .app_keys import CONFIG
from .auth.middleware import needs
from .bodies import read_model
from .envelope import answer, encoded, listed
from .operations import operation
from .request_keys import IDENTITY
from .submitting import JOB_MADE, SUBMITTING_ERRORS, WAIT, asked_wait, submitted

FUNCTIONS = web.AppKey("aiohttp_jobs.functions", FunctionService)

_ALL = "/api/v1/functions"
_ONE = "/api/v1/functions/{name}"

routes = web.RouteTableDef()


@routes.get(_ALL)
@operation("List functions", {200: listing("Functions", functions=NamedModel("FunctionView"))})
@needs()
async def list_functions(request: web.Request) -> web.StreamResponse:
    """The host's own functions that the caller may run."""
    functions = await request.app[FUNCTIONS].list_functions(request[IDENTITY])
    return await listed(request, "functions", await encoded(functions))


@routes.get(_ONE)
@operation(
    "Get a function",
    {200: answering("OneFunction", function=NamedModel("FunctionView"))},
    errors=(NotFoundError,),
)
@needs()
async def get_function(request: web.Request) -> web.Response:
    """One function, by its current or a former name."""
    function = await request.app[FUNCTIONS].get(request[IDENTITY], request.match_info["name"])
    return answer({"success": True, "function": function})


@routes.post(_ONE + "/run")
@operation(
    "Run a function",
    {200: SUBMITTED},
    body=FunctionRunRequest,
    parameters=(WAIT,),
    errors=(ForbiddenError, NotFoundError, *SUBMITTING_ERRORS),
    makes=JOB_MADE,
    example={"values": {"index": "users"}},
)
@needs()
async def run_function(request: web.Request) -> web.Response:
    """Submit a job that runs the function. The response is that of submitting a job."""
    service, identity, name = request.app[FUNCTIONS], request[IDENTITY], request.match_info["name"]
    service.require_runner(identity, name)
    with asked_wait(request) as wait:
        body = await read_model(request, FunctionRunRequest, request.app[CONFIG].max_body_bytes)
        return await submitted(request, await service.run(identity, name, body), wait)

"""``/api/v1/templates``: creates, lists, shows, replaces, deletes and runs templates."""

from __future__ import annotations

from aiohttp import web

from ..errors import ConflictError, ForbiddenError, NotFoundError, TooManyKeptError
from ..model.template import RunRequest, TemplateRequest
from ..services.rerun import Reruns
from ..services.templates import TemplateService
from .answers import DONE, SUBMITTED, NamedModel, answering, listing
from .app_keys import CONFIG
from .auth.middleware import needs
from .bodies import read_model
from .envelope import answer, encoded, listed, path_id
from .jobs import JOB
from .operations import operation
from .request_keys import IDENTITY
from .submitting import JOB_MADE, SUBMITTING_ERRORS, WAIT, asked_wait, submitted

TEMPLATES = web.AppKey("aiohttp_jobs.templates", TemplateService)
RERUNS = web.AppKey("aiohttp_jobs.reruns", Reruns)

_ALL = "/api/v1/templates"
_ONE = "/api/v1/templates/{template_id}"
_EXAMPLE = {
    "name": "deploy",
    "command": 'deploy -- "$PARAM_version"',
    "executionMode": "BackgroundJob",
    "parameters": [{"name": "version", "type": "string", "required": True}],
    "runRoles": ["operator"],
}
_TEMPLATE = answering("OneTemplate", template=NamedModel("TemplateView"))
_ONE_OF_THEM = (ForbiddenError, NotFoundError)
_SUBMITTING = (*_ONE_OF_THEM, *SUBMITTING_ERRORS)

routes = web.RouteTableDef()


@routes.post(_ALL)
@operation(
    "Create a template",
    {201: _TEMPLATE},
    body=TemplateRequest,
    errors=(ForbiddenError, TooManyKeptError),
    makes={"templateId": "/template/TemplateID"},
    example=_EXAMPLE,
)
@needs("manage_templates", "submit")
async def create_template(request: web.Request) -> web.Response:
    """Save a command with parameters, for users who may run it but submit no commands of their own."""
    body = await read_model(request, TemplateRequest, request.app[CONFIG].max_body_bytes)
    template = await request.app[TEMPLATES].create(request[IDENTITY], body)
    return answer({"success": True, "template": template}, status=201)


@routes.get(_ALL)
@operation("List templates", {200: listing("Templates", templates=NamedModel("TemplateView"))})
@needs()
async def list_templates(request: web.Request) -> web.StreamResponse:
    """The templates that the caller may run or edit."""
    templates = await request.app[TEMPLATES].list_templates(request[IDENTITY])
    return await listed(request, "templates", await encoded(templates))


@routes.get(_ONE)
@operation("Get a template", {200: _TEMPLATE}, errors=(NotFoundError,))
@needs()
async def get_template(request: web.Request) -> web.Response:
    """One template that the caller may run or edit."""
    template = await request.app[TEMPLATES].get(request[IDENTITY], path_id(request, "template"))
    return answer({"success": True, "template": template})


@routes.put(_ONE)
@operation(
    "Replace a template", {200: _TEMPLATE}, body=TemplateRequest, errors=_ONE_OF_THEM, example=_EXAMPLE
)
@needs("manage_templates", "submit")
async def replace_template(request: web.Request) -> web.Response:
    """Replace the whole template; fields that are left out get their defaults.

    The caller owns it from now on.
    """
    service, identity, template_id = (
        request.app[TEMPLATES],
        request[IDENTITY],
        path_id(request, "template"),
    )
    await service.require_editor(identity, template_id)
    body = await read_model(request, TemplateRequest, request.app[CONFIG].max_body_bytes)
    template = await service.replace(identity, template_id, body)
    return answer({"success": True, "template": template})


@routes.delete(_ONE)
@operation("Delete a template", {200: DONE}, errors=_ONE_OF_THEM)
@needs("manage_templates")
async def delete_template(request: web.Request) -> web.Response:
    """Delete a template and its triggers. Jobs that still wait for their turn will be rejected."""
    await request.app[TEMPLATES].delete(request[IDENTITY], path_id(request, "template"))
    return answer({"success": True, "message": "Template deleted successfully"})


@routes.post(_ONE + "/run")
@operation(
    "Run a template",
    {200: SUBMITTED},
    body=RunRequest,
    parameters=(WAIT,),
    errors=_SUBMITTING,
    makes=JOB_MADE,
    example={"values": {"version": "1.4"}},
)
@needs()
async def run_template(request: web.Request) -> web.Response:
    """Submit a job that runs the template. The response is that of submitting a job."""
    service, identity, template_id = (
        request.app[TEMPLATES],
        request[IDENTITY],
        path_id(request, "template"),
    )
    await service.require_runner(identity, template_id)
    with asked_wait(request) as wait:
        body = await read_model(request, RunRequest, request.app[CONFIG].max_body_bytes)
        return await submitted(request, await service.run(identity, template_id, body), wait)


@routes.post(JOB + "/rerun")
@operation(
    "Rerun a job",
    {200: SUBMITTED},
    parameters=(WAIT,),
    errors=(*_SUBMITTING, ConflictError),
    makes=JOB_MADE,
)
@needs()
async def rerun_job(request: web.Request) -> web.Response:
    """Submit the same job again, as the caller's own. The response is that of submitting a job."""
    identity, job_id = request[IDENTITY], path_id(request, "job")
    with asked_wait(request) as wait:
        return await submitted(request, await request.app[RERUNS].rerun(identity, job_id), wait)

"""``/api/v1/templates``: making, listing, showing, replacing, deleting and running templates."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ..auth.middleware import identity_of
from ..rerun import Reruns
from ..templates.models import RunRequest, TemplateRequest
from ..templates.service import TemplateService
from .envelope import answer, path_job_id, path_template_id, read_model, read_submission
from .jobs import JOB, submitted
from .keys import CONFIG

TEMPLATES = web.AppKey("aiohttp_jobs.templates", TemplateService)
RERUNS = web.AppKey("aiohttp_jobs.reruns", Reruns)

_ALL = "/api/v1/templates"
_ONE = "/api/v1/templates/{template_id}"

routes = web.RouteTableDef()


@routes.post(_ALL)
async def create_template(request: web.Request) -> web.Response:
    service, identity = request.app[TEMPLATES], identity_of(request)
    most = request.app[CONFIG].max_body_bytes
    body = await read_submission(request, TemplateRequest, most, partial(service.require_author, identity))
    template = await service.create(identity, body)
    return answer({"success": True, "template": template}, status=201)


@routes.get(_ALL)
async def list_templates(request: web.Request) -> web.Response:
    """Those that the caller may run or edit."""
    templates = await request.app[TEMPLATES].list_templates(identity_of(request))
    return answer({"success": True, "count": len(templates), "templates": templates})


@routes.get(_ONE)
async def get_template(request: web.Request) -> web.Response:
    template = await request.app[TEMPLATES].get(identity_of(request), path_template_id(request))
    return answer({"success": True, "template": template})


@routes.put(_ONE)
async def replace_template(request: web.Request) -> web.Response:
    """The whole template, as for making one; fields that are left out take their defaults."""
    service, identity, template_id = request.app[TEMPLATES], identity_of(request), path_template_id(request)
    await service.require_editor(identity, template_id)
    body = await read_model(request, TemplateRequest, request.app[CONFIG].max_body_bytes)
    template = await service.replace(identity, template_id, body)
    return answer({"success": True, "template": template})


@routes.delete(_ONE)
async def delete_template(request: web.Request) -> web.Response:
    await request.app[TEMPLATES].delete(identity_of(request), path_template_id(request))
    return answer({"success": True, "message": "Template deleted successfully"})


@routes.post(_ONE + "/run")
async def run_template(request: web.Request) -> web.Response:
    """Answers as submitting does."""
    service, identity, template_id = request.app[TEMPLATES], identity_of(request), path_template_id(request)
    await service.get(identity, template_id)
    body = await read_model(request, RunRequest, request.app[CONFIG].max_body_bytes)
    return submitted(await service.run(identity, template_id, body))


@routes.post(JOB + "/rerun")
async def rerun_job(request: web.Request) -> web.Response:
    """The same job once more, as the caller's own. Answers as submitting does."""
    return submitted(await request.app[RERUNS].rerun(identity_of(request), path_job_id(request)))

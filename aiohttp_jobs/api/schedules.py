"""``/api/v1/schedules``: making, listing, showing, changing and deleting schedules."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ..auth.middleware import identity_of
from ..schedule.models import MOST_RUNS, PreviewQuery, ScheduleChange, ScheduleRequest
from ..schedule.service import ScheduleService
from .envelope import answer, path_schedule_id, query_count, query_everyone, read_model, read_submission
from .keys import CONFIG
from .result_query import read_query

SCHEDULES = web.AppKey("aiohttp_jobs.schedules", ScheduleService)

_ALL = "/api/v1/schedules"
_ONE = "/api/v1/schedules/{schedule_id}"
_DEFAULT_RUNS = 10

routes = web.RouteTableDef()


@routes.post(_ALL)
async def create_schedule(request: web.Request) -> web.Response:
    service, identity = request.app[SCHEDULES], identity_of(request)
    most = request.app[CONFIG].max_body_bytes
    body = await read_submission(request, ScheduleRequest, most, partial(service.require_submitter, identity))
    schedule = await service.create(identity, body)
    return answer({"success": True, "schedule": schedule}, status=201)


@routes.get(_ALL)
async def list_schedules(request: web.Request) -> web.Response:
    """The caller's own schedules; ``scope=all`` for administrators."""
    everyone = query_everyone(request)
    schedules = await request.app[SCHEDULES].list_schedules(identity_of(request), everyone=everyone)
    return answer({"success": True, "count": len(schedules), "schedules": schedules})


@routes.get(_ALL + "/preview")
async def preview_schedule(request: web.Request) -> web.Response:
    """When a cron line would fire, for whoever is about to make a schedule of it."""
    runs = await request.app[SCHEDULES].preview(read_query(request, PreviewQuery))
    return answer({"success": True, "count": len(runs), "runs": runs})


@routes.get(_ONE)
async def get_schedule(request: web.Request) -> web.Response:
    schedule = await request.app[SCHEDULES].get(identity_of(request), path_schedule_id(request))
    return answer({"success": True, "schedule": schedule})


@routes.get(_ONE + "/next")
async def next_runs(request: web.Request) -> web.Response:
    """The next ``count`` moments (1 to 100): in UTC, on the zone's clock, and with jitter."""
    schedule_id = path_schedule_id(request)
    count = query_count(request, "count", _DEFAULT_RUNS, MOST_RUNS)
    runs = await request.app[SCHEDULES].next_runs(identity_of(request), schedule_id, count)
    return answer({"success": True, "count": len(runs), "runs": runs})


@routes.patch(_ONE)
async def change_schedule(request: web.Request) -> web.Response:
    """Fields that are left out stay as they are, those inside ``job`` too."""
    service, identity, schedule_id = request.app[SCHEDULES], identity_of(request), path_schedule_id(request)
    await service.get(identity, schedule_id)
    change = await read_model(request, ScheduleChange, request.app[CONFIG].max_body_bytes)
    schedule = await service.update(identity, schedule_id, change)
    return answer({"success": True, "schedule": schedule})


@routes.delete(_ONE)
async def delete_schedule(request: web.Request) -> web.Response:
    """Jobs that the schedule submitted are not touched."""
    await request.app[SCHEDULES].delete(identity_of(request), path_schedule_id(request))
    return answer({"success": True, "message": "Schedule deleted successfully"})

"""``/api/v1/schedules``: making, listing, showing, changing and deleting schedules."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web
from pydantic import TypeAdapter

from ..errors import ConflictError, ForbiddenError, NotFoundError, TooManyKeptError
from ..model.schedule import (
    MOST_RUNS,
    CronLine,
    Moment,
    Preview,
    ScheduleChange,
    ScheduleRequest,
    TimeZone,
)
from ..services.schedules import ScheduleService
from .app_keys import CONFIG
from .auth.middleware import identity_of
from .auth.rights import needs
from .bodies import read_model
from .envelope import answer, encoded, listed, path_id
from .openapi.answers import Done, answering, listing
from .openapi.operations import operation
from .openapi.parameters import SCOPE, Count, Needed, Value, require_known
from .openapi.records import ScheduledRun, ScheduleView

SCHEDULES = web.AppKey("aiohttp_jobs.schedules", ScheduleService)

_ALL = "/api/v1/schedules"
_ONE = "/api/v1/schedules/{schedule_id:(?!preview$)[^/]+}"
_COUNT = Count(name="count", default=10, most=MOST_RUNS)
_FIVE = Count(name="count", default=5, most=MOST_RUNS)
_CRON = Needed[str](name="cron", adapter=TypeAdapter(CronLine))
_ZONE = Value[str](name="timezone", adapter=TypeAdapter(TimeZone), description="IANA; UTC by default.")
_START = Value[datetime](name="startAt", adapter=TypeAdapter(Moment))
_END = Value[datetime](name="endAt", adapter=TypeAdapter(Moment))
_PREVIEW = (_CRON, _ZONE, _START, _END, _FIVE)
_SCHEDULE = answering("OneSchedule", schedule=ScheduleView)
_ONE_OF_THEM = (ForbiddenError, NotFoundError)

routes = web.RouteTableDef()


@routes.post(_ALL)
@operation(
    "Make a schedule",
    {201: _SCHEDULE},
    body=ScheduleRequest,
    errors=(ForbiddenError, NotFoundError, TooManyKeptError),
    makes={"scheduleId": "/schedule/ScheduleID"},
)
@needs("submit")
async def create_schedule(request: web.Request) -> web.Response:
    body = await read_model(request, ScheduleRequest, request.app[CONFIG].max_body_bytes)
    schedule = await request.app[SCHEDULES].create(identity_of(request), body)
    return answer({"success": True, "schedule": schedule}, status=201)


@routes.get(_ALL)
@operation(
    "List schedules",
    {200: listing("Schedules", schedules=ScheduleView)},
    parameters=(SCOPE,),
    errors=(ForbiddenError,),
)
@needs()
async def list_schedules(request: web.Request) -> web.StreamResponse:
    """The caller's own schedules; ``scope=all`` for administrators."""
    everyone = SCOPE.of(request) == "all"
    schedules = await request.app[SCHEDULES].list_schedules(identity_of(request), everyone=everyone)
    return await listed(request, "schedules", await encoded(schedules))


@routes.get(_ALL + "/preview")
@operation("Try a cron line", {200: listing("PreviewedRuns", runs=ScheduledRun)}, parameters=_PREVIEW)
@needs()
async def preview_schedule(request: web.Request) -> web.Response:
    """When a cron line would fire, for whoever is about to make a schedule of it."""
    require_known(request, _PREVIEW)
    wanted = Preview(
        cron=_CRON.of(request) or "",
        timezone=_ZONE.of(request) or "UTC",
        start_at=_START.of(request),
        end_at=_END.of(request),
        count=_FIVE.of(request),
    )
    runs = await request.app[SCHEDULES].preview(wanted)
    return answer({"success": True, "count": len(runs), "runs": runs})


@routes.get(_ONE)
@operation("Show a schedule", {200: _SCHEDULE}, errors=_ONE_OF_THEM)
@needs()
async def get_schedule(request: web.Request) -> web.Response:
    schedule = await request.app[SCHEDULES].get(identity_of(request), path_id(request, "schedule"))
    return answer({"success": True, "schedule": schedule})


@routes.get(_ONE + "/next")
@operation(
    "Tell when a schedule fires",
    {200: listing("Runs", runs=ScheduledRun)},
    parameters=(_COUNT,),
    errors=_ONE_OF_THEM,
)
@needs()
async def next_runs(request: web.Request) -> web.Response:
    """The next ``count`` moments (1 to 100): in UTC, on the zone's clock, and with jitter."""
    schedule_id = path_id(request, "schedule")
    runs = await request.app[SCHEDULES].next_runs(identity_of(request), schedule_id, _COUNT.of(request))
    return answer({"success": True, "count": len(runs), "runs": runs})


@routes.patch(_ONE)
@operation("Change a schedule", {200: _SCHEDULE}, body=ScheduleChange, errors=(*_ONE_OF_THEM, ConflictError))
@needs()
async def change_schedule(request: web.Request) -> web.Response:
    """Fields that are left out stay as they are, those inside ``job`` too."""
    service, identity, schedule_id = (
        request.app[SCHEDULES],
        identity_of(request),
        path_id(request, "schedule"),
    )
    await service.get(identity, schedule_id)
    change = await read_model(request, ScheduleChange, request.app[CONFIG].max_body_bytes)
    schedule = await service.update(identity, schedule_id, change)
    return answer({"success": True, "schedule": schedule})


@routes.delete(_ONE)
@operation("Delete a schedule", {200: Done}, errors=_ONE_OF_THEM)
@needs()
async def delete_schedule(request: web.Request) -> web.Response:
    """Jobs that the schedule submitted are not touched."""
    await request.app[SCHEDULES].delete(identity_of(request), path_id(request, "schedule"))
    return answer({"success": True, "message": "Schedule deleted successfully"})

"""``/api/v1/schedules``: creates, lists, shows, changes and deletes schedules."""

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
from .answers import DONE, NamedModel, answering, listing
from .app_keys import CONFIG
from .auth.middleware import needs
from .bodies import read_model
from .envelope import answer, encoded, listed, path_id
from .operations import operation
from .parameters import SCOPE, Count, RequiredValue, Value, require_known
from .request_keys import IDENTITY

SCHEDULES = web.AppKey("aiohttp_jobs.schedules", ScheduleService)

_ALL = "/api/v1/schedules"
_ONE = "/api/v1/schedules/{schedule_id:(?!preview$)[^/]+}"
_COUNT = Count(name="count", default=10, most=MOST_RUNS, description="How many runs to list.")
_FIVE = Count(name="count", default=5, most=MOST_RUNS, description="How many runs to list.")
_CRON = RequiredValue[str](
    name="cron", adapter=TypeAdapter(CronLine), description="Five fields, or `@hourly`, `@daily`, …"
)
_ZONE = Value[str](
    name="timezone", adapter=TypeAdapter(TimeZone), description="An IANA time zone; UTC by default."
)
_START = Value[datetime](name="startAt", adapter=TypeAdapter(Moment), description="No runs before this time.")
_END = Value[datetime](name="endAt", adapter=TypeAdapter(Moment), description="No runs after this time.")
_PREVIEW = (_CRON, _ZONE, _START, _END, _FIVE)
_SCHEDULE = answering("OneSchedule", schedule=NamedModel("ScheduleView"))
_ONE_OF_THEM = (ForbiddenError, NotFoundError)

routes = web.RouteTableDef()


@routes.post(_ALL)
@operation(
    "Create a schedule",
    {201: _SCHEDULE},
    body=ScheduleRequest,
    errors=(ForbiddenError, NotFoundError, TooManyKeptError),
    makes={"scheduleId": "/schedule/ScheduleID"},
    example={
        "name": "nightly",
        "cron": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "job": {"jobName": "nightly", "command": "make backup", "executionMode": "BackgroundJob"},
    },
)
@needs("submit")
async def create_schedule(request: web.Request) -> web.Response:
    """Submit a command or a function by a cron schedule. The caller owns it."""
    body = await read_model(request, ScheduleRequest, request.app[CONFIG].max_body_bytes)
    schedule = await request.app[SCHEDULES].create(request[IDENTITY], body)
    return answer({"success": True, "schedule": schedule}, status=201)


@routes.get(_ALL)
@operation(
    "List schedules",
    {200: listing("Schedules", schedules=NamedModel("ScheduleView"))},
    parameters=(SCOPE,),
    errors=(ForbiddenError,),
)
@needs()
async def list_schedules(request: web.Request) -> web.StreamResponse:
    """The caller's schedules; those of all users with ``scope=all``."""
    everyone = SCOPE.of(request) == "all"
    schedules = await request.app[SCHEDULES].list_schedules(request[IDENTITY], everyone=everyone)
    return await listed(request, "schedules", await encoded(schedules))


@routes.get(_ALL + "/preview")
@operation(
    "Preview a cron line",
    {200: listing("PreviewedRuns", runs=NamedModel("ScheduledRun"))},
    parameters=_PREVIEW,
)
@needs()
async def preview_schedule(request: web.Request) -> web.Response:
    """The next runs of a cron line, before a schedule is created with it."""
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
@operation("Get a schedule", {200: _SCHEDULE}, errors=_ONE_OF_THEM)
@needs()
async def get_schedule(request: web.Request) -> web.Response:
    """One schedule and its next run."""
    schedule = await request.app[SCHEDULES].get(request[IDENTITY], path_id(request, "schedule"))
    return answer({"success": True, "schedule": schedule})


@routes.get(_ONE + "/next")
@operation(
    "List the next runs of a schedule",
    {200: listing("Runs", runs=NamedModel("ScheduledRun"))},
    parameters=(_COUNT,),
    errors=_ONE_OF_THEM,
)
@needs()
async def next_runs(request: web.Request) -> web.Response:
    """The next ``count`` runs (1 to 100): in UTC, in the schedule's time zone, and with jitter."""
    schedule_id = path_id(request, "schedule")
    runs = await request.app[SCHEDULES].next_runs(request[IDENTITY], schedule_id, _COUNT.of(request))
    return answer({"success": True, "count": len(runs), "runs": runs})


@routes.patch(_ONE)
@operation(
    "Change a schedule",
    {200: _SCHEDULE},
    body=ScheduleChange,
    errors=(*_ONE_OF_THEM, ConflictError),
    example={"enabled": False},
)
@needs()
async def change_schedule(request: web.Request) -> web.Response:
    """Change the fields that are given; all others stay, also those inside ``job``."""
    service, identity, schedule_id = (
        request.app[SCHEDULES],
        request[IDENTITY],
        path_id(request, "schedule"),
    )
    await service.get(identity, schedule_id)
    change = await read_model(request, ScheduleChange, request.app[CONFIG].max_body_bytes)
    schedule = await service.update(identity, schedule_id, change)
    return answer({"success": True, "schedule": schedule})


@routes.delete(_ONE)
@operation("Delete a schedule", {200: DONE}, errors=_ONE_OF_THEM)
@needs()
async def delete_schedule(request: web.Request) -> web.Response:
    """Delete a schedule. Jobs that it has submitted are not affected."""
    await request.app[SCHEDULES].delete(request[IDENTITY], path_id(request, "schedule"))
    return answer({"success": True, "message": "Schedule deleted successfully"})

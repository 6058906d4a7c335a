"""``/api/v1/templates/{id}/triggers``, ``/api/v1/triggers``, and ``/triggers/{id}``, which receives
deliveries.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from ..errors import (
    AuthenticationError,
    BusyError,
    ForbiddenError,
    MalformedJSONError,
    NotFoundError,
    NotJSONError,
    TooLargeError,
    TooManyAttemptsError,
    TooManyKeptError,
)
from ..model.template_trigger import TemplateTriggerRequest, TriggerChange
from ..services.trigger_deliveries import TriggerDeliveries
from ..services.triggers import TriggerService
from .answers import DONE, NamedModel, answering, listing
from .app_keys import CONFIG
from .auth.middleware import needs, public
from .auth.wrong_keys import WrongKeys, network_of
from .bodies import UNREADABLE, read_model
from .envelope import answer, encoded, listed, path_id
from .operations import ROOT, operation, unlisted
from .request_keys import IDENTITY


class Receiving:
    """Limits the deliveries that are being received, by address, as their senders are not authenticated yet.

    One address gets at most as many places as are left for all others, so slow senders cannot lock others
    out.
    """

    def __init__(self) -> None:
        self._by_address: Counter[str] = Counter()

    @contextmanager
    def one_from(self, remote: str | None) -> Iterator[None]:
        """Take one place for `address` while the block runs. Raises `BusyError`."""
        address = network_of(remote)
        if self._by_address[address] >= _MOST_AT_ONCE - self._by_address.total():
            raise BusyError("Too many deliveries are being received at once. Try again in a few seconds.")
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._by_address -= Counter({address: 1})


TRIGGERS = web.AppKey("aiohttp_jobs.triggers", TriggerService)
DELIVERIES = web.AppKey("aiohttp_jobs.trigger_deliveries", TriggerDeliveries)
RECEIVING = web.AppKey("aiohttp_jobs.receiving", Receiving)
WRONG_SECRETS = web.AppKey("aiohttp_jobs.wrong_trigger_secrets", WrongKeys)

_OF_TEMPLATE = "/api/v1/templates/{template_id}/triggers"
_ONE = "/api/v1/triggers/{trigger_id}"
_MADE = answering("MadeTrigger", trigger=NamedModel("TriggerView"), secret=str)
_SECRET = answering("TriggerSecret", secret=str)
_BODY_SECONDS = 10.0
_MOST_AT_ONCE = 128
_LONGEST_ID = 64
_WRONG = (
    "There is no such trigger, or this request does not know its secret. Check its address and its secret."
)
_TOO_MANY = (
    "This secret does not hold, and too many such were tried. Stop for a minute, then send a valid one."
)

routes = web.RouteTableDef()


@routes.post(_OF_TEMPLATE)
@operation(
    "Create a trigger",
    {201: _MADE},
    body=TemplateTriggerRequest,
    errors=(ForbiddenError, NotFoundError, TooManyKeptError),
    makes={"triggerId": "/trigger/TriggerID"},
    example={
        "name": "github",
        "proof": "github",
        "paths": {"version": "ref"},
        "only": [{"path": "repository.full_name", "equals": "example/site"}],
    },
)
@needs("manage_triggers")
async def create_trigger(request: web.Request) -> web.Response:
    """Create a webhook address that runs the template as the caller.

    Its secret is shown only in this response.
    """
    template_id = path_id(request, "template")
    await request.app[TRIGGERS].require_maker(request[IDENTITY], template_id)
    body = await read_model(request, TemplateTriggerRequest, request.app[CONFIG].max_body_bytes)
    trigger, secret = await request.app[TRIGGERS].create(request[IDENTITY], template_id, body)
    return answer({"success": True, "trigger": _shown(request, trigger), "secret": secret}, status=201)


@routes.get(_OF_TEMPLATE)
@operation(
    "List the triggers of a template",
    {200: listing("Triggers", triggers=NamedModel("TriggerView"))},
    errors=(NotFoundError,),
)
@needs()
async def list_triggers(request: web.Request) -> web.StreamResponse:
    """The caller's triggers of the template; all of them for those who may edit it."""
    triggers = await request.app[TRIGGERS].of_template(request[IDENTITY], path_id(request, "template"))
    return await listed(request, "triggers", await encoded([_shown(request, each) for each in triggers]))


@routes.patch(_ONE)
@operation(
    "Enable or disable a trigger",
    {200: answering("OneTrigger", trigger=NamedModel("TriggerView"))},
    body=TriggerChange,
    errors=(ForbiddenError, NotFoundError),
    example={"enabled": False},
)
@needs("manage_triggers")
async def change_trigger(request: web.Request) -> web.Response:
    """Enable or disable a trigger. While it is disabled, deliveries are refused with 403."""
    identity, trigger_id = request[IDENTITY], path_id(request, "trigger")
    await request.app[TRIGGERS].require_changeable(identity, trigger_id)
    change = await read_model(request, TriggerChange, request.app[CONFIG].max_body_bytes)
    trigger = await request.app[TRIGGERS].set_enabled(identity, trigger_id, change.enabled)
    return answer({"success": True, "trigger": _shown(request, trigger)})


@routes.post(_ONE + "/rotate")
@operation("Rotate a trigger's secret", {200: _SECRET}, errors=(ForbiddenError, NotFoundError))
@needs("manage_triggers")
async def rotate_trigger(request: web.Request) -> web.Response:
    """Replace the secret. The old one is invalid at once; the new one is shown only in this response."""
    secret = await request.app[TRIGGERS].rotate(request[IDENTITY], path_id(request, "trigger"))
    return answer({"success": True, "secret": secret})


@routes.delete(_ONE)
@operation("Delete a trigger", {200: DONE}, errors=(NotFoundError,))
@needs()
async def delete_trigger(request: web.Request) -> web.Response:
    """Delete a trigger; its address no longer exists. Jobs that it has submitted go on."""
    await request.app[TRIGGERS].delete(request[IDENTITY], path_id(request, "trigger"))
    return answer({"success": True, "message": "Trigger deleted successfully"})


@routes.post("/triggers/{trigger_id}")
@public
@unlisted
async def receive_delivery(request: web.Request) -> web.Response:
    """Receive a delivery: read the body, authenticate it, and only then parse it."""
    trigger_id, deliveries = request.match_info["trigger_id"].lower()[:_LONGEST_ID], request.app[DELIVERIES]
    body = await _raw_body(request)
    found = await deliveries.proven(trigger_id, request.headers, body)
    if found is None:
        try:
            request.app[WRONG_SECRETS].note(request.remote, trigger_id)
        except TooManyAttemptsError:
            raise TooManyAttemptsError(_TOO_MANY) from None
        raise AuthenticationError(_WRONG)
    if request.content_type != "application/json":
        raise NotJSONError
    done = await deliveries.deliver(*found, await asyncio.to_thread(_payload, body))
    if done.job_id is None:
        message = "The payload is not one that this trigger is for; nothing was submitted"
    else:
        message = "Job submitted successfully" if done.is_new else "This delivery was received before"
    return answer({"success": True, "jobId": done.job_id, "message": message})


async def _raw_body(request: web.Request) -> bytes:
    """All of it, of somebody unknown: within limits of size, time and number."""
    most = request.app[CONFIG].max_body_bytes
    too_large = TooLargeError(f"The request body is larger than {most} bytes.")
    if (request.content_length or 0) > most:
        raise too_large
    with request.app[RECEIVING].one_from(request.remote):
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = bytearray()
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > most:
                        raise too_large
                return bytes(body)
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except UNREADABLE:
            raise MalformedJSONError("The request body could not be read as it was encoded.") from None


def _payload(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedJSONError from None


def _shown(request: web.Request, trigger: dict[str, Any]) -> dict[str, Any]:
    """With the path of its address, below whatever the plugin is mounted at."""
    return {**trigger, "Path": f"{request.path.partition(ROOT)[0]}/triggers/{trigger['TriggerID']}"}

"""Builds the OpenAPI document from an application's routes and the `operation` of each handler."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic.alias_generators import to_camel

from ..._version import __version__
from ...access.limits import notice_channels
from ...config import JobsConfig
from ...errors import (
    AuthenticationError,
    CrossOriginError,
    InsufficientStorageError,
    InvalidFieldsError,
    JobsError,
    MalformedJSONError,
    NotJSONError,
    RightsUnavailableError,
    RolesUnavailableError,
    StorageUnavailableError,
    TooLargeError,
    TooManyAttemptsError,
)
from ...model.functions import FUNCTION_NAME
from ...model.job import MAX_LABELS, InterpreterName
from ...model.notice_rules import MOST_RULES
from ..auth.middleware import is_public
from ..operations import ROOT, Content, Operation, is_unlisted, operation_of
from ..parameters import RequestParameter
from .records import AnswerModels, Failure
from .schemas import Key, Schemas

_OF_IDENTITY = (AuthenticationError, TooManyAttemptsError, RightsUnavailableError, RolesUnavailableError)
_ID = {"type": "string", "format": "uuid"}
_NAME = {"type": "string", "pattern": f"^{FUNCTION_NAME}$"}
_JSON = "application/json"


@dataclass(frozen=True)
class DescribedRoute:
    """A route with its handler's `operation`. `path` is below `ROOT`, as OpenAPI writes it."""

    method: str
    path: str
    handler: Handler
    operation: Operation

    @property
    def id(self) -> str:
        return to_camel(self.handler.__name__)

    @property
    def path_parameters(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)

    def models(self, answers: AnswerModels) -> Iterator[Key]:
        if self.operation.body is not None:
            yield self.operation.body, "validation"
        for answer in self.operation.answers.values():
            if not isinstance(answer, Content):
                yield answers.model_of(answer), "serialization"


def described_routes(app: web.Application) -> list[DescribedRoute]:
    """The routes of the API. Raises ``LookupError`` for one without an `operation`."""
    found = []
    for method, path, handler in _routes(app):
        operation = operation_of(handler)
        if operation is None:
            raise LookupError(f"The handler of {method} {path} needs @operation or @unlisted.")
        found.append(DescribedRoute(method, _camel_path(path), handler, operation))
    return found


def document_of(
    app: web.Application, config: JobsConfig, interpreters: list[str], address: str
) -> dict[str, Any]:
    """The document of the API that is mounted in `app` and reached at `address`, with the host's limits."""
    return build_document(app, host_limits(config, interpreters), address)


def build_document(app: web.Application, limits: Mapping[str, Any], address: str) -> dict[str, Any]:
    """The document of the API that is mounted in `app` and reached at `address`.

    `limits` are the settings of this host that schemas show. Blocks for a tenth of a second, with pauses.
    """
    routes, answers = described_routes(app), AnswerModels()
    models = [key for route in routes for key in route.models(answers)]
    schemas = Schemas([*models, (Failure, "serialization")], limits)
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, schemas, answers, routes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "aiohttp-jobs",
            "version": __version__,
            "description": inspect.cleandoc(_DESCRIPTION),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": address}],
        "security": [{"apiKey": []}, {"session": []}],
        "paths": dict(paths),
        "components": {"schemas": schemas.components, "securitySchemes": _security(limits)},
    }


_DESCRIPTION = """
    Submit commands and functions as jobs, follow them, and search their results.

    Request and response fields are camelCase, those of stored records PascalCase. The limits shown are those
    that are configured on this host. Two levels above the API are `healthz` and `readyz`, for load balancers,
    and `metrics`, for Prometheus.
"""


def host_limits(config: JobsConfig, interpreters: list[str]) -> dict[str, Any]:
    """The settings that schemas may show (see ``schema_extras``)."""
    settings = {name: getattr(config, name) for name in JobsConfig.model_fields}
    channels = notice_channels(config)
    return {
        **settings,
        "interpreters": interpreters,
        "interpreters_but_python": _but_python(config),
        "fields_of_no_python": [] if None in _but_python(config) else ["interpreter"],
        "notice_channels": channels,
        "max_notify_rules": MOST_RULES if channels else 0,
        "max_labels": MAX_LABELS if config.engine == "postgres" else 0,
    }


def _but_python(config: JobsConfig) -> list[str | None]:
    """What a request may have as its interpreter if its command is not to be read by Python."""
    default = [] if config.default_interpreter is InterpreterName.PYTHON else [None]
    return [name.value for name in InterpreterName if name is not InterpreterName.PYTHON] + default


def _security(limits: Mapping[str, Any]) -> dict[str, Any]:
    cookie = limits["session_cookie"]
    return {
        "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": "The session of a user who has signed in to the host application.",
        },
    }


def _routes(app: web.Application) -> Iterator[tuple[str, str, Handler]]:
    for route in app.router.routes():
        # HEAD goes with every GET and is not worth an operation of its own.
        if route.method == "HEAD" or route.resource is None or is_unlisted(route.handler):
            continue
        _, root, path = route.resource.canonical.partition(ROOT)
        if root:
            yield route.method, path, route.handler


def _camel_path(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: "{" + to_camel(match[1]) + "}", path)


def _operation(
    route: DescribedRoute, schemas: Schemas, answers: AnswerModels, routes: list[DescribedRoute]
) -> dict[str, Any]:
    operation, handler = route.operation, route.handler
    parameters = [_path_parameter(name) for name in route.path_parameters]
    parameters += [_parameter(each) for each in operation.parameters]
    responses = {
        str(status): _answer(answer, schemas, answers) for status, answer in operation.answers.items()
    }
    if links := dict(_links(operation, routes)):
        next(iter(responses.values()))["links"] = links
    found: dict[str, Any] = {
        "operationId": route.id,
        "summary": operation.summary,
        "tags": [handler.__module__.rpartition(".")[2]],
        "responses": {**responses, **_failures(route, schemas)},
    }
    if handler.__doc__:
        found["description"] = inspect.cleandoc(handler.__doc__)
    if parameters:
        found["parameters"] = parameters
    if operation.body is not None:
        schema = schemas.reference(operation.body, "validation")
        example = {} if operation.example is None else {"example": dict(operation.example)}
        found["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema, **example}}}
    if is_public(handler):
        found["security"] = []
    return found


def _path_parameter(name: str) -> dict[str, Any]:
    schema, meaning = (_NAME, "name of the function") if name == "name" else (_ID, f"id of the {name[:-2]}")
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": schema,
        "description": f"The {meaning}.",
    }


def _parameter(parameter: RequestParameter[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.location,
        "required": parameter.is_required,
        "schema": parameter.schema,
    }
    if parameter.description:
        found["description"] = parameter.description
    if parameter.explode:
        found |= {"style": "form", "explode": True}
    return found


def _answer(answer: Any, schemas: Schemas, answers: AnswerModels) -> dict[str, Any]:
    if not isinstance(answer, Content):
        schema = schemas.reference(answers.model_of(answer), "serialization")
        return {"description": "Success.", "content": {_JSON: {"schema": schema}}}
    found: dict[str, Any] = {"description": answer.description}
    if answer.media_type is not None:
        found["content"] = {answer.media_type: {"schema": dict(answer.schema)}}
    if answer.headers:
        found["headers"] = {name: _header(schema) for name, schema in answer.headers.items()}
    return found


def _header(schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": schema}


def _links(operation: Operation, routes: list[DescribedRoute]) -> Iterator[tuple[str, Any]]:
    """To every operation on what this one has made."""
    for parameter, pointer in operation.makes.items():
        for route in routes:
            if route.path_parameters == [parameter]:
                expression = f"$response.body#{pointer}"
                yield route.id, {"operationId": route.id, "parameters": {parameter: expression}}


def _failures(route: DescribedRoute, schemas: Schemas) -> dict[str, Any]:
    by_status: dict[int, list[type[JobsError]]] = defaultdict(list)
    for error in dict.fromkeys([*_usual_errors(route), *route.operation.errors]):
        by_status[error.status].append(error)
    return {str(status): _failure(errors, schemas) for status, errors in sorted(by_status.items())}


def _usual_errors(route: DescribedRoute) -> Iterator[type[JobsError]]:
    operation = route.operation
    yield StorageUnavailableError
    if route.method != "GET":
        yield InsufficientStorageError
    if not is_public(route.handler):
        yield from _OF_IDENTITY
        if route.method != "GET":
            yield CrossOriginError
    if operation.body is not None:
        yield from (MalformedJSONError, NotJSONError, TooLargeError, InvalidFieldsError)
    if operation.parameters or route.path_parameters:
        yield InvalidFieldsError


def _failure(errors: list[type[JobsError]], schemas: Schemas) -> dict[str, Any]:
    status = errors[0].status
    codes = {"properties": {"code": {"enum": list(dict.fromkeys(error.code for error in errors))}}}
    schema = {"allOf": [schemas.reference(Failure, "serialization"), codes]}
    found: dict[str, Any] = {
        "description": " ".join(inspect.cleandoc(error.__doc__ or "") for error in errors),
        "content": {_JSON: {"schema": schema}},
    }
    if status == HTTPStatus.UNAUTHORIZED:
        found["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}}
    elif status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INSUFFICIENT_STORAGE):
        found["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer"}}}
    return found

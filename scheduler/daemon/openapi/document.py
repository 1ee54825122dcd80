"""Puts the document together from the tables of operations and of policies: the same tables, the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from scheduler.daemon.openapi.answers import SCHEMAS
from scheduler.daemon.openapi.notation import JSON, TEXT, WHOLE, Content, Json, Operation, named
from scheduler.daemon.openapi.operations import OPERATIONS
from scheduler.daemon.sessions import COOKIE
from scheduler.keys import Asked, Scope

_REF = "#/components/schemas/{name}"
_PLACEHOLDER = re.compile(r"{(\w+)}")
_REFUSED = {
    "4XX": "the worker's own refusal, passed on as it is",
    400: "something in the request is wrong; `param` says what",
    401: "no key, or one that is not good",
    403: "the key lacks the scope, or another page asks",
    404: "there is no such thing, or it is another tenant's",
    408: "the body arrived too slowly",
    409: "not in the state that it is in",
    413: "the body is too large",
    415: "the wrong Content-Type, or a compressed body",
    421: "without keys only loopback names are answered",
    422: "no plan meets the deadline or the budget; `suggestions` say what would",
    429: "a quota is used up, or too many requests wait",
    500: "a defect; the log names the request id",
    502: "the worker failed",
    503: "not now; try again after Retry-After",
    504: "the worker did not answer in time",
}
_AT_THE_DOOR: tuple[int | str, ...] = (400, 401, 403, 421, 500)
_WITH_A_BODY: tuple[int | str, ...] = (408, 413, 415)
_AGAIN_LATER = frozenset({429, 502, 503, 504})
_ABOUT = (
    "OpenAI's API in front of one's own workers (`/v1`), and jobs, plans, grids and accounts (`/api/v1`). Once a key "
    "exists every route asks for one, except those of scope `open`; of the scopes in `x-slacktide-scope` any one is "
    "enough. Every answer carries `x-request-id`."
)


class UndocumentedRouteError(Exception):
    """A route that the table of operations does not describe."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        super().__init__(
            f"{', '.join(self.names)}: no entry in OPERATIONS (scheduler/daemon/openapi/operations.py); add "
            '`"METHOD /path": Operation(summary=..., answers={200: named(...)})`, the schema of a new answer to '
            "answers.py beside it, and run `make docs`"
        )


def document(policies: Mapping[str, Asked], *, version: str) -> Json:
    """The whole document for these routes. Raises UndocumentedRouteError."""
    if missing := policies.keys() - OPERATIONS.keys():
        raise UndocumentedRouteError(missing)
    paths: dict[str, Json] = {}
    for name in OPERATIONS:
        if name in policies:
            method, _, path = name.partition(" ")
            paths.setdefault(path, {})[method.lower()] = _described(name, OPERATIONS[name], policies[name])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Slacktide",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": _SECURITY, "headers": _HEADERS},
    }


_SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}
_HEADERS: Json = {
    "RequestId": {"description": "the name of this request, in logs and at the worker", "schema": TEXT},
    "RetryAfter": {"description": "seconds after which asking again may help", "schema": WHOLE},
}
_EVERY_HEADER: Json = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}


def scopes_of(asked: Asked) -> list[str]:
    """Any one of them is enough."""
    return sorted({asked} if isinstance(asked, Scope) else asked)


def _schemas() -> Json:
    types = [one.body for one in OPERATIONS.values() if isinstance(one.body, type)]
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    for operation in OPERATIONS.values():
        if isinstance(operation.body, type):
            components[operation.body.__name__]["properties"].update(operation.more_fields)
    return {**SCHEMAS, **components}


def _described(name: str, operation: Operation, asked: Asked) -> Json:
    method, _, path = name.partition(" ")
    scopes = scopes_of(asked)
    found: Json = {
        "operationId": _operation_id(method, path),
        "summary": operation.summary,
        "tags": [tag_of(path)],
        "x-slacktide-scope": scopes,
        "security": [] if scopes == [Scope.OPEN] else [{"bearer": []}, {"session": []}],
        "responses": _responses(operation),
    }
    if parameters := list(_parameters(path, operation)):
        found["parameters"] = parameters
    if operation.body is not None:
        schema = named(operation.body.__name__) if isinstance(operation.body, type) else operation.body
        found["requestBody"] = {"required": True, "content": {operation.body_kind: {"schema": schema}}}
    return found


def _operation_id(method: str, path: str) -> str:
    """`getApiV1JobsId`."""
    return method.lower() + "".join(part[:1].upper() + part[1:] for part in re.findall(r"[A-Za-z0-9]+", path))


def tag_of(path: str) -> str:
    """The part of the interface that a path belongs to."""
    parts = path.strip("/").split("/")
    if parts[0] == "v1":
        return "OpenAI"
    return "Slacktide" if parts[0] == "api" else "Daemon"


def _parameters(path: str, operation: Operation) -> Iterable[Json]:
    for name in _PLACEHOLDER.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    for place, table in (("query", operation.query), ("header", operation.headers)):
        for name, schema in table.items():
            yield {"name": name, "in": place, "required": False, "schema": schema}


def _responses(operation: Operation) -> Json:
    answered = {str(status): _answer(status, content) for status, content in operation.answers.items()}
    with_a_body = _WITH_A_BODY if operation.body is not None else ()
    refused = {*_AT_THE_DOOR, *with_a_body, *operation.refusals} - set(operation.answers)
    return dict(sorted((answered | {str(status): _refusal(status) for status in refused}).items()))


def _answer(status: int, content: Json | Content | None) -> Json:
    found: Json = {"description": _SAID[status], "headers": dict(_EVERY_HEADER)}
    match content:
        case None:
            pass
        case Content():
            found["content"] = {kind: {"schema": content.schema if kind == JSON else TEXT} for kind in content.kinds}
        case _:
            found["content"] = {JSON: {"schema": content}}
    return found


_SAID = {
    200: "done",
    201: "made",
    204: "done, and nothing to say",
    206: "the range that was asked for",
    304: "as it was",
    412: "changed meanwhile",
    416: "there is no such range",
    503: "not now",
}


def _refusal(status: int | str) -> Json:
    headers: Json = dict(_EVERY_HEADER)
    if status in _AGAIN_LATER:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    schema: Any = {} if status == "4XX" else named("Error")
    return {"description": _REFUSED[status], "headers": headers, "content": {JSON: {"schema": schema}}}

"""How schemas and operations are written down here. Knows no route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

Json = dict[str, Any]

JSON = "application/json"
OCTETS = "application/octet-stream"
FORM = "multipart/form-data"

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
FLAG: Json = {"type": "boolean"}
INSTANT: Json = {"type": "string", "format": "date-time", "description": "ISO 8601, UTC"}
EPOCH_S: Json = {"type": "integer", "description": "seconds since 1970, UTC"}
ANY_OBJECT: Json = {"type": "object"}


def an_object(left_out: Sequence[str] = (), /, **properties: Json) -> Json:
    """An object that has all of these; those of `left_out` may be missing."""
    required = [name for name in properties if name not in left_out]
    return {"type": "object", "properties": properties, "required": required}


def list_of(items: Json) -> Json:
    return {"type": "array", "items": items}


def table_of(values: Json) -> Json:
    """An object whose names are not known beforehand."""
    return {"type": "object", "additionalProperties": values}


def or_null(schema: Json) -> Json:
    """What is not known is null."""
    if set(schema) == {"type"}:
        return {"type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(*values: str) -> Json:
    return {"type": "string", "enum": list(values)}


def states_of(states: type[StrEnum]) -> Json:
    return one_of(*(state.value for state in states))


def named(name: str) -> Json:
    """The schema of this name among the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def whole_from(least: int, most: int, default: int | None = None) -> Json:
    bounds: Json = {"type": "integer", "minimum": least, "maximum": most}
    return bounds if default is None else bounds | {"default": default}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an answer holds beside plain JSON."""

    kinds: Sequence[str]
    schema: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route as its callers see it. Whom it lets in stands in the table of policies, not here."""

    summary: str
    # By status, what a call that did what it should is answered with; None: nothing.
    answers: Mapping[int, Json | Content | None]
    # Statuses of refusals beside those that every route may answer.
    refusals: Sequence[int | str] = ()
    body: type[msgspec.Struct] | Json | None = None
    body_kind: str = JSON
    # Of the body, what its type does not say.
    more_fields: Mapping[str, Json] = field(default_factory=dict)
    query: Mapping[str, Json] = field(default_factory=dict)
    headers: Mapping[str, Json] = field(default_factory=dict)


def answer_list(item: str, **more: Json) -> Json:
    """A list of our own."""
    return an_object(object=one_of("list"), data=list_of(named(item)), **more)


def openai_list(item: str) -> Json:
    """A page, as OpenAI's clients turn it."""
    return an_object(
        object=one_of("list"),
        data=list_of(named(item)),
        first_id=or_null(TEXT),
        last_id=or_null(TEXT),
        has_more=FLAG,
    )


# The band of a number.
ENDS = an_object(low=NUMBER, high=NUMBER)
# What an account is of.
SPAN: Json = {"since": INSTANT, "until": INSTANT}

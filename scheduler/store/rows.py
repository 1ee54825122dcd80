"""Records as rows of tables.py and back. Knows no connection.

A job is kept whole as JSON, so that a new field with a default needs no migration; only what queries ask for has a
column of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import Enum
from operator import attrgetter
from typing import Any

import msgspec

from scheduler.jobs import Job
from scheduler.ledger import EnergyUse
from scheduler.store.contract import IdempotencyKey, JobRecord, Json, UnstorableError
from scheduler.store.standing import Standing

Row = Mapping[Any, Any]  # by column name; SQLAlchemy types the keys of its rows wider than that

_STANDING_COLUMNS = tuple(field.name for field in fields(Standing))
_USE_COLUMNS = tuple(field.name for field in fields(EnergyUse))
_of_use = attrgetter(*_USE_COLUMNS)
_ENCODER = msgspec.json.Encoder()
_JOB_DECODER = msgspec.json.Decoder(Job)
_JSON_DECODER = msgspec.json.Decoder(dict[str, Any])


def row_of_job(job: Job, payload: Json, idempotency: IdempotencyKey | None, standing: Standing) -> dict[str, Any]:
    return {
        "id": job.id,
        "tenant": job.tenant,
        "job": text_of(job),
        "payload": text_of(payload),
        "idempotency_key": idempotency.key if idempotency else None,
        "body_sha256": idempotency.body_sha256 if idempotency else None,
        "result": None,
        **row_of_standing(standing),
    }


def row_of_standing(standing: Standing) -> dict[str, Any]:
    return {name: _plain(getattr(standing, name)) for name in _STANDING_COLUMNS}


def standing_of(row: Row) -> Standing:
    return msgspec.convert({name: row[name] for name in _STANDING_COLUMNS}, Standing)


def record_of(row: Row) -> JobRecord:
    return JobRecord(
        sequence=row["sequence"],
        job=_JOB_DECODER.decode(row["job"]),
        payload=_JSON_DECODER.decode(row["payload"]) if "payload" in row else None,
        standing=standing_of(row),
        result=None if row["result"] is None else _JSON_DECODER.decode(row["result"]),
    )


def row_of_use(use: EnergyUse) -> dict[str, Any]:
    values = dict(zip(_USE_COLUMNS, _of_use(use), strict=True))  # of every request: no call for each of its columns
    values["subject"], values["basis"] = use.subject.value, use.basis.value
    values["error_class"] = _plain(use.error_class)
    values["category"] = str(use.category)  # that of a job is a word of its own kind
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UnstorableError(f"{name} of {use.subject_id} is {value}")
    return values


def use_of(row: Row) -> EnergyUse:
    return msgspec.convert({name: row[name] for name in _USE_COLUMNS}, EnergyUse)


def text_of(value: object) -> str:
    """JSON. Raises UnstorableError for a number that JSON has no word for; the encoder would write null."""
    builtin = msgspec.to_builtins(value)
    for number in _floats(builtin):
        if not math.isfinite(number):
            raise UnstorableError(f"{number} is no finite number, in {type(value).__name__}")
    return _ENCODER.encode(builtin).decode()


def _floats(value: object) -> Iterator[float]:
    match value:
        case float():
            yield value
        case dict():
            for inner in value.values():
                yield from _floats(inner)
        case list() | tuple():
            for inner in value:
                yield from _floats(inner)


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value

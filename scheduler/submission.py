"""A job as a client writes it, read strictly. Clients name a template, never a command, a path or an address.

Knows no socket and no store; the id, the instant and the estimate of a batch are given to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from scheduler.gpu_speeds import parse_speeds
from scheduler.jobs import Interruption, InvalidJobError, Job, JobKind, Phase, Purpose
from scheduler.power_profiles import mean_w, parse_power_profile, whole_s
from scheduler.quantities import QuantityError, format_duration, parse_duration_s, parse_instant_s, parse_power_w
from shaping.deployment import ErrorClass

MAX_REQUESTS = 50_000
MAX_TEXT = 512
# Beyond these a number is a slip of the pen, and calendars, tables and sums no longer hold it.
MAX_AHEAD_S = 10 * 365 * 86_400.0
MAX_PAUSE_S = 86_400.0
MAX_POWER_W = 1e9
MAX_PRIORITY = 1_000


class Need(NamedTuple):
    """Duration, power and GPUs of a job, and how well the power is known; None where somebody stated it."""

    duration_s: float
    power_w: float
    gpus: int
    power_error_class: ErrorClass | None = None


# What a batch is expected to need, from its requests. None where nobody knows how long its
# model takes; raises InvalidJobError for a line that is wrong.
BatchEstimate = Callable[[Sequence[Mapping[str, Any]]], Need | None]

T = TypeVar("T")

_PATH = re.compile(r"at `\$\.?([^`]*)`")


class InterruptibleFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a pause costs; durations such as "2m"."""

    checkpoint: str = "0s"
    restore: str = "0s"
    min_run: str = "0s"


class SubmissionFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /api/v1/jobs."""

    kind: JobKind = JobKind.COMMAND
    template: str = ""
    arguments: dict[str, str] = {}
    requests: list[dict[str, Any]] = []
    duration: str = ""
    within: str = ""
    deadline: str = ""
    earliest_start: str = ""
    gpus: int | None = None
    power: str = ""
    power_profile: str = ""
    elastic: str = ""
    interruptible: InterruptibleFields | None = None
    regions: list[str] = []
    purpose: Purpose = Purpose.PRODUCTION
    tenant: str = "default"
    priority: int = 0
    label: str = ""


def read_submission(body: bytes) -> SubmissionFields:
    """Raises InvalidJobError naming the field."""
    try:
        return msgspec.json.decode(body, type=SubmissionFields)
    except msgspec.ValidationError as error:
        found = _PATH.search(str(error))
        unknown = re.search(r"unknown field `([^`]+)`", str(error))
        field = unknown[1] if unknown else (found[1] if found else "body")
        raise InvalidJobError(field, _PATH.sub("", str(error)).removesuffix(" - ")) from None
    except msgspec.DecodeError as error:
        raise InvalidJobError("body", f"is no JSON object: {error}") from None


def job_from(
    fields: SubmissionFields,
    *,
    job_id: str,
    now_s: float,
    templates: Collection[str],
    regions: Collection[str],
    estimate: BatchEstimate,
) -> Job:
    """The job that the fields describe. Raises InvalidJobError naming the field and the remedy."""
    _refuse_unknown(fields, templates, regions)
    phases = _phases(fields)
    need = _profiled_size(fields, phases) if phases else _size(fields, estimate)
    earliest_s = _instant("earliest_start", fields.earliest_start, now_s)
    return Job(
        id=job_id,
        kind=fields.kind,
        submitted_at_s=now_s,
        earliest_start_at_s=max(now_s, earliest_s),
        deadline_at_s=_deadline(fields, now_s),
        duration_s=need.duration_s,
        power_w=need.power_w,
        gpus=need.gpus,
        interruption=_interruption(fields.interruptible),
        regions=tuple(fields.regions),
        purpose=fields.purpose,
        tenant=fields.tenant,
        priority=fields.priority,
        label=fields.label,
        template=fields.template,
        arguments=tuple(sorted(fields.arguments.items())),
        power_profile=phases,
        power_error_class=need.power_error_class,
        elastic=_speeds(fields),
    )


def _refuse_unknown(fields: SubmissionFields, templates: Collection[str], regions: Collection[str]) -> None:
    for name in ("tenant", "label"):
        if len(getattr(fields, name)) > MAX_TEXT:
            raise InvalidJobError(name, f"is longer than {MAX_TEXT} characters")
        if not getattr(fields, name).isprintable():  # it is written into logs and terminals
            raise InvalidJobError(name, "may not hold control characters")
    if abs(fields.priority) > MAX_PRIORITY:
        raise InvalidJobError("priority", f"must be between -{MAX_PRIORITY} and {MAX_PRIORITY}")
    if fields.kind is JobKind.INFERENCE_BATCH:
        if not 0 < len(fields.requests) <= MAX_REQUESTS:
            raise InvalidJobError("requests", f"an inference batch has 1 to {MAX_REQUESTS} requests")
        if fields.template:
            raise InvalidJobError("template", "an inference batch has requests, not a template")
    else:
        if fields.requests:
            raise InvalidJobError("requests", 'only a job of kind "inference_batch" has requests')
        if fields.template not in templates:
            raise InvalidJobError("template", f"{fields.template!r} is none of the templates: {_listed(templates)}")
    for name in fields.regions:
        if name not in regions:
            raise InvalidJobError("regions", f"{name!r} is none of the regions: {_listed(regions)}")


def _size(fields: SubmissionFields, estimate: BatchEstimate) -> Need:
    """As said, for a batch estimated where nothing is said."""
    need = estimate(fields.requests) if fields.kind is JobKind.INFERENCE_BATCH else None
    if need is None:
        for name, example in (("duration", "3h"), ("power", "700W")):
            told = f'is required: how long it runs and at what IT power, such as "{example}"'
            _require(name, bool(getattr(fields, name)), told)
        need = Need(0.0, 0.0, 0 if fields.kind is JobKind.INFERENCE_BATCH else 1)
    if fields.duration:
        need = need._replace(duration_s=_duration("duration", fields.duration, MAX_AHEAD_S))
    if fields.power:
        power_w = _quantity("power", fields.power, parse_power_w)
        _require("power", power_w <= MAX_POWER_W, "may be 1 GW at most")
        need = need._replace(power_w=power_w, power_error_class=None)
    return need if fields.gpus is None else need._replace(gpus=fields.gpus)


def _phases(fields: SubmissionFields) -> tuple[Phase, ...]:
    """Of a job whose power changes along its run; empty for any other."""
    if not fields.power_profile:
        return ()
    for name in ("duration", "power", "interruptible"):
        _require(name, not getattr(fields, name), "goes not with power_profile, which says it: leave it out")
    _require("power_profile", fields.kind is not JobKind.INFERENCE_BATCH, "is of a command: a batch is estimated")
    return _quantity("power_profile", fields.power_profile, parse_power_profile)


def _speeds(fields: SubmissionFields) -> tuple[tuple[int, float], ...]:
    """Of a job on more or fewer GPUs; empty for any other."""
    if not fields.elastic:
        return ()
    _require("elastic", fields.kind is not JobKind.INFERENCE_BATCH, "is of a command: a batch has workers")
    _require("elastic", not fields.power_profile, "goes not with power_profile: phases are of one number of GPUs")
    return _quantity("elastic", fields.elastic, parse_speeds)


def _profiled_size(fields: SubmissionFields, phases: Sequence[Phase]) -> Need:
    duration_s, most_power_w = whole_s(phases), max(phase.power_w for phase in phases)
    _require("power_profile", duration_s <= MAX_AHEAD_S, f"may last {format_duration(MAX_AHEAD_S)} at most")
    _require("power_profile", most_power_w <= MAX_POWER_W, "may draw 1 GW at most")
    return Need(duration_s, mean_w(phases), 1 if fields.gpus is None else fields.gpus)


def _deadline(fields: SubmissionFields, now_s: float) -> float:
    if bool(fields.within) == bool(fields.deadline):
        raise InvalidJobError(
            "within", 'say exactly one of within ("12h", from now) and deadline (ISO 8601 with a zone)'
        )
    if fields.within:
        return now_s + _duration("within", fields.within, MAX_AHEAD_S)
    return _instant("deadline", fields.deadline, now_s)


def _interruption(fields: InterruptibleFields | None) -> Interruption | None:
    if fields is None:
        return None
    return Interruption(
        checkpoint_s=_duration("interruptible.checkpoint", fields.checkpoint, MAX_PAUSE_S),
        restore_s=_duration("interruptible.restore", fields.restore, MAX_PAUSE_S),
        min_run_s=_duration("interruptible.min_run", fields.min_run, MAX_PAUSE_S),
    )


def _duration(field: str, text: str, most_s: float) -> float:
    duration_s = _quantity(field, text, parse_duration_s)
    _require(field, duration_s <= most_s, f"may be {format_duration(most_s)} at most")
    return duration_s


def _instant(field: str, text: str, now_s: float) -> float:
    """The instant, now when none is said."""
    if not text:
        return now_s
    instant_s = _quantity(field, text, parse_instant_s)
    _require(field, instant_s <= now_s + MAX_AHEAD_S, f"may be {format_duration(MAX_AHEAD_S)} ahead at most")
    return instant_s


def _require(field: str, is_so: bool, what: str) -> None:
    if not is_so:
        raise InvalidJobError(field, what)


def _quantity(field: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except (QuantityError, OverflowError) as error:
        raise InvalidJobError(field, str(error)) from None


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) if names else "none is configured"

"""A change of a job in words and as JSON: the one home of how a suggestion reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from scheduler.planning.reasons.nearest_change import Change, ChangeKind
from scheduler.power_profiles import profile_text
from scheduler.quantities import format_duration, format_instant

# The name of a field, what to write there, and what stands there now.
Value = tuple[str, Any, Any]


def change_text(change: Change) -> str:
    """`finish by 2022-03-01T14:20Z instead of 2022-03-01T12:00Z`: instants as they are written into a file."""
    return " and ".join(_text(kind, change) for kind in change.kinds)


def changes_text(changes: Sequence[Change]) -> str:
    """All of them, joined by "or"; empty when there are none."""
    return ", or ".join(change_text(one) for one in changes)


def change_json(change: Change) -> dict[str, Any]:
    """What to write instead into a file of jobs, column by column, and the same to people."""
    values = [one for kind in change.kinds for one in _columns(kind, change)]
    return _json(change, values)


def change_of_submission_json(change: Change) -> dict[str, Any]:
    """The same for the body of a submission, whose fields have other names and are texts with units."""
    values = [one for kind in change.kinds for one in _fields(kind, change)]
    return _json(change, values)


def _json(change: Change, values: Sequence[Value]) -> dict[str, Any]:
    changes = [{"field": field, "value": value, "instead_of": before} for field, value, before in values]
    return {"text": change_text(change), "changes": changes}


def _text(kind: ChangeKind, change: Change) -> str:
    asked, changed = change.asked, change.changed
    match kind:
        case ChangeKind.FINISH_BY:
            return f"finish by {_instant(changed.deadline_at_s)} instead of {_instant(asked.deadline_at_s)}"
        case ChangeKind.REGIONS:
            return f"allow {changed.regions[-1]}"
        case ChangeKind.GPUS:
            longer = f"{format_duration(changed.duration_s)} instead of {format_duration(asked.duration_s)}"
            return f"use {_gpus(changed.gpus)} instead of {asked.gpus} (for {longer})"
        case ChangeKind.EARLIEST_START:
            begins = _instant(changed.earliest_start_at_s)
            return f"let it start at {begins} instead of {_instant(asked.earliest_start_at_s)}"
        case ChangeKind.INTERRUPTIBLE:
            return "let it be interrupted"
        case ChangeKind.GPU_TYPES:
            return f"allow GPUs of type {change.types[-1]}"


def _columns(kind: ChangeKind, change: Change) -> Iterator[Value]:
    asked, changed = change.asked, change.changed
    match kind:
        case ChangeKind.FINISH_BY:
            yield "finish_by", format_instant(changed.deadline_at_s), format_instant(asked.deadline_at_s)
        case ChangeKind.REGIONS:
            yield "regions", ";".join(changed.regions), ";".join(asked.regions)
        case ChangeKind.GPUS:
            yield "gpus", changed.gpus, asked.gpus
            yield "duration_s", changed.duration_s, asked.duration_s
        case ChangeKind.EARLIEST_START:
            before = format_instant(asked.earliest_start_at_s)
            yield "earliest_start", format_instant(changed.earliest_start_at_s), before
        case ChangeKind.INTERRUPTIBLE:
            yield "interruptible", 1, 0
        case ChangeKind.GPU_TYPES:
            yield "gpu_types", ";".join(change.types), ";".join(change.asked_types)


def _fields(kind: ChangeKind, change: Change) -> Iterator[Value]:
    """A daemon knows no types of GPU."""
    asked, changed = change.asked, change.changed
    match kind:
        case ChangeKind.FINISH_BY:
            yield "deadline", format_instant(changed.deadline_at_s), format_instant(asked.deadline_at_s)
        case ChangeKind.REGIONS:
            yield "regions", list(changed.regions), list(asked.regions)
        case ChangeKind.GPUS:
            yield "gpus", changed.gpus, asked.gpus
            if asked.power_profile:
                yield "power_profile", profile_text(changed.power_profile), profile_text(asked.power_profile)
                return
            yield "duration", f"{_plain(changed.duration_s)}s", f"{_plain(asked.duration_s)}s"
            yield "power", f"{_at_most(changed.power_w)}W", f"{_plain(asked.power_w)}W"
        case ChangeKind.EARLIEST_START:
            before = format_instant(asked.earliest_start_at_s)
            yield "earliest_start", format_instant(changed.earliest_start_at_s), before
        case ChangeKind.INTERRUPTIBLE:
            yield "interruptible", {}, None


def _instant(instant_s: float) -> str:
    return format_instant(instant_s).replace(":00Z", "Z")


def _gpus(count: int) -> str:
    return f"{count} GPU" if count == 1 else f"{count} GPUs"


def _at_most(power_w: float) -> str:
    """Four digits of it, never above: what was tried fits, and a little less power fits as well."""
    if power_w <= 0:
        return _plain(power_w)
    digit_w = 10.0 ** (math.floor(math.log10(power_w)) - 3)
    # A hair more than the quotient, whose own rounding would cost 300 W its last digit.
    return _plain(math.floor(power_w / digit_w + 1e-9) * digit_w)


def _plain(value: float) -> str:
    """Ten years in seconds and a gigawatt without an exponent, which no quantity may have."""
    return f"{value:.10g}"

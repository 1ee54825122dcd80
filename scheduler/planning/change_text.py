"""A change of a job in words and as JSON: the one home of how a suggestion reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scheduler.jobs import Job
from scheduler.planning.nearest_change import Change, ChangeKind
from scheduler.quantities import format_duration, format_instant


def change_text(change: Change) -> str:
    """`finish by 2022-03-01T14:20Z instead of 2022-03-01T12:00Z`: instants as they are written into a file."""
    return " and ".join(_text(kind, change.asked, change.changed) for kind in change.kinds)


def changes_text(changes: Sequence[Change]) -> str:
    """All of them, joined by "or"; empty when there are none."""
    return ", or ".join(change_text(one) for one in changes)


def change_json(change: Change) -> dict[str, Any]:
    """What to say instead, field by field, and the same to people."""
    values = [(kind, *_values(kind, change.asked, change.changed)) for kind in change.kinds]
    return {
        "text": change_text(change),
        "changes": [{"field": kind, "value": value, "instead_of": before} for kind, value, before in values],
        # The same work on other GPUs runs for another time; as it was in every other case.
        "duration_s": change.changed.duration_s,
    }


def _text(kind: ChangeKind, asked: Job, changed: Job) -> str:
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


def _values(kind: ChangeKind, asked: Job, changed: Job) -> tuple[Any, Any]:
    match kind:
        case ChangeKind.FINISH_BY:
            return format_instant(changed.deadline_at_s), format_instant(asked.deadline_at_s)
        case ChangeKind.REGIONS:
            return list(changed.regions), list(asked.regions)
        case ChangeKind.GPUS:
            return changed.gpus, asked.gpus
        case ChangeKind.EARLIEST_START:
            return format_instant(changed.earliest_start_at_s), format_instant(asked.earliest_start_at_s)
        case ChangeKind.INTERRUPTIBLE:
            return True, False


def _instant(instant_s: float) -> str:
    return format_instant(instant_s).replace(":00Z", "Z")


def _gpus(count: int) -> str:
    return f"{count} GPU" if count == 1 else f"{count} GPUs"

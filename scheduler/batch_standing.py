"""How a batch of lines stands, and why, in a sentence. Pure; what was decided is told to it, it decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scheduler.batches import FINAL, Batch, BatchStatus, LineCounts
from scheduler.quantities import format_instant


class BatchPhase(StrEnum):
    CHECKING = "checking"
    WAITING = "waiting"
    GOING = "going"
    CLOSING = "closing"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFlow:
    """The last verdict on the lines of a batch under way; None is what no look at it has said yet.

    At `latest_start_at_s` they go whatever the grid does, `need_s` is what is left of them and of those before them.
    """

    in_flight: int = 0
    waits_until_s: float | None = None
    latest_start_at_s: float | None = None
    need_s: float | None = None


def phase_of(batch: Batch, flow: LineFlow) -> BatchPhase:
    if batch.status in FINAL:
        return BatchPhase.ENDED
    if batch.status is BatchStatus.VALIDATING:
        return BatchPhase.CHECKING
    if batch.status is not BatchStatus.IN_PROGRESS:
        return BatchPhase.CLOSING
    return BatchPhase.GOING if flow.waits_until_s is None else BatchPhase.WAITING


def done_ratio(counts: LineCounts) -> float | None:
    """The share of the lines that are answered, failed ones too; None before they are counted."""
    return (counts.completed + counts.failed) / counts.total if counts.total else None


def why(
    batch: Batch,
    flow: LineFlow,
    now_s: float,
    *,
    now_gco2e_per_kwh: float | None = None,
    then_gco2e_per_kwh: float | None = None,
) -> str:
    """`waits until 2022-01-01T10:00Z, when the grid is expected at 210 gCO2e/kWh; it is at 480 now`."""
    match phase_of(batch, flow):
        case BatchPhase.CHECKING:
            return "its lines are being checked"
        case BatchPhase.CLOSING:
            return "its answers are being put into its files"
        case BatchPhase.ENDED:
            return f"it is {batch.status}"
        case BatchPhase.WAITING:
            assert flow.waits_until_s is not None, "it waits"
            until = f"waits until {format_instant(flow.waits_until_s)}"
            if then_gco2e_per_kwh is None or now_gco2e_per_kwh is None:
                return f"{until}, in the cleanest hours that are left"
            then, now = _grid(then_gco2e_per_kwh), _grid(now_gco2e_per_kwh)
            return f"{until}, when the grid is expected at {then}; it is at {now} now"
        case BatchPhase.GOING:
            if flow.latest_start_at_s is None:
                return "its lines are next"
            if flow.latest_start_at_s <= now_s:
                return "its lines go now: the time that is left is only just enough"
            return "its lines go now: no hour that is left is enough cleaner to wait for"


def _grid(gco2e_per_kwh: float) -> str:
    return f"{gco2e_per_kwh:.0f} gCO2e/kWh"

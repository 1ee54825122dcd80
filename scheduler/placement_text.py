"""What a place in the plan is told as, in one sentence, and when there is nothing new to tell."""

from __future__ import annotations

from scheduler.planning.plan import Cause, Placement
from scheduler.quantities import format_instant
from scheduler.watched import SAME_INSTANT_S


def explain(placement: Placement, before: Placement | None) -> str:
    """One sentence for people: where, when, what it saves, and that it moved."""
    where = f"{placement.region}{_on_gpus(placement)} at {format_instant(placement.start_at_s)}"
    pieces = f" in {len(placement.segments)} pieces" if len(placement.segments) > 1 else ""
    moved = f", moved from {before.region} at {format_instant(before.start_at_s)}" if before else ""
    return f"{where}{pieces}: {_because(placement)}{moved}"


def _on_gpus(placement: Placement) -> str:
    gpus = placement.segments[-1].gpus
    return "" if gpus is None else f" on {gpus} GPU{'' if gpus == 1 else 's'}"


def _because(placement: Placement) -> str:
    match placement.cause:
        case Cause.CLEANEST:
            what, saves = "cleanest window", placement.savings_ratio
            if placement.objective_cost is not None:
                what, saves = "best window by the objective", placement.objective_savings_ratio
            if saves is None or round(saves, 2) == 0:  # not known, or nothing to show for it
                return what
            return f"{what}, saves {saves:.0%} against starting at once"
        case Cause.NO_SLACK:
            return "the deadline leaves no choice"
        case Cause.NO_FORECAST:
            return "nothing is known of the grid, so it runs early"
        case Cause.RUN_NOW:
            return "as early as there is room"
        case Cause.LATE:
            return "the deadline cannot be met any more, so it runs as early as it can"


def is_same_place(one: Placement, other: Placement) -> bool:
    """Ends follow from starts; the end of a run that outlasts its estimate moves without being news."""
    if one.cause is not other.cause or len(one.segments) != len(other.segments):
        return False
    return all(
        mine.region == theirs.region
        and mine.gpus == theirs.gpus
        and abs(mine.start_at_s - theirs.start_at_s) <= SAME_INSTANT_S
        for mine, theirs in zip(one.segments, other.segments, strict=True)
    )

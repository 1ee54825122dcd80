"""When the engine has something to do again without any new event. Looks at open jobs and changes none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scheduler.open_entry import OpenEntry, current_segment, pause_at_s
from scheduler.planning.plan import Region
from scheduler.planning.run_phases import in_phases
from scheduler.watched import SAME_INSTANT_S, Watched


def next_wakeup_at_s(watched: Watched[OpenEntry], holding: Sequence[Region], decided_at_s: float) -> float | None:
    """The first instant after the last decision at which another is due; None when there is none.

    `holding` are the regions that hold GPUs themselves at some time.
    """
    after_s = decided_at_s + SAME_INSTANT_S
    ahead = [
        at_s
        for instants in (
            _starts_at_s(watched, decided_at_s),
            _pauses_at_s(watched),
            _changes_of_room_at_s(watched, holding, after_s),
        )
        for at_s in instants
        if at_s > after_s
    ]
    return min(ahead, default=None)


def _starts_at_s(watched: Watched[OpenEntry], decided_at_s: float) -> Iterable[float]:
    """Of those that wait: when they are planned to start, or must."""
    if (start_at_s := watched.next_start_after_s(decided_at_s + SAME_INSTANT_S)) is not None:
        yield start_at_s
    for entry in watched.in_pieces.values():
        yield current_segment(entry, decided_at_s).start_at_s


def _pauses_at_s(watched: Watched[OpenEntry]) -> Iterable[float]:
    for entry in watched.pausable.values():
        if (at_s := pause_at_s(entry)) is not None:
            yield at_s


def _changes_of_room_at_s(watched: Watched[OpenEntry], holding: Sequence[Region], after_s: float) -> Iterable[float]:
    """When those that wait can have something else."""
    if not watched.waiting:
        return
    # A run that outlasts its estimate changes what the others can have.
    if (end_at_s := watched.next_end_after_s(after_s)) is not None:
        yield end_at_s
    for entry in watched.profiled.values():
        if entry.running is not None:
            yield from (part.end_at_s for part in in_phases(entry.job, (entry.running,)))
    yield from (hold.end_at_s for region in holding for hold in region.held)

"""Who goes first when there are too few GPUs for everybody to be in time.

First come first served, because every other order is a bet on what is submitted next. It is given up for two reasons
only: for a packing in which nobody is late, and for one in which fewer jobs are late of those that running at once
would have met all along (`OpenJob.met_at_once`). The packings are by deadline, and the plan so far with newcomers
beside it. Nothing waits for carbon here. Measured in docs/decisions/0009-nothing-late-for-carbons-sake.md.
"""

from __future__ import annotations

from scheduler.planning.open_jobs.draft import Draft, Joint, by_deadline, fill, first_come, is_crowded_out, packed
from scheduler.planning.open_jobs.needs import Need, Place
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.plan import Cause


def least_late(joint: Joint, in_turn: Draft) -> Draft:
    """First come first served, unless another packing is better for one of the two reasons of the module."""
    late = (wanted for wanted in joint.needs if wanted.job.id in in_turn.late and wanted.job.interruption is None)
    if in_turn.broken == 0 and any(_is_beyond_help(joint.board, wanted) for wanted in late):
        return in_turn
    kept, urgent = _kept(joint), packed(joint, sorted(joint.needs, key=by_deadline))
    for one in (urgent, kept):
        if not one.is_crowded:
            return one
    if in_turn.broken == 0:
        return in_turn
    met = set(joint.met_at_once)
    orders = (
        lambda one: (one.job.id not in met, *first_come(one)),
        lambda one: (one.job.id not in met, *by_deadline(one)),
    )
    owed_first = (packed(joint, sorted(joint.needs, key=order)) for order in orders)
    return min((in_turn, *owed_first, kept, urgent), key=lambda one: (one.broken, one is not in_turn, len(one.late)))


def _is_beyond_help(board: Board, wanted: Need) -> bool:
    place = board.earliest(wanted, Cause.LATE)
    return place is not None and not place.is_in_time and is_crowded_out(board, wanted, place.at_once)


def _kept(joint: Joint) -> Draft:
    """The plan so far where it still holds, as early as there is room now, and everything else beside it."""
    draft = Draft(joint=joint, board=joint.fresh_board())
    planned = {one.job.id: one.planned for one in joint.open_jobs if one.planned is not None}
    moved: list[Need] = []
    held: list[Place] = []
    for wanted in sorted(joint.needs, key=first_come):
        before = planned.get(wanted.job.id)
        if before is not None and draft.still_holds(before, wanted):
            held.append(Place(need=wanted, segments=before.segments, cause=before.cause, at_once=None))
            draft.put(held[-1])
        else:
            moved.append(wanted)
    for place in held:
        draft.board.give_back(place)
        draft.put(draft.earliest(place.need) or place)
    fill(draft, moved, draft.earliest, postpones_late=False)
    return draft

"""The cleanest plan when there is room for all in time: the plan so far mended, or one that is made from nothing.

From nothing: higher priority, then least latest start, then submission, then id; each job takes its cheapest place in
what is left. Mended: a place that was chosen for its carbon is kept while it holds and no other is cleaner
(replanning.py), and what has none finds one beside those. Jobs that each stand at their best beside the others may
still do better together, which no single move finds: so both plans are made, and the new one is taken where all of it
emits less than the mended one by more than a margin. Asks only for plans in which nobody is late because others hold
the GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.planning.open_jobs.draft import Draft, Joint, fill, least_latest_start
from scheduler.planning.open_jobs.placing import Need, Place
from scheduler.planning.open_jobs.replanning import better_place, is_worth_moving, kept_place


def cleanest(joint: Joint, in_turn: Draft, hysteresis_ratio: float) -> Draft:
    """`in_turn` has everybody as early as possible and nobody crowded out: it is begun from where all else fails."""
    order = sorted(joint.needs, key=least_latest_start)
    anew, mended = _greedy(joint, order), _mended(joint, order, hysteresis_ratio)
    if mended.is_crowded:
        return _improved(in_turn, order) if anew.is_crowded else anew
    return mended if anew.is_crowded or not is_worth_moving(anew, mended, hysteresis_ratio) else anew


def _greedy(joint: Joint, order: Sequence[Need]) -> Draft:
    draft = Draft(joint=joint, board=joint.fresh_board())
    fill(draft, order, draft.board.cheapest, postpones_late=True)
    return draft


def _mended(joint: Joint, order: Sequence[Need], hysteresis_ratio: float) -> Draft:
    """The plan so far where it holds, everything else beside it, and then each job moved for which that pays."""
    draft = Draft(joint=joint, board=joint.fresh_board())
    planned = {one.job.id: one.planned for one in joint.open_jobs}
    kept: list[Place] = []
    for wanted in order:
        if (place := kept_place(draft.board, planned[wanted.job.id], wanted)) is not None:
            kept.append(place)
            draft.put(place)
    fill(draft, [one for one in order if one.job.id not in draft.places], draft.board.cheapest, postpones_late=True)
    if draft.is_crowded:
        return draft
    for place in kept:
        draft.board.give_back(place)
        draft.put(better_place(draft.board, place, hysteresis_ratio) or place)
    return draft


def _improved(draft: Draft, order: Sequence[Need]) -> Draft:
    """Each job that is in time, moved to its cheapest place while the others stay."""
    for wanted in order:
        before = draft.places.get(wanted.job.id)
        if before is None or wanted.job.id in draft.late:
            continue
        draft.board.give_back(before)
        draft.put(draft.board.cheapest(wanted) or before)
    return draft

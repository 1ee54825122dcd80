"""The cleanest plan when there is room for all in time: the plan so far mended, or one that is made from nothing.

Mended: a place that was chosen for its carbon is kept while it holds and no other is cleaner (replanning.py), and what
has none finds one beside those. Jobs that each stand at their best beside the others may still do better together,
which no single move finds. So new plans are made beside it: with the least latest start first, each job at its cheapest
place in what is left; and with the most GPU time first, since what is small finds room in what is left, each job then
moved to its cheapest place while the others stay. The cleaner of the two is never dirtier than the greedy rule. It is
taken where all of it emits less than the mended one by more than a margin, and not made at all for so many jobs that it
would hold up whoever waits for the plan. Asks only for plans in which nobody is late because others hold the GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.planning.open_jobs.draft import Draft, Joint, fill, least_latest_start
from scheduler.planning.open_jobs.in_turn import InTurn
from scheduler.planning.open_jobs.needs import Need, Place, allowed_regions
from scheduler.planning.open_jobs.prospects import Prospects
from scheduler.planning.open_jobs.replanning import (
    better_place,
    enough_g_s_per_kwh,
    has_head_room,
    is_worth_moving,
    priced_places,
)

# Searches for one plan of all jobs up to which new plans are made: 0.2 s for all of it. A search for a job in one piece
# takes 0.05 to 0.1 ms, for one that may pause some milliseconds.
_MOST_SEARCHES, _SEARCHES_WITH_PAUSES = 600, 30
_REINSERT_ROUNDS = 2


def cleanest(joint: Joint, in_turn: Draft, hysteresis_ratio: float) -> Draft:
    """`in_turn` has everybody as early as possible and nobody crowded out: it is begun from where all else fails."""
    order = sorted(joint.needs, key=least_latest_start)
    mended = _mended(joint, order, hysteresis_ratio)
    drafts = _new_drafts(joint, order) if mended.is_crowded or _searches(joint) <= _MOST_SEARCHES else []
    anew = min((one for one in drafts if not one.is_crowded), key=lambda one: one.rank, default=None)
    if anew is None:
        return _improved(in_turn, order) if mended.is_crowded else mended
    return anew if mended.is_crowded or is_worth_moving(anew, mended, hysteresis_ratio) else mended


def _searches(joint: Joint) -> int:
    """How many exact searches one plan of all jobs takes, one for each job and region."""
    regions = joint.board.regions
    return sum(
        len(allowed_regions(one.job, regions))
        * (1 if one.job.interruption is None else _SEARCHES_WITH_PAUSES)
        * max(1, len(one.job.elastic))
        for one in joint.needs
    )


def _new_drafts(joint: Joint, order: Sequence[Need]) -> list[Draft]:
    greedy = _greedy(joint, order)
    if _searches(joint) > _MOST_SEARCHES:
        return [greedy]
    by_size = sorted(order, key=_most_gpu_time)
    return [greedy, _reinserted(_greedy(joint, by_size), by_size)]


def _most_gpu_time(wanted: Need) -> tuple[int, float]:
    return -wanted.job.priority, -wanted.job.gpus * wanted.whole_s


def _greedy(joint: Joint, order: Sequence[Need]) -> Draft:
    draft = Draft(joint=joint, board=joint.fresh_board())
    fill(draft, order, draft.board.cheapest, postpones_late=True)
    return draft


def _reinserted(draft: Draft, order: Sequence[Need]) -> Draft:
    """Each job in turn at its cheapest place while the others stay, until nobody moves."""
    for _ in range(0 if draft.is_crowded else _REINSERT_ROUNDS):
        moved = [_reinsert(draft, draft.places[one.job.id]) for one in order if one.job.id in draft.places]
        if not any(moved):
            break
    return draft


def _reinsert(draft: Draft, place: Place) -> bool:
    if place.integral_g_s_per_kwh is None:
        return False
    draft.board.give_back(place)
    better = better_place(draft.board, place, hysteresis_ratio=0.0)
    draft.put(place if better is None else replace(better, at_once=place.at_once))
    return better is not None


def _mended(joint: Joint, order: Sequence[Need], hysteresis_ratio: float) -> Draft:
    """The plan so far where it holds, everything else beside it, and then each job moved for which that pays."""
    draft = Draft(joint=joint, board=joint.fresh_board())
    planned = {one.job.id: one.planned for one in joint.open_jobs}
    kept: list[Place] = []
    for place in priced_places(draft.board, planned, order):
        if place is not None and has_head_room(draft.board, place):
            kept.append(place)
            draft.put(place)
    fill(draft, [one for one in order if one.job.id not in draft.places], draft.board.cheapest, postpones_late=True)
    if kept and not draft.is_crowded:
        _move_where_it_pays(draft, kept, hysteresis_ratio)
    return draft


def _move_where_it_pays(draft: Draft, kept: Sequence[Place], hysteresis_ratio: float) -> None:
    """Each of the kept places in turn, all of which are taken on the board, where another one may be better."""
    enough = [enough_g_s_per_kwh(place, hysteresis_ratio) for place in kept]
    prospects = InTurn.of(draft.board, kept, enough) or Prospects(
        board=draft.board, kept=kept, enough_g_s_per_kwh=enough
    )
    for index, place in enumerate(kept):
        if not (regions := prospects.regions_of(index)):
            continue
        draft.board.give_back(place)
        better = better_place(draft.board, place, hysteresis_ratio, regions)
        draft.put(better or place)
        if better is not None:
            prospects.left(index, place.segments)


def _improved(draft: Draft, order: Sequence[Need]) -> Draft:
    """Each job that is in time, moved to its cheapest place while the others stay."""
    draft.count()
    for wanted in order:
        before = draft.places.get(wanted.job.id)
        if before is None or wanted.job.id in draft.late:
            continue
        draft.board.give_back(before)
        draft.put(draft.board.cheapest(wanted) or before)
    return draft

"""Why a job has no place in time, in one word and in a sentence. Asks a board for room; takes and places nothing."""

from __future__ import annotations

import math

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.open_jobs import job_room
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.needs import Need, allowed_regions
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.plan import Obstacle, Refusal, Segment
from scheduler.planning.run_phases import most_w
from scheduler.quantities import format_instant

_ROUNDING_W = 1e-6


def refusal(board: Board, need: Need, at_once: Segment | None) -> Refusal:
    """Why the job has no place in time, and the first finish that has."""
    why = obstacle(board, need, at_once)
    return Refusal(
        job_id=need.job.id,
        obstacle=why,
        what=_refusal_text(board, _at_widest(board, need).job, why),
        earliest_finish_at_s=None if at_once is None else at_once.end_at_s,
    )


def obstacle(board: Board, need: Need, at_once: Segment | None) -> Obstacle:
    """What keeps a job that could run `at_once` from being in time."""
    need = _at_widest(board, need)
    if at_once is None:
        return _size_obstacle(board, need.job)
    if need.earliest_s > need.latest_start_at_s + ROUNDING_S:
        return Obstacle.DEADLINE
    is_held = alone_start_at_s(board, need) > need.latest_start_at_s + ROUNDING_S
    if is_held:
        return Obstacle.HELD
    return Obstacle.POWER_CAP if _is_short_of_power(board, need) else Obstacle.CAPACITY


def alone_start_at_s(board: Board, need: Need) -> float:
    """When the job could start were nobody else there: later than it may only where regions hold GPUs."""
    need = _at_widest(board, need)
    regions = allowed_regions(need.job, board.regions)
    if not any(region.held for region in regions):
        return need.earliest_s
    empty = Occupancy(regions)
    firsts = (job_room.first_start_at_s(empty, one, need.job, need.earliest_s, need.whole_s) for one in regions)
    return min(firsts)


def _at_widest(board: Board, need: Need) -> Need:
    """An elastic job on the most GPUs that some region it may run in has, with their power; else on the fewest."""
    if not need.job.elastic:
        return need
    empty, regions = Occupancy(board.regions), allowed_regions(need.job, board.regions)
    every = sorted(need.at_counts(), key=lambda one: one.job.gpus)
    fitting = [
        one
        for one in every
        if any(not math.isinf(job_room.first_start_at_s(empty, where, one.job, 0.0, 1.0)) for where in regions)
    ]
    return max(fitting or every[:1], key=lambda one: (-one.whole_s, one.job.gpus))


def _size_obstacle(board: Board, job: Job) -> Obstacle:
    """Why not even an empty fleet could hold it."""
    regions = allowed_regions(job, board.regions)
    if not regions:
        return Obstacle.REGION
    return Obstacle.POWER_CAP if any(region.gpus >= job.gpus for region in regions) else Obstacle.GPUS


def _is_short_of_power(board: Board, need: Need) -> bool:
    """Whether the job could start in time were it not for what others draw."""
    if all(region.power_cap_w is None for region in board.regions):
        return False
    first, whole_s, gpus = board.occupancy.earliest_start_at_s, need.whole_s, need.job.gpus
    firsts = (first(one.name, need.earliest_s, whole_s, gpus) for one in allowed_regions(need.job, board.regions))
    return min(firsts, default=math.inf) <= need.latest_start_at_s + ROUNDING_S


def _refusal_text(board: Board, job: Job, obstacle: Obstacle) -> str:
    match obstacle:
        case Obstacle.REGION:
            return f"no region of {', '.join(job.regions) or 'any'} exists"
        case Obstacle.GPUS:
            most = max(region.gpus for region in allowed_regions(job, board.regions))
            return f"needs {job.gpus} GPUs at once, the largest allowed region has {most}"
        case Obstacle.POWER_CAP:
            return _power_text(board, job)
        case Obstacle.DEADLINE:
            because = "there is not so much time"
        case Obstacle.HELD:
            because = "GPUs are reserved or in maintenance"
        case Obstacle.CAPACITY:
            because = f"the room for {job.gpus} GPUs is taken"
    return f"cannot finish by {format_instant(job.deadline_at_s)}: {because}"


def _power_text(board: Board, job: Job) -> str:
    regions = [one for one in allowed_regions(job, board.regions) if one.gpus >= job.gpus]
    needs_w = {one.name: most_w(job) * one.facility_ratio for one in regions}
    caps_w = {one.name: math.inf if one.power_cap_w is None else one.power_cap_w for one in regions}
    widest = max(regions, key=lambda one: caps_w[one.name] - needs_w[one.name])
    needs = f"{needs_w[widest.name] / 1000.0:.4g} kW"
    cap = f"the power cap of {widest.name} is {caps_w[widest.name] / 1000.0:.4g} kW"
    if needs_w[widest.name] > caps_w[widest.name] + _ROUNDING_W:
        return f"draws {needs}, its share of cooling included, and {cap}"
    by = format_instant(job.deadline_at_s)
    return f"cannot finish by {by}: {cap}, and others draw too much of it beside the {needs} of the job"

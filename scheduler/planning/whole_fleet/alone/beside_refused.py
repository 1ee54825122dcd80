"""How many jobs no plan can have in time, asked around those that a plan refuses.

The proof that goes through windows (crowd_proof.py) is for a hundred jobs, not for a fleet. So it is asked of the jobs
whose windows meet those of refused jobs: refused jobs that meet make one crowd, and each other job belongs to the one
that it meets for longest. No job is in two crowds, so what is proved of each adds up. Only jobs that may run in the
same regions, all alike, are looked at, and neither power caps nor GPUs that are held; each of these can only make the
number smaller. The plan is looked at for no more than whom it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.crowd_proof import CrowdProof
from scheduler.planning.whole_fleet.alone.crowd_room import CrowdRoom
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.levels import levels_of

# Starts looked at for all crowds together: about a second.
MOST_LOOKED = 30_000_000
# Larger crowds are left: too few looks would be had.
_MOST_JOBS = 400
# Prices are constant within a cell. More of them prove more and take longer.
_CELLS = 128


def least_refused_beside(case: FleetCase, refused: Sequence[Job], most_looked: int = MOST_LOOKED) -> int:
    """What is proved around these jobs, looking for no more than one for each of them."""
    found, left = 0, most_looked
    every = _crowds(case, [job for job in refused if _is_plain(case, job)])
    crowds = [(jobs, most) for jobs, most in every if len(jobs) <= _MOST_JOBS]
    for number, (jobs, most) in enumerate(crowds):
        proof = CrowdProof(_room(case, jobs), left // (len(crowds) - number))
        found += proof.least_refused(most)
        left -= proof.looked
    return found


def _is_plain(case: FleetCase, job: Job) -> bool:
    """Whether it is one power on one number of GPUs, in regions that are alike."""
    alike = {(case.regions[index].gpus, case.regions[index].speed) for index in case.allowed(job)}
    return len(alike) == 1 and job.id not in case.phases and levels_of(case, job) is None


def _crowds(case: FleetCase, refused: Sequence[Job]) -> Iterator[tuple[list[Job], int]]:
    """The jobs of each crowd, and how many of them are refused."""
    for allowed in dict.fromkeys(tuple(case.allowed(job)) for job in refused):
        jobs = [job for job in case.jobs if tuple(case.allowed(job)) == allowed and _is_plain(case, job)]
        names = {job.id for job in refused}
        stretches = _joined([job for job in jobs if job.id in names])
        found: list[list[Job]] = [[] for _ in stretches]
        for job in jobs:
            met_s = [min(to_s, job.deadline_at_s) - max(from_s, job.earliest_start_at_s) for from_s, to_s in stretches]
            if max(met_s) > 0:
                found[int(np.argmax(met_s))].append(job)
        yield from ((some, sum(job.id in names for job in some)) for some in found)


def _joined(jobs: Sequence[Job]) -> list[tuple[float, float]]:
    """The stretches of time that the windows of these jobs cover."""
    found: list[tuple[float, float]] = []
    for from_s, to_s in sorted((job.earliest_start_at_s, job.deadline_at_s) for job in jobs):
        if found and from_s < found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], to_s))
        else:
            found.append((from_s, to_s))
    return found


def _room(case: FleetCase, jobs: Sequence[Job]) -> CrowdRoom:
    regions = [case.regions[index] for index in case.allowed(jobs[0])]
    lasts_s = np.array([case.lasts_s(job, regions[0]) for job in jobs])
    # A window may be shorter than its run by a rounding.
    from_s = min(job.earliest_start_at_s for job in jobs)
    to_s = max(*(job.deadline_at_s for job in jobs), from_s + float(lasts_s.max()))
    edges_at_s = np.linspace(from_s, to_s, _CELLS + 1)
    return CrowdRoom(jobs, lasts_s, edges_at_s, regions[0].gpus, len(regions))

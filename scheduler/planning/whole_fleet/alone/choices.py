"""What the jobs of a fleet would each choose alone at given prices of capacity, by kind of job. Moves no price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.fillings import Fillings
from scheduler.planning.whole_fleet.alone.levels import LevelFillings
from scheduler.planning.whole_fleet.alone.profiles import ProfiledWindows
from scheduler.planning.whole_fleet.alone.windows import Windows
from scheduler.planning.whole_fleet.levels import levels_of
from scheduler.planning.whole_fleet.rates import Rates


class OwnChoice(Protocol):
    def choose(self, rates: Rates, gpu_s: Floats, facility_j: Floats, near_gco2e_per_s: float = 0.0) -> float:
        """The jobs' own minimum at these prices, in sum; adds what they use to the cells.

        Use may be spread over choices that cost up to so much more for each GPU and second; the minimum never is.
        """
        ...


def own_choices(jobs: Sequence[Job], rates: Rates) -> list[OwnChoice]:
    """A choice for each kind of job that there is."""
    levels = {job.id: one for job in jobs if (one := levels_of(rates.case, job)) is not None}
    levelled = [job for job in jobs if job.id in levels]
    profiled = [job for job in jobs if job.id in rates.case.phases]
    other = [job for job in jobs if job.id not in levels and job.id not in rates.case.phases]
    contiguous = [job for job in other if job.interruption is None]
    pausing = [job for job in other if job.interruption is not None]
    found: list[OwnChoice] = []
    if contiguous:
        found.append(Windows(contiguous, rates))
    if pausing:
        found.append(Fillings(pausing, rates))
    if profiled:
        found.append(ProfiledWindows(profiled, rates))
    if levelled:
        found.append(LevelFillings(levelled, [levels[job.id] for job in levelled], rates))
    return found

"""What is free in a fleet beside all others, and what would be without one of its limits. Decides nothing.

Pools of tokens take their share like jobs. Each room holds everybody; before one job is looked at it is taken out of
all of them, and put back afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from scheduler.jobs import Job
from scheduler.planning.plan import Segment
from scheduler.planning.reasons.explanation import LimitKind
from scheduler.planning.reasons.fleet_places import wider
from scheduler.planning.whole_fleet.fleet_case import FleetCase, Room
from scheduler.planning.whole_fleet.joint import FleetPlan


class FleetRooms:
    """The room beside a plan, and the rooms with a limit lifted that there is."""

    def __init__(self, found: FleetPlan) -> None:
        case = found.case
        self._found = found
        self.room = filled_room(found, case)
        self.empty = Room(case)
        self.lifted: dict[LimitKind, Room] = {}
        if case.power_caps_w:
            self.lifted[LimitKind.POWER_CAP] = filled_room(found, replace(case, power_caps_w={}))
        if any(region.held for region in case.regions):
            self.lifted[LimitKind.HELD] = filled_room(found, unheld(case))
        if case.pools:
            self.lifted[LimitKind.POOL] = filled_room(found, case, with_pools=False)
        self._wider: dict[int, Room] = {}

    def wider(self, more_gpus: int) -> Room:
        """Beside everybody, were there so many more GPUs in each region."""
        if more_gpus not in self._wider:
            self._wider[more_gpus] = filled_room(self._found, wider(self._found.case, more_gpus))
        return self._wider[more_gpus]

    @contextmanager
    def without(self, job: Job) -> Iterator[None]:
        """Everybody but this job; who asks for a wider room does so before."""
        segments = self._found.segments.get(job.id, ())
        every = [self.room, *self.lifted.values(), *self._wider.values()]
        for room in every:
            room.give_back(job, segments)
        yield
        for room in every:
            room.take(job, segments)


def filled_room(found: FleetPlan, case: FleetCase, *, with_pools: bool = True) -> Room:
    """What is free beside every planned job, and pool, of a case."""
    room = Room(case)
    for job in found.case.jobs:
        room.take(job, found.segments.get(job.id, ()))
    if with_pools and case.pools and found.case.jobs:
        pieces = list(pool_pieces(found))
        room.take(found.case.jobs[0], pieces)  # every piece says its GPUs and its power
    return room


def pool_pieces(found: FleetPlan) -> Iterator[Segment]:
    """What pools hold, as pieces of a job measured on the GPU of all jobs."""
    regions = {region.name: region for region in found.case.regions}
    for pool in found.case.pools:
        for one in found.pools[pool.name].segments:
            power_w = one.gpus * pool.densities[one.region].power_w / regions[one.region].power_ratio
            yield Segment(
                start_at_s=one.start_at_s, end_at_s=one.end_at_s, region=one.region, gpus=one.gpus, power_w=power_w
            )


def unheld(case: FleetCase) -> FleetCase:
    return replace(case, regions=[replace(region, held=()) for region in case.regions])

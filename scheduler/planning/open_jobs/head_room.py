"""Where work may wait: the room that is left beside it for jobs not submitted yet, of the GPUs that jobs may have.

What a region holds at an instant is no job's, so the head-room is a share of the rest; a job that would be alone on the
rest may always run, since keeping GPUs free of their only job serves nobody. Knows no carbon.
"""

from __future__ import annotations

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.curve import Intervals
from scheduler.planning.open_jobs.capacity import Occupancy, Whole
from scheduler.planning.plan import Region


def waiting_room(
    occupancy: Occupancy,
    region: Region,
    from_s: float,
    to_s: float,
    gpus: int,
    reserve_ratio: float,
    at_least_s: float = 0.0,
) -> Intervals:
    """The stretches, none shorter than `at_least_s`, in which so many more GPUs fit and the head-room stays free."""
    if not region.held or reserve_ratio == 0:
        kept = int(region.gpus * reserve_ratio)
        return occupancy.free(region.name, from_s, to_s, gpus, kept, at_least_s)
    if gpus > region.gpus:
        return ()

    def most_taken(begins_s: Floats) -> Whole:
        """Holds begin and end where steps do: the occupancy counts them as taken."""
        held = occupancy.held_at(region.name, begins_s)
        lent = region.gpus - held
        room = np.maximum(lent - gpus - (lent * reserve_ratio).astype(np.int64), 0)
        return np.where(gpus <= lent, held + room, -1)

    return occupancy.free_by_step(region.name, from_s, to_s, most_taken, at_least_s)

"""Whether a run may start now: GPUs that no run occupies, less those held for others, within the region's power cap.

Looks at what runs, never at what is planned; who is asked first is the engine's rule. Occupies nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.open_entry import OpenEntry, expected_run, held_at_start, powered_until_s
from scheduler.planning.open_jobs.job_room import is_powered, occupied
from scheduler.planning.plan import Region, Segment, gpus_of
from scheduler.watched import Watched


class StartRoom:
    """The regions as a start sees them; made anew when one of them changes."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self._gpus = {region.name: region.gpus for region in regions}
        self.holding = [region for region in regions if region.held]  # those that hold GPUs themselves at some time
        self._capped = [region for region in regions if region.power_cap_w is not None]

    def takes(self, entry: OpenEntry, run: Segment, watched: Watched[OpenEntry]) -> bool:
        """Whether the run finds GPUs and power beside those that `watched` knows to run."""
        held = held_at_start(entry, run, self.holding) if self.holding else {}
        free = self._gpus.get(run.region, 0) - watched.gpus_held.get(run.region, 0)
        has_gpus = free - held.get(run.region, 0) >= gpus_of(entry.job, run)
        return has_gpus and self._has_power(entry, run, watched)

    def _has_power(self, entry: OpenEntry, run: Segment, watched: Watched[OpenEntry]) -> bool:
        """Whether the run keeps the region's power cap beside all that run, to their ends."""
        region, now_s = run.region, run.start_at_s
        capped = [one for one in self._capped if one.name == region]
        if not capped:
            return True
        held = watched.held.values()
        running = ((one.job, (piece,)) for one in held if (piece := expected_run(one, now_s)) is not None)
        wanted = replace(run, end_at_s=powered_until_s(entry, run))
        return is_powered(occupied(capped, running), entry.job, wanted)

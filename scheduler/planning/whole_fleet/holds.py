"""When a region keeps GPUs from jobs: hours of the week for traffic that cannot wait, and windows out of service.

Decides which stretches of time a weekly rule means, and what several rules hold together. Knows no job.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import pairwise

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.plan import Hold, Region

_DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekHours:
    """So many GPUs on these days (0 is Monday), from one time of the day to another, by the clocks of a time zone.

    Where `to` is not after `since` it is that of the next day; equal times are a whole day. On the two days a year
    that change the clocks the hours are those that the clocks show.
    """

    days: frozenset[int]
    since: time
    to: time
    gpus: int
    zone: tzinfo = UTC

    def between(self, from_s: float, to_s: float) -> Iterator[Hold]:
        """The hours that touch the interval, oldest first."""
        # A day earlier: hours of a night begin the evening before.
        date = datetime.fromtimestamp(from_s - _DAY_S, self.zone).date()
        while (start_at_s := datetime.combine(date, self.since, self.zone).timestamp()) < to_s:
            end_date = date if self.to > self.since else date + timedelta(days=1)
            end_at_s = datetime.combine(end_date, self.to, self.zone).timestamp()
            if date.weekday() in self.days and start_at_s < end_at_s and end_at_s > from_s:
                yield Hold(start_at_s=start_at_s, end_at_s=end_at_s, gpus=self.gpus)
            date += timedelta(days=1)


def free_gpus(regions: Sequence[Region], edges_at_s: Floats) -> Floats:
    """What jobs may use at once all through each step, shape (regions, steps); exact where holds begin on edges."""
    free = np.array([[float(region.gpus)] * (len(edges_at_s) - 1) for region in regions])
    for row, region in zip(free, regions, strict=True):
        for hold in region.held:
            touched = (edges_at_s[:-1] < hold.end_at_s) & (edges_at_s[1:] > hold.start_at_s)
            row[touched] = np.minimum(row[touched], region.gpus - hold.gpus)
    return free


def together(holds: Iterable[Hold], gpus: int) -> tuple[Hold, ...]:
    """The sum of several rules, without overlaps and never more than a region has."""
    changes: dict[float, int] = {}
    for one in holds:
        changes[one.start_at_s] = changes.get(one.start_at_s, 0) + one.gpus
        changes[one.end_at_s] = changes.get(one.end_at_s, 0) - one.gpus
    found: list[Hold] = []
    asked = 0
    for from_s, to_s in pairwise(sorted(changes)):
        asked += changes[from_s]
        held = min(gpus, asked)
        if found and found[-1].end_at_s == from_s and found[-1].gpus == held:
            found[-1] = Hold(start_at_s=found[-1].start_at_s, end_at_s=to_s, gpus=held)
        elif held:
            found.append(Hold(start_at_s=from_s, end_at_s=to_s, gpus=held))
    return tuple(found)

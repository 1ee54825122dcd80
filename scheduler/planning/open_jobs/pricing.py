"""What the places of many jobs emit, told for all runs of one region together: as the board tells it one by one.

A plan of a thousand jobs that is made again prices each place anew, and to ask for two instants takes about as long as
for a thousand. Jobs in several pieces, or with a power or a number of GPUs that changes, are left to the board.
Chooses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Job
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.plan import Region, Segment

Run = tuple[Job, tuple[Segment, ...]]


def integrals_g_s_per_kwh(board: Board, runs: Sequence[Run]) -> list[float | None]:
    """For each the same as `board.integral_g_s_per_kwh`."""
    together: dict[str, list[int]] = {region.name: [] for region in board.regions}
    found: list[float | None] = [None] * len(runs)
    for index, (job, segments) in enumerate(runs):
        is_plain = len(segments) == 1 and segments[0].power_w is None and not job.power_profile and not job.elastic
        if is_plain and segments[0].region in together:
            together[segments[0].region].append(index)
        else:
            found[index] = board.integral_g_s_per_kwh(job, segments)
    for region in board.regions:
        series = board.forecasts.get(region.zone)
        if series is None or not together[region.name]:
            continue
        if series.has_gap:
            for index in together[region.name]:
                found[index] = board.integral_g_s_per_kwh(*runs[index])
            continue
        pieces = [runs[index][1][0] for index in together[region.name]]
        for index, integral in zip(together[region.name], _in_region(region, series, pieces), strict=True):
            found[index] = integral
    return found


def _in_region(region: Region, series: IntensitySeries, pieces: Sequence[Segment]) -> list[float | None]:
    start_at_s, end_at_s = np.array([(one.start_at_s, one.end_at_s) for one in pieces]).T
    known = (start_at_s >= series.start_at_s) & (start_at_s <= end_at_s) & (end_at_s <= series.end_at_s)
    edges, sums = series.edges_at_s, series.cumulative_g_s_per_kwh
    integrals = region.pue * (np.interp(end_at_s, edges, sums) - np.interp(start_at_s, edges, sums))
    return [one if is_known else None for one, is_known in zip(integrals.tolist(), known.tolist(), strict=True)]

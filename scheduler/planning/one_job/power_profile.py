"""The cleanest window of a job whose power changes along its run: warm-up, training, evaluation.

What a window emits is the sum over its phases of power times the integral of the intensity, so it is piecewise linear
in the start, with kinks only where a border of a phase meets an edge of the curve or an end of the free time. So some
optimum starts at one of these instants, and all of them are evaluated. Contiguous runs only: a pause inside a phase
would leave open what power the rest of it draws. Ties go to the earliest start, then to the region named first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Phase as Phase
from scheduler.planning.curve import Curve, Intervals, long_enough, overlap
from scheduler.planning.one_job.window import TIE_RATIO
from scheduler.planning.plan import Segment

_W_S_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledWindow:
    """One uninterrupted run and what it emits, PUE included."""

    segment: Segment
    emissions_gco2e: float


def run_s(phases: Sequence[Phase]) -> float:
    return sum(phase.duration_s for phase in phases)


def energy_kwh(phases: Sequence[Phase]) -> float:
    """IT energy of the whole run."""
    return sum(phase.power_w * phase.duration_s for phase in phases) / _W_S_PER_KWH


def cheapest_profiled_window(
    curves: Sequence[Curve],
    phases: Sequence[Phase],
    earliest_s: float,
    deadline_s: float,
    free: Mapping[str, Intervals] | None = None,
) -> ProfiledWindow | None:
    """The cleanest known window of all regions, or None; `free` limits each region to its free stretches."""
    best: ProfiledWindow | None = None
    for one in curves:
        allowed = overlap(((earliest_s, deadline_s),), one.known)
        if free is not None:
            allowed = overlap(allowed, free.get(one.region, ()))
        found = _cheapest_in(one, phases, long_enough(allowed, run_s(phases)))
        if found is not None and (best is None or _is_better(found, best)):
            best = found
    return best


def emissions_gco2e(one: Curve, phases: Sequence[Phase], starts_at_s: Floats) -> Floats:
    """What the run emits from each start, shape (n,), PUE included; every window must lie inside `known`."""
    borders_s = _borders_s(phases)
    cumulative = one.cumulative(starts_at_s[:, None] + borders_s)
    power_w = np.array([phase.power_w for phase in phases])
    emissions: Floats = one.pue / _W_S_PER_KWH * (np.diff(cumulative, axis=1) @ power_w)
    return emissions


def _borders_s(phases: Sequence[Phase]) -> Floats:
    """Where the phases begin and end, counted from the start, shape (phases + 1,)."""
    return np.concatenate(([0.0], np.cumsum([phase.duration_s for phase in phases])))


def _cheapest_in(one: Curve, phases: Sequence[Phase], allowed: Intervals) -> ProfiledWindow | None:
    if not allowed:
        return None
    starts = np.concatenate([_candidates_at_s(one, phases, *stretch) for stretch in allowed])
    emissions = emissions_gco2e(one, phases, starts)
    lowest_gco2e = float(emissions.min())
    tie_gco2e = lowest_gco2e + TIE_RATIO * float(np.abs(emissions).max())
    chosen = int(np.flatnonzero(emissions <= tie_gco2e)[0])  # starts grow, so the first of equals is the earliest
    start_at_s = float(starts[chosen])
    return ProfiledWindow(
        segment=Segment(start_at_s=start_at_s, end_at_s=start_at_s + run_s(phases), region=one.region),
        emissions_gco2e=float(emissions[chosen]),
    )


def _candidates_at_s(one: Curve, phases: Sequence[Phase], from_s: float, to_s: float) -> Floats:
    """Every start in a free stretch at which a border of a phase meets an edge, and the first and last start."""
    last_s = max(from_s, to_s - run_s(phases))
    meets = (one.edges_at_s[:, None] - _borders_s(phases)).ravel()
    inside = meets[(meets > from_s) & (meets < last_s)]
    return np.unique(np.concatenate((inside, (from_s, last_s))))


def _is_better(one: ProfiledWindow, other: ProfiledWindow) -> bool:
    tie_gco2e = TIE_RATIO * abs(other.emissions_gco2e)
    difference_gco2e = one.emissions_gco2e - other.emissions_gco2e
    is_earlier = one.segment.start_at_s < other.segment.start_at_s
    return difference_gco2e < -tie_gco2e or (difference_gco2e <= tie_gco2e and is_earlier)

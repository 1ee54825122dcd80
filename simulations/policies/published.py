"""The published policies on a scenario's seconds: when work runs in one piece, and in which pieces where it may pause.

Each decides from the forecast at hand by its rule (rules.py). What the studies leave open is decided here: only starts
with room count, a pause costs what the job says, and a piece that is not worth its costs is not run. Knows no fleet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import Floats, IntensitySeries
from scheduler.jobs import Interruption
from scheduler.planning.curve import ROUNDING_S
from simulations.policies.outlook import Outlook
from simulations.policies.rules import (
    Run,
    cleanest_runs,
    first_below,
    gate_of,
    lowest,
    most_saved_for_time,
    runs_below,
)

# Lowest-Window and Carbon-Time look at whole hours after arrival. Source: Hanafy et al., ASPLOS 2024.
HOUR_S = 3600.0
# Wait-Awhile looks at half-hours. Source: Wiesner et al., Middleware 2021.
HALF_HOUR_S = 1800.0
# The gate is a percentile of the next day's steps of five seconds. Source: Hanafy et al., ASPLOS 2024.
GATE_SPAN_S, GATE_STEP_S = 86_400.0, 5.0

# Choices of pieces that are made anew because one was not worth its pause, before the job runs in one piece.
MAX_ROUNDS = 50

# A start, or None where nothing is known to choose by.
StartRule = Callable[[Outlook], float | None]
# From edges (n + 1,), intensities (n,) and the time on GPUs: the runs, or None where they cannot be had.
PieceRule = Callable[[Outlook, Floats, Floats, float], list[Run] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A policy: `start` for work in one piece, `pieces` for work that may pause; without it that runs in one, too."""

    start: StartRule
    pieces: PieceRule | None = None

    def release_at_s(
        self, series: IntensitySeries | None, now_s: float, duration_s: float, release_by_s: float
    ) -> float:
        """When a request that may wait is sent, as `scheduler.deferral` says it for ours."""
        if series is None or release_by_s <= now_s:
            return now_s
        until_s = release_by_s + duration_s
        outlook = Outlook(
            series=series, earliest_s=now_s, deadline_s=until_s, duration_s=duration_s, room=((now_s, until_s),)
        )
        start_at_s = self.start(outlook)
        return now_s if start_at_s is None else start_at_s


# -- in one piece ----------------------------------------------------------------------------------------------------


def lowest_slot(outlook: Outlook) -> float | None:
    """Where the intensity is lowest at the start, whatever follows."""
    starts = outlook.starts_at_changes()
    return float(starts[lowest(outlook.at(starts))]) if len(starts) else None


def lowest_window(outlook: Outlook, step_s: float = HOUR_S) -> float | None:
    """Where the sum over the expected run is lowest."""
    starts = outlook.starts_every(step_s)
    return float(starts[lowest(outlook.sums_g_s_per_kwh(starts))]) if len(starts) else None


def carbon_time(outlook: Outlook) -> float | None:
    """Where most is saved per unit of time until the expected end."""
    starts = outlook.starts_every(HOUR_S)
    if not len(starts):
        return None
    sums = outlook.sums_g_s_per_kwh(starts)
    return float(starts[most_saved_for_time(sums, starts - starts[0], outlook.duration_s)])


def lowest_half_hours(outlook: Outlook) -> float | None:
    """Wait-Awhile for work that may not pause."""
    return lowest_window(outlook, HALF_HOUR_S)


def gated(clean_ratio: float) -> StartRule:
    """Once it is clean, else as late as may be."""

    def start(outlook: Outlook) -> float | None:
        starts, gate = outlook.starts_at_changes(), _gate_gco2e_per_kwh(outlook, clean_ratio)
        if not len(starts) or gate is None:
            return None
        clean = first_below(outlook.at(starts), gate)
        return outlook.last_start_s if clean is None else float(starts[clean])

    return start


def _gate_gco2e_per_kwh(outlook: Outlook, clean_ratio: float) -> float | None:
    values, steps = outlook.ahead(GATE_SPAN_S, GATE_STEP_S)
    return gate_of(values, steps, clean_ratio) if len(values) else None


# -- in pieces -------------------------------------------------------------------------------------------------------


def cleanest_steps(outlook: Outlook, edges_s: Floats, gco2e_per_kwh: Floats, on_gpus_s: float) -> list[Run] | None:
    """Wait-Awhile for work that may pause."""
    can_run = np.isfinite(gco2e_per_kwh)
    if float(np.diff(edges_s)[can_run].sum()) < on_gpus_s - ROUNDING_S:
        return None
    return cleanest_runs(edges_s, gco2e_per_kwh, on_gpus_s)


def below_the_gate(clean_ratio: float) -> PieceRule:
    """Suspend-resume: while it is clean, and always once the waiting is used up."""

    def runs(outlook: Outlook, edges_s: Floats, gco2e_per_kwh: Floats, on_gpus_s: float) -> list[Run] | None:
        gate = _gate_gco2e_per_kwh(outlook, clean_ratio)
        if gate is None:
            return None
        patience_s = outlook.deadline_s - outlook.earliest_s - on_gpus_s
        found = runs_below(edges_s, gco2e_per_kwh, gate, on_gpus_s, patience_s)
        begins, ends = (np.array(column) for column in zip(*found, strict=True))
        return found if outlook.has_room(begins, ends).all() else None

    return runs


def chosen_pieces(rule: PieceRule, outlook: Outlook, pause: Interruption) -> list[Run] | None:
    """What the rule chooses, every pause paid for and every piece worth running; None where it comes to no end.

    `outlook.duration_s` is the time on GPUs in one piece.
    """
    edges, values = outlook.cells()
    least_s, count = max(pause.min_run_s, pause.overhead_s), 1
    for _ in range(MAX_ROUNDS):
        on_gpus_s = outlook.duration_s + pause.overhead_s * (count - 1)
        if on_gpus_s > outlook.deadline_s - outlook.earliest_s + ROUNDING_S:
            return None
        runs = rule(outlook, edges, values, on_gpus_s)
        if not runs:
            return None
        if len(runs) > count:
            count = len(runs)
            continue
        short = [(begin, end) for begin, end in runs if end - begin < least_s - ROUNDING_S]
        if not short or len(runs) == 1:
            return _without_spare(runs, pause.overhead_s * (count - len(runs)), least_s)
        values, count = _without(edges, values, short), 1
    return None


def _without(edges_s: Floats, gco2e_per_kwh: Floats, runs: list[Run]) -> Floats:
    """The same as if nothing could be had in the steps that the runs touch."""
    values = gco2e_per_kwh.copy()
    for begin_s, end_s in runs:
        values[(edges_s[:-1] < end_s) & (edges_s[1:] > begin_s)] = np.inf
    return values


def _without_spare(runs: list[Run], spare_s: float, least_s: float) -> list[Run]:
    """Fewer pauses than were paid for: the last piece ends earlier, where that leaves enough of it."""
    begin_s, end_s = runs[-1]
    if end_s - begin_s - spare_s < max(least_s, ROUNDING_S):
        return runs
    return [*runs[:-1], (begin_s, end_s - spare_s)]

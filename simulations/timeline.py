"""A comparison cut into equal steps of time: what was drawn, by which class, and what the grid emitted meanwhile.

Exact means over each step, from cumulative energy; nothing is sampled. Draws no pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import Floats, IntensitySeries
from scheduler.planning.plan import power_w_of
from simulations.launcher import parts_of
from simulations.power_trace import PowerTrace
from simulations.results import Results
from simulations.runs import PoolRun, Side
from simulations.side_items import FLEX, IDLE, INTERACTIVE, classes

# The finest of these that cuts the run into at most MAX_STEPS is used.
STEPS_S = tuple(minutes * 60.0 for minutes in (1, 5, 15, 30, 60, 120, 180, 360, 720, 1440, 10080))
MAX_STEPS = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """`edges_at_s` (n + 1,); everything else by name, each (n,). Intensity is NaN where it is not known."""

    edges_at_s: Floats
    intensity_gco2e_per_kwh: Mapping[str, Floats]
    baseline_by_class_kw: Mapping[str, Floats]
    policy_by_class_kw: Mapping[str, Floats]
    baseline_by_zone_kw: Mapping[str, Floats]
    policy_by_zone_kw: Mapping[str, Floats]

    @property
    def step_s(self) -> float:
        return float(self.edges_at_s[1] - self.edges_at_s[0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draws:
    """Intervals (m,) of constant power, of one class in one zone."""

    category: str
    zone: str
    start_at_s: Floats
    end_at_s: Floats
    power_w: Floats


def timeline_of(results: Results) -> Timeline:
    """From the start of the scenario to the end of the longer side."""
    runs = results.runs
    edges = _edges_at_s(runs.inputs.scenario.start, runs.end_at_s)
    zones = {region.name: region.zone for region in runs.inputs.scenario.region}
    sides = [_draws(side, zones) for side in (runs.baseline, runs.policy)]
    by_class = [_mean_kw(draws, [draw.category for draw in draws], edges) for draws in sides]
    by_zone = [_mean_kw(draws, [draw.zone for draw in draws], edges) for draws in sides]
    return Timeline(
        edges_at_s=edges,
        intensity_gco2e_per_kwh={
            zone: known_means_gco2e_per_kwh(series, edges) for zone, series in runs.inputs.grid.realised.items()
        },
        baseline_by_class_kw=by_class[0],
        policy_by_class_kw=by_class[1],
        baseline_by_zone_kw=by_zone[0],
        policy_by_zone_kw=by_zone[1],
    )


def known_means_gco2e_per_kwh(series: IntensitySeries, edges_at_s: Floats) -> Floats:
    """Mean of each step that lies inside the series, NaN for the others."""
    means = np.full(len(edges_at_s) - 1, np.nan)
    inside = np.flatnonzero((edges_at_s >= series.start_at_s) & (edges_at_s <= series.end_at_s))
    if len(inside) > 1:
        means[inside[0] : inside[-1]] = series.resampled(edges_at_s[inside]).gco2e_per_kwh
    return means


def _edges_at_s(start_at_s: float, end_at_s: float) -> Floats:
    span_s = max(end_at_s - start_at_s, STEPS_S[0])
    step_s = next((step_s for step_s in STEPS_S if span_s / step_s <= MAX_STEPS), STEPS_S[-1])
    steps = np.arange(int(np.ceil(span_s / step_s)) + 1, dtype=np.float64)
    return np.asarray(start_at_s + step_s * steps, dtype=np.float64)


def _draws(side: Side, zones: Mapping[str, str]) -> list[_Draws]:
    return [*_job_draws(side, zones), *(draw for run in side.pools for draw in _pool_draws(run))]


def _job_draws(side: Side, zones: Mapping[str, str]) -> list[_Draws]:
    names = dict(zip([work.job.id for work in side.works], classes(side), strict=False))
    works = {work.job.id: work for work in side.works}
    gathered: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for one in side.stretches:
        work, rows = works[one.job_id], gathered.setdefault((names[one.job_id], zones[one.region]), [])
        rows += [(part.start_at_s, part.end_at_s, power_w_of(work.job, part)) for part in parts_of(work, one)]
    found = []
    for (category, zone), rows in sorted(gathered.items()):
        table = np.array(rows)
        found.append(
            _Draws(category=category, zone=zone, start_at_s=table[:, 0], end_at_s=table[:, 1], power_w=table[:, 2])
        )
    return found


def _pool_draws(run: PoolRun) -> list[_Draws]:
    found = []
    for place, trace in enumerate(run.record.power):
        flex_ratio = _flex_ratio(run, place, trace)
        idle = trace.sequences == 0
        for name, ratio in (
            (INTERACTIVE, np.where(idle, 0.0, 1.0 - flex_ratio)),
            (FLEX, flex_ratio),
            (IDLE, np.where(idle, 1.0, 0.0)),
        ):
            if ratio.any():
                found.append(
                    _Draws(
                        category=f"{run.spec.name}, {name}",
                        zone=run.spec.zone,
                        start_at_s=trace.edges_at_s[:-1],
                        end_at_s=trace.edges_at_s[1:],
                        power_w=trace.power_w * ratio,
                    )
                )
    return found


def _flex_ratio(run: PoolRun, place: int, trace: PowerTrace) -> Floats:
    """Share of each span's sequences that were flex requests."""
    mine = (run.record.worker == place) & run.traffic.is_flex & ~run.record.is_dropped
    changes = np.zeros(len(trace.energy_j) + 1)
    np.add.at(changes, run.record.first_span[mine], 1.0)
    np.add.at(changes, run.record.last_span[mine], -1.0)
    who, first, last = run.record.stays_on(place)
    np.add.at(changes, first[run.traffic.is_flex[who]], 1.0)
    np.add.at(changes, last[run.traffic.is_flex[who]], -1.0)
    ratio = np.zeros(len(trace.energy_j))
    np.divide(np.cumsum(changes[:-1]), trace.sequences, out=ratio, where=trace.sequences > 0)
    return ratio


def _mean_kw(draws: Sequence[_Draws], names: Sequence[str], edges_at_s: Floats) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for name, draw in zip(names, draws, strict=True):
        found[name] = found.get(name, 0.0) + mean_power_kw(draw.start_at_s, draw.end_at_s, draw.power_w, edges_at_s)
    return found


def mean_power_kw(start_at_s: Floats, end_at_s: Floats, power_w: Floats, edges_at_s: Floats) -> Floats:
    """Mean of the summed power over each step, shape (n,): differences of the cumulative energy at the edges."""
    instants = np.concatenate((start_at_s, end_at_s))
    order = np.argsort(instants, kind="stable")
    instants, changes_w = instants[order], np.concatenate((power_w, -power_w))[order]
    level_w = np.cumsum(changes_w)
    energy_j = np.concatenate(([0.0], np.cumsum(level_w[:-1] * np.diff(instants))))
    at_edges_j = np.interp(edges_at_s, instants, energy_j)
    return np.asarray(np.diff(at_edges_j) / np.diff(edges_at_s) / 1000.0, dtype=np.float64)

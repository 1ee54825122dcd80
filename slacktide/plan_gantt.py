"""One region of a plan as a picture: what the grid emits, which job holds which GPU when, and the load beside run-now.

Decides where things are drawn; every number comes from the plan. Each job is a link to its row in the table, so that
the picture can be walked by keyboard; what time it had is drawn while it is pointed at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from intensity_feeds.series import Floats, IntensitySeries
from scheduler.jobs import Job
from scheduler.planning.plan import Region, Segment
from scheduler.planning.whole_fleet.fleet_case import Assignment, gpus_of
from scheduler.planning.whole_fleet.token_pools import PoolSegment
from scheduler.quantities import format_instant
from simulations.charts import shade
from simulations.svg import (
    Extent,
    Panel,
    Place,
    document,
    horizontal_grid,
    line,
    linear,
    nice_ticks,
    polyline,
    rectangle,
    steps_area,
    text,
    time_ticks,
    vertical_grid,
)
from simulations.timeline import known_means_gco2e_per_kwh

# Cells of the intensity: hours, days or whatever keeps them this few.
_MOST_CELLS = 400
_CELL_STEPS_S = (300.0, 900.0, 1800.0, 3600.0, 2 * 3600.0, 3 * 3600.0, 6 * 3600.0, 12 * 3600.0, 86400.0, 7 * 86400.0)
_INTENSITY_PX, _LOAD_PX, _GAP_PX, _TOP_PX = 58.0, 62.0, 30.0, 26.0
# The chart of jobs is about this high, a GPU at least and at most this.
_JOBS_PX, _LEAST_LANE_PX, _MOST_LANE_PX = 300.0, 0.5, 22.0
_MOST_SPARE = 8
# The narrowest bar; the pale edge between bars would hide one that is narrower than this.
_LEAST_BAR_PX, _EDGED_PX, _UNEDGED = 1.4, 4.0, "stroke-width:0"
# A bar this large has its name inside.
_LABEL_WIDTH_PX, _LABEL_HEIGHT_PX, _LETTER_PX = 34.0, 11.0, 6.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A job as it is drawn: its words on hover, the row it leads to, and whether it runs as it would at once."""

    job: Job
    hint: str
    row: str
    is_moved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionView:
    """What is drawn of one region; all regions share `extent_s` and `intensity_extent`.

    `bars` are its jobs; `segments`, `at_once` and `gpus` are of all jobs, by their ids, `pools` what pools hold here.
    """

    region: Region
    series: IntensitySeries
    bars: Sequence[Bar]
    segments: Assignment
    at_once: Assignment
    gpus: Mapping[str, int]
    extent_s: Extent
    intensity_extent: Extent
    pools: Sequence[PoolSegment] = ()


def region_picture(view: RegionView) -> str:
    """The three panels over one axis of time."""
    start_s, end_s = view.extent_s
    lanes = lanes_of(view.region, [one.job for one in view.bars], view.segments)
    shown = max((first + count for pieces in lanes.values() for _, first, count in pieces), default=1)
    if view.region.gpus <= _MOST_SPARE * shown:
        shown = view.region.gpus  # what is never used is worth seeing, as long as it leaves room for the rest
    lane_px = min(max(_JOBS_PX / shown, _LEAST_LANE_PX), _MOST_LANE_PX)
    intensity = Panel(top_px=_TOP_PX, height_px=_INTENSITY_PX)
    jobs = Panel(top_px=intensity.bottom_px + _GAP_PX, height_px=lane_px * shown)
    load = Panel(top_px=jobs.bottom_px + _GAP_PX, height_px=_LOAD_PX)
    place = linear(view.extent_s, load.left_px, load.right_px)
    ticks = time_ticks(start_s, end_s)
    cells = _cells(view)
    body = _intensity(view, intensity, place, cells)
    body += _ribbon(view, jobs, place, cells)
    for panel in (jobs, load):
        body += vertical_grid(panel, place, ticks, labelled=panel is load)
    of = "" if shown == view.region.gpus else f" of {view.region.gpus:,}"
    body.append(text(jobs.left_px, jobs.top_px - 8, f"jobs: a row for each of {shown:,}{of} GPUs", "unit"))
    body += horizontal_grid(jobs, linear((0.0, 1.0), jobs.bottom_px, jobs.top_px), [(0.0, ""), (1.0, "")])
    body += [_bar(bar, lanes.get(bar.job.id, ()), jobs, place, lane_px) for bar in view.bars]
    body += _load(view, load, place)
    name = f"{view.region.name}: jobs over time"
    words = f"{len(view.bars)} jobs on {view.region.gpus} GPUs; each is a link to its row in the table of jobs"
    return document(load.bottom_px + 24, name, words, body, role="group")


# -- the grid --------------------------------------------------------------------------------------------------------


def _cells(view: RegionView) -> tuple[Floats, Floats]:
    """Edges (n + 1,) and mean intensities (n,), NaN where it is not known."""
    start_s, end_s = view.extent_s
    step_s = next((one for one in _CELL_STEPS_S if (end_s - start_s) / one <= _MOST_CELLS), _CELL_STEPS_S[-1])
    edges = np.arange(np.floor(start_s / step_s), np.ceil(end_s / step_s) + 1) * step_s
    means = known_means_gco2e_per_kwh(view.series, edges)
    return np.clip(edges, start_s, end_s), means


def _intensity(view: RegionView, panel: Panel, place: Place, cells: tuple[Floats, Floats]) -> list[str]:
    low, high = view.intensity_extent
    ticks = nice_ticks((0.0, high), 3)
    level = linear((min(0.0, low), ticks[-1][0]), panel.bottom_px, panel.top_px)
    body = horizontal_grid(panel, level, ticks, f"grid of {view.region.zone}, gCO2e/kWh")
    edges, means = cells
    for index in np.flatnonzero(~np.isnan(means)).tolist():
        x_px, next_px, value = place(float(edges[index])), place(float(edges[index + 1])), float(means[index])
        top_px, base_px = sorted((level(value), level(0.0)))
        hint = f"{format_instant(float(edges[index]))}: {value:.0f} gCO2e/kWh"
        body.append(rectangle(x_px, top_px, next_px - x_px + 0.3, base_px - top_px, _shade(view, value), hint))
    return body


def _ribbon(view: RegionView, panel: Panel, place: Place, cells: tuple[Floats, Floats]) -> list[str]:
    """The same colours, faint, behind the jobs: made faint together, so that they may overlap and show no seams."""
    edges, means = cells
    cells_px = [
        rectangle(
            place(float(edges[index])),
            panel.top_px,
            min(place(float(edges[index + 1])) + 0.6, panel.right_px) - place(float(edges[index])),
            panel.height_px,
            _shade(view, float(means[index])),
        )
        for index in np.flatnonzero(~np.isnan(means)).tolist()
    ]
    return ['<g style="opacity:.22">', *cells_px, "</g>"]


def _shade(view: RegionView, value_gco2e_per_kwh: float) -> str:
    low, high = view.intensity_extent
    return f"fill:{shade(min(max((value_gco2e_per_kwh - low) / (high - low), 0.0), 1.0) if high > low else 0.5)}"


# -- the jobs --------------------------------------------------------------------------------------------------------


def _bar(bar: Bar, pieces: Sequence[tuple[Segment, int, int]], panel: Panel, place: Place, lane_px: float) -> str:
    """All pieces of a job as one link; each is (segment, first lane, lanes)."""
    parts, label = [], ""
    for one, first, count in pieces:
        x_px, y_px = place(one.start_at_s), panel.top_px + first * lane_px
        width_px, height_px = max(place(one.end_at_s) - x_px, _LEAST_BAR_PX), count * lane_px
        parts.append(rectangle(x_px, y_px, width_px, height_px, _UNEDGED if width_px < _EDGED_PX else ""))
        if not label and width_px >= _LABEL_WIDTH_PX and height_px >= _LABEL_HEIGHT_PX:
            fits = int((width_px - 6) / _LETTER_PX)
            name = bar.job.id if len(bar.job.id) <= fits else f"{bar.job.id[: fits - 1]}\N{HORIZONTAL ELLIPSIS}"
            label = text(x_px + 4, y_px + height_px / 2 + 4, name, "name")
    middle_px = panel.top_px + (pieces[0][1] + pieces[0][2] / 2) * lane_px if pieces else panel.top_px
    from_px, to_px = place(bar.job.earliest_start_at_s), min(place(bar.job.deadline_at_s), panel.right_px)
    span = line(max(from_px, panel.left_px), middle_px, to_px, middle_px, "time")
    kind = "job" if bar.is_moved else "job still"
    title = f"<title>{escape(bar.hint)}</title>"
    return f'<a href="#{escape(bar.row)}" class="{kind}">{title}{"".join(parts)}{label}{span}</a>'


def lanes_of(
    region: Region, jobs: Sequence[Job], segments: Assignment
) -> Mapping[str, Sequence[tuple[Segment, int, int]]]:
    """Which GPUs each piece is drawn on: (segment, first GPU, GPUs), several where those that are free lie apart.

    The lowest that are free when it begins; a plan within capacity never needs more than the region has.
    """
    pieces = [(one, job) for job in jobs for one in segments[job.id] if one.region == region.name]
    free_from_s = np.empty(0)
    found: dict[str, list[tuple[Segment, int, int]]] = {}
    for one, job in sorted(pieces, key=lambda piece: (piece[0].start_at_s, -piece[0].end_at_s)):
        gpus = gpus_of(job, one)
        taken = np.flatnonzero(free_from_s <= one.start_at_s + 1e-3)[:gpus]
        more = gpus - len(taken)
        taken = np.concatenate((taken, len(free_from_s) + np.arange(more)))
        free_from_s = np.concatenate((free_from_s, np.empty(more)))
        free_from_s[taken] = one.end_at_s
        for run in np.split(taken, np.flatnonzero(np.diff(taken) > 1) + 1) if len(taken) else ():
            found.setdefault(job.id, []).append((one, int(run[0]), len(run)))
    return found


# -- the load --------------------------------------------------------------------------------------------------------


def _load(view: RegionView, panel: Panel, place: Place) -> list[str]:
    level = linear((0.0, float(view.region.gpus)), panel.bottom_px, panel.top_px)
    ticks = [(0.0, "0"), (float(view.region.gpus), str(view.region.gpus))]
    body = horizontal_grid(panel, level, ticks, "GPUs held, and by running at once (line)")
    jobs = _held_by_jobs(view.region, view.gpus, view.segments)
    every = [*jobs, *((one, one.gpus) for one in view.pools)]
    for (edges, held), colour in ((_steps(every), "--pool"), (_steps(jobs), "--policy")):
        if len(held) and (colour == "--policy" or view.pools):
            xs_px, upper_px = np.array([place(one) for one in edges]), np.array([level(one) for one in held])
            body.append(steps_area(xs_px, np.full(len(held), panel.bottom_px), upper_px, colour))
    edges, held = load_of(view.region, view.gpus, view.at_once)
    if len(held):
        xs_px = np.repeat([place(one) for one in edges], 2)[1:-1]
        body.append(polyline(xs_px, np.repeat([level(one) for one in held], 2), "load", "--ink"))
    return body


def load_of(region: Region, gpus: Mapping[str, int], segments: Assignment) -> tuple[Floats, Floats]:
    """GPUs held as a step function: edges (n + 1,) and values (n,)."""
    return _steps(_held_by_jobs(region, gpus, segments))


def _held_by_jobs(region: Region, gpus: Mapping[str, int], segments: Assignment) -> list[tuple[Segment, int]]:
    return [
        (one, gpus[name] if one.gpus is None else one.gpus)
        for name, ones in segments.items()
        for one in ones
        if one.region == region.name
    ]


def _steps(pieces: Sequence[tuple[Segment, int]]) -> tuple[Floats, Floats]:
    if not pieces:
        return np.empty(0), np.empty(0)
    starts, ends = ([getattr(one, side) for one, _ in pieces] for side in ("start_at_s", "end_at_s"))
    counts = np.array([count for _, count in pieces], dtype=np.float64)
    edges, where = np.unique(np.concatenate((starts, ends)), return_inverse=True)
    change = np.zeros(len(edges))
    np.add.at(change, where, np.concatenate((counts, -counts)))
    return edges, np.cumsum(change)[:-1]

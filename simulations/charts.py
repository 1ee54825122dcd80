"""The pictures of a report: what each shows and how it is read. Numbers come from results and timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scheduler.quantities import format_duration, format_instant
from simulations.results import Results
from simulations.runs import Side
from simulations.side_items import finished_at_s
from simulations.side_times import latencies_by_class_s, waits_s
from simulations.summary import mass, percent
from simulations.svg import (
    LEFT_PX,
    RIGHT_PX,
    WIDTH_PX,
    Extent,
    Panel,
    Place,
    document,
    duration_ticks,
    horizontal_grid,
    line,
    linear,
    logarithmic,
    nice_ticks,
    polyline,
    rectangle,
    steps_area,
    text,
    time_ticks,
    vertical_grid,
)
from simulations.timeline import Timeline
from simulations.workloads import Floats

COLOURS = tuple(f"--series-{index}" for index in range(8))
BASELINE_COLOUR, POLICY_COLOUR = "--baseline", "--policy"
SIDES = [("run at once", f"var({BASELINE_COLOUR})"), ("policy", f"var({POLICY_COLOUR})")]

# From clean to dirty; chosen to be told apart by lightness alone, so also in grey and by colour-blind readers.
CLEAN_TO_DIRTY = ((0.0, (64, 170, 136)), (0.5, (228, 190, 90)), (1.0, (120, 66, 44)))

# Intensities that differ by less are drawn as one: means over the steps of one constant hour differ by rounding.
ONE_INTENSITY_GCO2E_PER_KWH = 0.5

# Single jobs are drawn up to this many; of more, those that use most energy.
MAX_JOB_ROWS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture with its heading, what to see in it, and its legend (words and CSS colours)."""

    title: str
    caption: str
    picture: str
    legend: Sequence[tuple[str, str]] = ()


def figures(results: Results, timeline: Timeline) -> list[Figure]:
    """All pictures that the scenario has data for, most telling first."""
    low, high = _intensity_extent(timeline)
    exposure = [exposure_figure(timeline)] if high - low >= ONE_INTENSITY_GCO2E_PER_KWH else []
    found = [power_figure(timeline), *exposure, class_figure(results)]
    if results.runs.inputs.jobs:
        found += [job_figure(results, timeline), waiting_figure(results)]
    found += latency_figures(results)
    return found


# -- when the work ran -----------------------------------------------------------------------------------------------


# Side by side with the unit: at the other end a narrow screen, which shows the left of a picture first, hides it.
_UNIT_PX = 28.0


def power_figure(timeline: Timeline) -> Figure:
    names = _stack_order(timeline)
    zones = list(timeline.intensity_gco2e_per_kwh)
    zone_px, stack_px, gap_px, top_px = (84.0 if len(zones) == 1 else 56.0), 150.0, 34.0, 30.0
    place = linear((timeline.edges_at_s[0], timeline.edges_at_s[-1]), LEFT_PX, WIDTH_PX - 16)
    ticks = time_ticks(float(timeline.edges_at_s[0]), float(timeline.edges_at_s[-1]))
    body: list[str] = []
    extent = _intensity_extent(timeline)
    for zone in zones:
        panel = Panel(top_px=top_px, height_px=zone_px)
        body += _intensity_columns(timeline, zone, panel, place, extent)
        top_px = panel.bottom_px + gap_px
    highest_kw = max(_total(side).max() for side in (timeline.baseline_by_class_kw, timeline.policy_by_class_kw))
    for heading, side in (("run at once", timeline.baseline_by_class_kw), ("policy", timeline.policy_by_class_kw)):
        panel = Panel(top_px=top_px, height_px=stack_px)
        body += vertical_grid(panel, place, ticks, labelled=heading == "policy")
        body += _stack(timeline, side, names, panel, place, (0.0, float(highest_kw)))
        body.append(text(panel.left_px + _UNIT_PX, panel.top_px - 8, heading, "heading"))
        top_px = panel.bottom_px + gap_px
    return Figure(
        title="When the work ran",
        caption=(
            "Above, what the grid emitted; below, the power of everything that ran, at once and under the policy. "
            f"Each step is a mean over {format_duration(timeline.step_s)}; times are UTC."
        ),
        picture=document(
            top_px - gap_px + 24, "Grid intensity and power over time", "Stacked power for both sides", body
        ),
        legend=[(name, f"var({COLOURS[index % len(COLOURS)]})") for index, name in enumerate(names)],
    )


def _stack_order(timeline: Timeline) -> list[str]:
    """Largest energy at the bottom."""
    sides = (timeline.baseline_by_class_kw, timeline.policy_by_class_kw)
    totals = {name: sum(float(side[name].sum()) for side in sides if name in side) for side in sides for name in side}
    return sorted(totals, key=lambda name: -totals[name])


def _total(side_kw: Mapping[str, Floats]) -> Floats:
    return np.asarray(sum(side_kw.values()), dtype=np.float64)


def _intensity_extent(timeline: Timeline) -> Extent:
    """Of all zones together, so that they can be compared; 0 to 1 where nothing is known."""
    values = np.concatenate([*timeline.intensity_gco2e_per_kwh.values()])
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)


def _intensity_columns(timeline: Timeline, zone: str, panel: Panel, place: Place, extent: Extent) -> list[str]:
    values = timeline.intensity_gco2e_per_kwh[zone]
    low, high = extent
    differ = high - low >= ONE_INTENSITY_GCO2E_PER_KWH
    ticks = nice_ticks((0.0, round(high, 6)), 2)
    level = linear((0.0, ticks[-1][0]), panel.bottom_px, panel.top_px)
    body = horizontal_grid(panel, level, ticks, f"{zone}: gCO2e/kWh")
    for index in np.flatnonzero(~np.isnan(values)).tolist():
        x_px, next_px = place(timeline.edges_at_s[index]), place(timeline.edges_at_s[index + 1])
        value = float(values[index])
        hint = f"{format_instant(float(timeline.edges_at_s[index]))}: {value:.0f} gCO2e/kWh"
        colour = f"fill:{shade((value - low) / (high - low) if differ else 0.5)}"
        body.append(rectangle(x_px, level(value), next_px - x_px + 0.3, panel.bottom_px - level(value), colour, hint))
    return body


def shade(dirty_ratio: float) -> str:
    """The colour of an intensity between the cleanest (0) and the dirtiest (1) of the picture."""
    for (low, low_rgb), (high, high_rgb) in pairwise(CLEAN_TO_DIRTY):
        if dirty_ratio <= high:
            part = (dirty_ratio - low) / (high - low)
            rgb = [round(a + (b - a) * part) for a, b in zip(low_rgb, high_rgb, strict=True)]
            return f"rgb({rgb[0]},{rgb[1]},{rgb[2]})"
    return "rgb({},{},{})".format(*CLEAN_TO_DIRTY[-1][1])


def _stack(
    timeline: Timeline,
    side_kw: Mapping[str, Floats],
    names: Sequence[str],
    panel: Panel,
    place: Place,
    extent: Extent,
) -> list[str]:
    ticks = nice_ticks(extent, 3)
    level = linear((0.0, ticks[-1][0]), panel.bottom_px, panel.top_px)
    xs_px = np.array([place(float(edge)) for edge in timeline.edges_at_s])
    body = horizontal_grid(panel, level, ticks, "kW")
    floor_kw = np.zeros(len(xs_px) - 1)
    for index, name in enumerate(names):
        if name not in side_kw:
            continue
        upper_kw = floor_kw + side_kw[name]
        lower_px, upper_px = (np.array([level(float(kw)) for kw in each]) for each in (floor_kw, upper_kw))
        body.append(steps_area(xs_px, lower_px, upper_px, COLOURS[index % len(COLOURS)]))
        floor_kw = upper_kw
    return body


# -- how clean the energy was ----------------------------------------------------------------------------------------


def exposure_figure(timeline: Timeline) -> Figure:
    """Share of energy drawn below each intensity: the further left a curve, the cleaner."""
    curves = [
        _exposure(timeline.intensity_gco2e_per_kwh, side)
        for side in (timeline.baseline_by_zone_kw, timeline.policy_by_zone_kw)
    ]
    known = [values for values, _ in curves if len(values)]
    if not known:
        known = [np.array([0.0, 1.0])]
    low, high = min(float(values[0]) for values in known), max(float(values[-1]) for values in known)
    panel = Panel(top_px=30, height_px=200)
    place, level = linear((low, high), panel.left_px, panel.right_px), linear((0.0, 1.0), panel.bottom_px, panel.top_px)
    ticks = [tick for tick in nice_ticks((0.0, high), 8) if low <= tick[0] <= high]
    body = vertical_grid(panel, place, ticks, labelled=True)
    body += horizontal_grid(panel, level, _SHARES, "share of energy")
    body.append(text(panel.right_px, panel.bottom_px + 34, "gCO2e/kWh met", "unit", "end"))
    for (values, shares), colour in zip(curves, (BASELINE_COLOUR, POLICY_COLOUR), strict=True):
        body.append(_curve(values, shares, place, level, colour))
    return Figure(
        title="How clean the energy was",
        caption="Share of all energy that was drawn at or below an intensity. Further left is cleaner.",
        picture=document(270, "Energy by grid intensity", "Cumulative share of energy, both sides", body),
        legend=SIDES,
    )


_SHARES = [(0.0, "0"), (0.25, "25%"), (0.5, "50%"), (0.75, "75%"), (1.0, "100%")]


def _exposure(intensity_gco2e_per_kwh: Mapping[str, Floats], by_zone_kw: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    values = np.concatenate([intensity_gco2e_per_kwh[zone] for zone in by_zone_kw] or [np.empty(0)])
    drawn = np.concatenate([*by_zone_kw.values()] or [np.empty(0)])
    kept = ~np.isnan(values) & (drawn > 0)
    order = np.argsort(values[kept], kind="stable")
    shares = np.cumsum(drawn[kept][order])
    return values[kept][order], shares / shares[-1] if len(shares) else shares


def _curve(values: Floats, shares_ratio: Floats, place: Place, level: Place, colour: str) -> str:
    xs_px = np.array([place(float(value)) for value in values])
    ys_px = np.array([level(float(share)) for share in shares_ratio])
    return polyline(xs_px, ys_px, "curve", colour)


# -- savings by class ------------------------------------------------------------------------------------------------


def class_figure(results: Results) -> Figure:
    shown = sorted(
        (one for one in results.by_class if one.baseline_gco2e or one.policy_gco2e), key=lambda one: -one.baseline_gco2e
    )
    row_px, values_px, left_px, right_px = 46.0, 210.0, 350.0, WIDTH_PX - RIGHT_PX
    most_g = max((max(one.baseline_gco2e, one.policy_gco2e) for one in shown), default=1.0)
    place = linear((0.0, most_g), left_px, right_px)
    body: list[str] = []
    for index, one in enumerate(shown):
        top_px = 8 + index * row_px
        body.append(text(values_px - 10, top_px + 20, one.name, "label", "end"))
        for offset_px, grams, colour in (
            (3.0, one.baseline_gco2e, BASELINE_COLOUR),
            (18.0, one.policy_gco2e, POLICY_COLOUR),
        ):
            width_px = max(place(grams) - left_px, 1.0)
            body.append(rectangle(left_px, top_px + offset_px, width_px, 13, f"fill:var({colour})", mass(grams)))
        saved = one.baseline_gco2e - one.policy_gco2e
        body.append(text(values_px + 6, top_px + 15, percent(one.savings_ratio), "strong"))
        body.append(text(values_px + 6, top_px + 30, f"{mass(abs(saved))} {'less' if saved >= 0 else 'more'}", "tick"))
    return Figure(
        title="Savings by class of work",
        caption="Emissions of each class at once and under the policy. Plus is saved, minus is dirtier.",
        picture=document(16 + row_px * len(shown), "Emissions by class", "Bars for both sides of each class", body),
        legend=SIDES,
    )


# -- single jobs -----------------------------------------------------------------------------------------------------


def job_figure(results: Results, timeline: Timeline) -> Figure:
    policy, baseline = results.runs.policy, results.runs.baseline
    energy_kwh = results.accounts[1].jobs.energy_kwh
    largest = np.argsort(-energy_kwh, kind="stable")[:MAX_JOB_ROWS]
    shown = [policy.works[place] for place in sorted(largest.tolist())]
    row_px, panel = 11.0, Panel(top_px=12, height_px=11.0 * len(shown))
    place = linear((float(timeline.edges_at_s[0]), float(timeline.edges_at_s[-1])), panel.left_px, panel.right_px)
    ticks = time_ticks(float(timeline.edges_at_s[0]), float(timeline.edges_at_s[-1]))
    body = vertical_grid(panel, place, ticks, labelled=True)
    for row, work in enumerate(shown):
        y_px = panel.top_px + row * row_px
        until_px = min(place(work.job.deadline_at_s), panel.right_px)
        body.append(line(place(work.job.submitted_at_s), y_px + 5, until_px, y_px + 5, "slack"))
        body += _bars(baseline, work.job.id, place, y_px + 2.5, 5.0, BASELINE_COLOUR)
        body += _bars(policy, work.job.id, place, y_px + 1.0, 8.0, POLICY_COLOUR)
    whole = len(policy.works)
    which = "Every job" if whole <= MAX_JOB_ROWS else f"The {len(shown)} jobs of {whole:,} that use most energy"
    return Figure(
        title="What moved",
        caption=f"{which}, one a row: the thin line is the time it had, from submission to deadline.",
        picture=document(panel.bottom_px + 24, "Single jobs over time", "One row for each job", body),
        legend=SIDES,
    )


def _bars(side: Side, job_id: str, place: Place, y_px: float, height_px: float, colour: str) -> list[str]:
    return [
        rectangle(
            place(one.start_at_s),
            y_px,
            max(place(one.end_at_s) - place(one.start_at_s), 1.0),
            height_px,
            f"fill:var({colour});fill-opacity:.85",
            f"{job_id} in {one.region}, {format_instant(one.start_at_s)} to {format_instant(one.end_at_s)}",
        )
        for one in side.stretches
        if one.job_id == job_id
    ]


# -- waiting and latency ---------------------------------------------------------------------------------------------


def waiting_figure(results: Results) -> Figure:
    sides = [waits_s(side) for side in (results.runs.baseline, results.runs.policy)]
    late = sum(int(np.isnan(finished_at_s(side)).sum()) for side in (results.runs.baseline, results.runs.policy))
    caption = "Share of jobs that waited no longer than this, beyond their run time."
    if late:
        caption += " Jobs that no region could hold are not in it."
    return Figure(
        title="How long jobs waited",
        caption=caption,
        picture=_times_picture(sides, 1.0, "Waiting of jobs"),
        legend=SIDES,
    )


def latency_figures(results: Results) -> list[Figure]:
    before, after = (latencies_by_class_s(side) for side in (results.runs.baseline, results.runs.policy))
    return [
        Figure(
            title=f"Latency of {name}",
            caption="Share of requests answered to the last token within this time of their arrival.",
            picture=_times_picture([before[name], after[name]], 0.01, f"Latency, {name.rpartition(', ')[2]}"),
            legend=SIDES,
        )
        for name in before
    ]


def _times_picture(sides_s: Sequence[Floats], least_s: float, title: str) -> str:
    panel = Panel(top_px=30, height_px=160)
    most_s = max((float(times.max()) for times in sides_s if len(times)), default=0.0)
    fastest_s = min((float(times.min()) for times in sides_s if len(times)), default=0.0)
    low_s = max(least_s, fastest_s / 2)
    high_s = max(most_s * 1.3, low_s * 10)
    place = logarithmic((low_s, high_s), panel.left_px, panel.right_px)
    level = linear((0.0, 1.0), panel.bottom_px, panel.top_px)
    body = vertical_grid(panel, place, duration_ticks(low_s, high_s), labelled=True)
    body += horizontal_grid(panel, level, _SHARES)
    for times, colour in zip(sides_s, (BASELINE_COLOUR, POLICY_COLOUR), strict=True):
        body.append(_cumulative(times, place, level, panel, colour))
    return document(panel.bottom_px + 24, title, "Cumulative distribution for both sides", body)


def _cumulative(times_s: Floats, place: Place, level: Place, panel: Panel, colour: str) -> str:
    """At most 400 points, the ends kept; drawn on to the right edge."""
    ordered = np.sort(times_s)
    picks = np.unique(np.linspace(0, len(ordered) - 1, 400).astype(int)) if len(ordered) else np.empty(0, dtype=int)
    xs_px = [place(float(ordered[pick])) for pick in picks]
    ys_px = [level((pick + 1) / len(ordered)) for pick in picks]
    if xs_px:
        xs_px, ys_px = [xs_px[0], *xs_px, panel.right_px], [level(0.0), *ys_px, level(1.0)]
    return polyline(np.array(xs_px), np.array(ys_px), "curve", colour)

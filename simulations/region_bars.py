"""The picture of where work ran: what each region drew at once and under the policy, and what that emitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import IntensitySeries
from scheduler.ledger import emissions_gco2e
from scheduler.planning.plan import power_w_of
from simulations.accounts import J_PER_KWH, span_emissions_gco2e
from simulations.charts import BASELINE_COLOUR, POLICY_COLOUR, SIDES, Figure
from simulations.launcher import parts_of
from simulations.results import Results
from simulations.runs import Side
from simulations.scenario import RegionSettings
from simulations.summary import NOTHING, energy, mass
from simulations.svg import RIGHT_PX, WIDTH_PX, document, linear, rectangle, text

_ROW_PX, _BAR_PX, _TOP_PX = 50.0, 15.0, 8.0
# Numbers stand before the bars, where a narrow screen shows them as well.
_VALUES_PX, _LEFT_PX = 170.0, 370.0
_UNKNOWN = "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionUse:
    """What one side drew in one region, PUE included; grams are NaN where the grid was not known at some of it."""

    facility_kwh: float = 0.0
    emissions_gco2e: float = 0.0

    def plus(self, facility_kwh: float, grams_gco2e: float | None) -> RegionUse:
        grams = np.nan if grams_gco2e is None else grams_gco2e
        return RegionUse(
            facility_kwh=self.facility_kwh + facility_kwh, emissions_gco2e=self.emissions_gco2e + float(grams)
        )


def region_uses(
    side: Side, regions: Sequence[RegionSettings], realised: Mapping[str, IntensitySeries]
) -> Mapping[str, RegionUse]:
    """Of jobs, requests and idling workers, by the name of the region."""
    places, found = {one.name: one for one in regions}, {one.name: RegionUse() for one in regions}
    works = {work.job.id: work for work in side.works}
    for stretch in side.stretches:
        work, place = works[stretch.job_id], places[stretch.region]
        for part in parts_of(work, stretch):
            held_kwh = power_w_of(work.job, part) * part.duration_s / J_PER_KWH
            grams = emissions_gco2e(held_kwh, place.pue, realised.get(place.zone), part.start_at_s, part.end_at_s)
            found[place.name] = found[place.name].plus(held_kwh * place.pue, grams)
    for run in side.pools:
        place = places[run.spec.region]
        for power in run.record.power:
            kwh = float(power.energy_j.sum()) / J_PER_KWH * place.pue
            spans_gco2e = span_emissions_gco2e(power, realised[place.zone], place.pue)
            found[place.name] = found[place.name].plus(kwh, float(spans_gco2e.sum()))
    return found


def region_figure(results: Results) -> Figure:
    """In the order of the scenario."""
    inputs = results.runs.inputs
    regions = inputs.scenario.region
    sides = [region_uses(side, regions, inputs.grid.realised) for side in (results.runs.baseline, results.runs.policy)]
    most_kwh = max(use.facility_kwh for side in sides for use in side.values())
    place = linear((0.0, most_kwh or 1.0), _LEFT_PX, WIDTH_PX - RIGHT_PX)
    body: list[str] = []
    for index, region in enumerate(regions):
        top_px = _TOP_PX + index * _ROW_PX
        body.append(text(_VALUES_PX - 10, top_px + 14, region.name, "label", "end"))
        body.append(text(_VALUES_PX - 10, top_px + 30, region.zone, "tick", "end"))
        for row, (side, colour) in enumerate(zip(sides, (BASELINE_COLOUR, POLICY_COLOUR), strict=True)):
            use, y_px = side[region.name], top_px + row * (_BAR_PX + 3)
            width_px = place(use.facility_kwh) - _LEFT_PX
            body.append(rectangle(_LEFT_PX, y_px, width_px, _BAR_PX, f"fill:var({colour})", _in_words(use)))
            body.append(text(_VALUES_PX + 6, y_px + 12, _in_words(use), "tick"))
    return Figure(
        title="Where the work ran",
        caption="Energy of each region at the facility's meter, and what it emitted.",
        picture=document(_TOP_PX + _ROW_PX * len(regions), "Energy by region", _described(regions, sides), body),
        legend=SIDES,
    )


def _in_words(use: RegionUse) -> str:
    if use.facility_kwh == 0.0:
        return NOTHING
    grams = use.emissions_gco2e
    return f"{energy(use.facility_kwh)}, {_UNKNOWN if np.isnan(grams) else mass(grams)}"


def _described(regions: Sequence[RegionSettings], sides: Sequence[Mapping[str, RegionUse]]) -> str:
    return "; ".join(
        f"{one.name}: {_in_words(sides[0][one.name])} at once, {_in_words(sides[1][one.name])} under the policy"
        for one in regions
    )

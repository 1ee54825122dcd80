"""The rows of Electricity Maps: one step of a trace as each of its signals writes it.

Pure. Knows no query and no envelope. Breakdowns are made up to give the trace's intensity (fuel_mix.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from intensity_feeds.series import Signal
from simulations.feed_server.fuel_mix import ladder, shares_ratio
from simulations.feed_server.grid_view import HOUR_S, GridView, Point, as_reported, number_or_none
from simulations.feed_server.instants import floor_s, millisecond_stamp
from simulations.feed_server.replies import Json

RowOf = Callable[[GridView, str, Point], dict[str, Json]]

# In the recordings the last two hours of a day's history are estimated, the rest is measured.
ESTIMATED_FOR_S = 2 * HOUR_S
MEASURED_AFTER_S = 14 * HOUR_S
UPDATED_BEFORE_NOW_S = 600.0
CREATED_BEFORE_START_S = 48 * HOUR_S
# A trace says nothing of a zone's size; the breakdowns are scaled to this made-up load.
LOAD_MW = 10_000
FUELS = ("nuclear", "geothermal", "biomass", "coal", "wind", "solar", "hydro", "gas", "oil", "unknown")
RENEWABLES = ("geothermal", "biomass", "wind", "solar", "hydro")
SANDBOX_DISCLAIMER = (
    "SANDBOX MODE: this data is randomly generated and must not be used for decisions. Upgrade your token."
)
STAND_IN_DISCLAIMER = "REPLAY: the trace holds marginal values, which stand here in the place of average ones."


def stamps(view: GridView, point: Point) -> dict[str, Json]:
    """When the step began, and when its row was written."""
    estimated = is_estimated(view, point)
    updated_at_s = view.data_now_s - UPDATED_BEFORE_NOW_S
    if not estimated:
        updated_at_s = min(updated_at_s, point.start_at_s + MEASURED_AFTER_S)
    return {
        "datetime": millisecond_stamp(point.start_at_s),
        "updatedAt": millisecond_stamp(updated_at_s),
        "createdAt": millisecond_stamp(point.start_at_s - CREATED_BEFORE_START_S),
    }


def _provenance(view: GridView, point: Point) -> dict[str, Json]:
    if "sandbox" in view.holding:
        return {"isEstimated": True, "estimationMethod": "SANDBOX_MODE_DATA", "_disclaimer": SANDBOX_DISCLAIMER}
    estimated = is_estimated(view, point)
    return {"isEstimated": estimated, "estimationMethod": "FORECASTS_HIERARCHY" if estimated else None}


def is_estimated(view: GridView, point: Point) -> bool:
    return point.start_at_s > floor_s(view.data_now_s, HOUR_S) - ESTIMATED_FOR_S


def _carbon_row(view: GridView, zone: str, point: Point) -> dict[str, Json]:
    series = view.trace[zone]
    row = {"zone": zone, "carbonIntensity": as_reported(point.value, 0)} | stamps(view, point)
    row |= {"emissionFactorType": str(series.basis), "flowTraced": True} | _provenance(view, point)
    return row if series.signal is Signal.AVERAGE else row | {"_disclaimer": STAND_IN_DISCLAIMER}


def _fossil_only_row(view: GridView, zone: str, point: Point) -> dict[str, Json]:
    """The value spread over the fossil part of the mix alone."""
    intensity = number_or_none(point)
    factors = ladder(view.trace[zone].basis)
    row = _carbon_row(view, zone, point)
    if intensity is None:
        return row
    shares = shares_ratio(intensity, factors)
    fossil_ratio = shares["gas"] + shares["coal"]
    weighted = shares["gas"] * factors["gas"] + shares["coal"] * factors["coal"]
    return row | {"carbonIntensity": round(weighted / fossil_ratio) if fossil_ratio else 0}


def _share_row(fuels: tuple[str, ...], view: GridView, zone: str, point: Point) -> dict[str, Json]:
    shares = fuel_shares(view, zone, point)
    value = None if shares is None else round(100 * sum(shares.get(fuel, 0.0) for fuel in fuels))
    return {"zone": zone, "value": value, "unit": "%"} | stamps(view, point) | _provenance(view, point)


def _breakdown_row(view: GridView, zone: str, point: Point) -> dict[str, Json]:
    mix = _mix_mw(view, zone, point) | {"hydro discharge": 0, "battery discharge": None}
    total_mw = sum(power_mw or 0 for power_mw in mix.values())
    clean_mw = sum(mix[fuel] or 0 for fuel in RENEWABLES)
    clean_percent = round(100 * clean_mw / total_mw) if total_mw else None
    return (
        {"zone": zone}
        | stamps(view, point)
        | {"powerConsumptionBreakdown": mix, "powerProductionBreakdown": dict(mix)}
        | {"powerImportBreakdown": {}, "powerExportBreakdown": {}}
        | {"fossilFreePercentage": clean_percent, "renewablePercentage": clean_percent}
        | {"powerConsumptionTotal": total_mw, "powerProductionTotal": total_mw}
        | {"powerImportTotal": 0, "powerExportTotal": 0}
        | _provenance(view, point)
    )


def _mix_row(view: GridView, zone: str, point: Point) -> dict[str, Json]:
    storage = {"charge": 0, "discharge": 0}
    mix = _mix_mw(view, zone, point) | {"hydro storage": storage, "battery storage": dict(storage)}
    written = stamps(view, point)
    written.pop("createdAt")
    return written | _provenance(view, point) | {"breakdownType": "flow-traced", "mix": mix}


def _mix_mw(view: GridView, zone: str, point: Point) -> dict[str, Json]:
    shares = fuel_shares(view, zone, point)
    if shares is None:
        return dict.fromkeys(FUELS)
    return {fuel: round(LOAD_MW * shares.get(fuel, 0.0)) for fuel in FUELS}


def fuel_shares(view: GridView, zone: str, point: Point) -> dict[str, float] | None:
    intensity = number_or_none(point)
    return None if intensity is None else shares_ratio(intensity, ladder(view.trace[zone].basis))


SIGNALS: Mapping[str, RowOf] = {
    "carbon-intensity": _carbon_row,
    "carbon-intensity-fossil-only": _fossil_only_row,
    "renewable-energy": partial(_share_row, RENEWABLES),
    "carbon-free-energy": partial(_share_row, (*RENEWABLES, "nuclear")),
    "power-breakdown": _breakdown_row,
    "electricity-mix": _mix_row,
}
# The keys that a forecast point keeps of a row; everything else is absent there.
FORECAST_KEYS: Mapping[str, tuple[str, ...]] = {
    "carbon-intensity": ("carbonIntensity", "datetime"),
    "carbon-intensity-fossil-only": ("carbonIntensity", "datetime"),
    "renewable-energy": ("value", "datetime"),
    "carbon-free-energy": ("value", "datetime"),
    "power-breakdown": ("datetime", "powerConsumptionBreakdown", "powerProductionBreakdown", "powerConsumptionTotal"),
    "electricity-mix": ("datetime", "mix"),
}
DAY_AHEAD_ONLY = ("power-breakdown", "electricity-mix")

"""The carbon-aware optimizer of Electricity Maps (beta), over a replayed trace.

Pure: a GridView and the request's body in, a Reply out. Looks at whole hours only, as the service does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from intensity_feeds.series import IntensitySeries
from simulations.feed_server.electricity_maps import series_of
from simulations.feed_server.grid_view import HOUR_S, GridView
from simulations.feed_server.instants import UnreadableInstantError, floor_s, instant_s, millisecond_stamp
from simulations.feed_server.replies import Json, Reply, refusal

METRIC = "flow-traced_carbon_intensity"
DURATION = re.compile(r"^P(?:(\d+)D)?(?:T(\d+)H)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A location as asked, its zone, and its forecast."""

    location: Json
    zone: str
    series: IntensitySeries


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    duration_s: float
    earliest_s: float
    latest_s: float


def optimize(view: GridView, body: Json) -> Reply:
    """The start on a whole hour, and the location, of the least mean intensity."""
    if not isinstance(body, dict):
        raise refusal(400, {"error": "Missing or invalid JSON body"})
    if body.get("optimizationMetric") != METRIC:
        raise refusal(400, {"error": 'Invalid parameter "optimizationMetric"'})
    window, places = _window(body), _places(view, body)
    options = [
        (mean, at_s, index)
        for index, place in enumerate(places)
        for at_s in _starts_s(window, place.series)
        if (mean := _mean(place.series, at_s, window.duration_s)) is not None
    ]
    if not options:
        raise refusal(404, {"error": "No forecast for this window"})
    best, at_s, index = min(options)
    return Reply(payload=_answer(view, window, places, index, at_s, best))


def _answer(
    view: GridView, window: _Window, places: Sequence[_Place], index: int, at_s: float, mean_gco2e_per_kwh: float
) -> dict[str, Json]:
    """The official operator accepts exactly these six keys of the output."""
    first, chosen = places[0], places[index]
    output = {
        "metricValueImmediateExecution": _rounded(_mean(first.series, view.now_s, window.duration_s)),
        "metricValueOptimalExecution": _rounded(mean_gco2e_per_kwh),
        "metricValueStartWindowExecution": _rounded(_mean(first.series, window.earliest_s, window.duration_s)),
        "metricUnit": "gCO2eq/kWh",
        "optimizationMetric": METRIC,
        "zoneKey": chosen.zone,
    }
    start = millisecond_stamp(at_s)
    return {"optimalStartTime": start, "optimalLocation": chosen.location, "optimizationOutput": output}


def _starts_s(window: _Window, series: IntensitySeries) -> list[float]:
    """Whole hours of the window that the series knows; the running hour where the window has none."""
    earliest_s = max(window.earliest_s, series.start_at_s)
    latest_s = min(window.latest_s, series.end_at_s) - window.duration_s
    hours = range(math.ceil(earliest_s / HOUR_S), math.floor(latest_s / HOUR_S) + 1)
    return [hour * HOUR_S for hour in hours] or [floor_s(window.earliest_s, HOUR_S)]


def _mean(series: IntensitySeries, at_s: float, duration_s: float) -> float | None:
    if not series.covers(at_s, at_s + duration_s):
        return None
    return series.mean_gco2e_per_kwh(at_s, at_s + duration_s)


def _rounded(mean_gco2e_per_kwh: float | None) -> float | None:
    return None if mean_gco2e_per_kwh is None else round(mean_gco2e_per_kwh, 2)


def _window(body: dict[str, Json]) -> _Window:
    duration_s = _duration_s(str(body.get("duration", "")))
    bounds_s = []
    for name in ("startWindow", "endWindow"):
        try:
            bounds_s.append(instant_s(str(body.get(name, ""))))
        except UnreadableInstantError:
            raise refusal(400, {"error": f'Missing or invalid date parameter "{name}"'}) from None
    return _Window(duration_s=duration_s, earliest_s=bounds_s[0], latest_s=bounds_s[1])


def _duration_s(text: str) -> float:
    parts = DURATION.match(text)
    duration_h = 0 if parts is None else 24 * int(parts[1] or 0) + int(parts[2] or 0)
    if duration_h < 1:
        raise refusal(400, {"error": 'Invalid parameter "duration": whole hours, at least PT1H'})
    return duration_h * HOUR_S


def _places(view: GridView, body: dict[str, Json]) -> list[_Place]:
    locations = body.get("locations")
    if not isinstance(locations, list) or not locations:
        raise refusal(400, {"error": 'Missing or invalid parameter "locations"'})
    return [_place(view, location) for location in locations]


def _place(view: GridView, location: Json) -> _Place:
    """Longitude stands first."""
    if not isinstance(location, list) or len(location) != 2:
        raise refusal(400, {"error": "This replay knows locations as [longitude, latitude] only"})
    zone, series = series_of(view, {"lon": str(location[0]), "lat": str(location[1])})
    return _Place(location=location, zone=zone, series=series)

"""Electricity Maps v3 and v4, as far as a replayed trace can answer.

Pure: a GridView and the query in, a Reply out. Every handler serves both versions; only the catalogue of zones differs.
Refuses what the trace does not hold: another emission factor basis, another granularity than those listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from intensity_feeds.series import IntensitySeries
from intensity_feeds.static import CloudRegion, cloud_regions
from simulations.feed_server.electricity_maps_rows import (
    DAY_AHEAD_ONLY,
    FORECAST_KEYS,
    SANDBOX_DISCLAIMER,
    SIGNALS,
    fuel_shares,
    is_estimated,
    stamps,
)
from simulations.feed_server.grid_view import HOUR_S, GridView, Point, as_reported, number_or_none
from simulations.feed_server.instants import UnreadableInstantError, floor_s, instant_s, millisecond_stamp
from simulations.feed_server.places import PLACES, degrees, nearest_zone
from simulations.feed_server.replies import Json, Reply, refusal

Query = Mapping[str, str]

DAY_S = 24 * HOUR_S
STEPS_S = {"5_minutes": 300.0, "15_minutes": 900.0, "hourly": HOUR_S, "daily": DAY_S}
HISTORY_ROWS = {"5_minutes": 288, "15_minutes": 96, "hourly": 24, "daily": 400}
HORIZONS_H = ("6", "24", "48", "72")
LONGEST_RANGE_S = 10 * DAY_S
LONGEST_DAILY_RANGE_S = 100 * DAY_S
LEVEL_DAYS = 10
LOW_LEVEL_RATIO, HIGH_LEVEL_RATIO = 0.85, 1.15


# -- temporalities ----------------------------------------------------------------------------------------------------


def latest(signal: str, view: GridView, query: Query) -> Reply:
    zone, step_s = _zone(view, query), _step_s(query)
    start_at_s = floor_s(view.data_now_s, step_s)
    return _single(signal, view, query, zone, start_at_s, step_s)


def past(signal: str, view: GridView, query: Query) -> Reply:
    zone, step_s = _zone(view, query), _step_s(query)
    return _single(signal, view, query, zone, floor_s(_instant_s(query, "datetime"), step_s), step_s)


def history(signal: str, view: GridView, query: Query) -> Reply:
    zone, step_s = _zone(view, query), _step_s(query)
    end_at_s = floor_s(view.data_now_s, step_s) + step_s
    start_at_s = end_at_s - HISTORY_ROWS[_granularity(query)] * step_s
    return _several(signal, "history", view, query, _points(view, query, zone, start_at_s, end_at_s))


def past_range(signal: str, view: GridView, query: Query) -> Reply:
    zone = _zone(view, query)
    start_at_s, end_at_s = _instant_s(query, "start"), _instant_s(query, "end")
    longest_s = LONGEST_DAILY_RANGE_S if _granularity(query) == "daily" else LONGEST_RANGE_S
    if end_at_s - start_at_s > longest_s:
        raise refusal(400, {"error": f"Time range too long: at most {longest_s / DAY_S:.0f} days"})
    return _several(signal, "data", view, query, _points(view, query, zone, start_at_s, end_at_s))


def forecast(signal: str, view: GridView, query: Query) -> Reply:
    zone, step_s = _zone(view, query), _step_s(query)
    horizon_h = query.get("horizonHours", "24")
    if horizon_h not in (("24",) if signal in DAY_AHEAD_ONLY else HORIZONS_H):
        raise refusal(400, {"error": f'Invalid parameter "horizonHours": {horizon_h}'})
    count = round(int(horizon_h) * HOUR_S / step_s) + 1
    points = view.ahead(view.trace[zone], view.now_s, count, step_s)
    rows = [SIGNALS[signal](view, zone, point) for point in points]
    kept = [{key: row[key] for key in FORECAST_KEYS[signal]} for row in rows]
    envelope = {"zone": zone, "forecast": kept, "updatedAt": millisecond_stamp(view.now_s)}
    envelope["temporalGranularity"] = _granularity(query)
    return Reply(payload=envelope | _marker(view))


TEMPORALITIES: Mapping[str, Callable[[str, GridView, Query], Reply]] = {
    "latest": latest,
    "history": history,
    "past": past,
    "past-range": past_range,
    "forecast": forecast,
}


def _single(signal: str, view: GridView, query: Query, zone: str, start_at_s: float, step_s: float) -> Reply:
    points = _points(view, query, zone, start_at_s, start_at_s + step_s)
    if not points:
        raise refusal(404, {"error": f'No recent data for zone "{zone}"'})
    if signal == "electricity-mix":
        return _several(signal, "data", view, query, points)
    return Reply(payload=SIGNALS[signal](view, zone, points[0]) | {"temporalGranularity": _granularity(query)})


def _several(signal: str, key: str, view: GridView, query: Query, points: list[Point]) -> Reply:
    zone = _zone(view, query)
    rows = [SIGNALS[signal](view, zone, point) for point in points]
    envelope: dict[str, Json] = {"zone": zone, key: rows, "temporalGranularity": _granularity(query)}
    if signal == "electricity-mix":
        envelope = {"zone": zone, "temporalGranularity": _granularity(query), "unit": "MW", "data": rows}
    return Reply(payload=envelope | _marker(view))


def _points(view: GridView, query: Query, zone: str, start_at_s: float, end_at_s: float) -> list[Point]:
    points = view.known(view.trace[zone], start_at_s, end_at_s, _step_s(query))
    if query.get("disableEstimations", "").lower() in ("true", "1"):
        return [point for point in points if not is_estimated(view, point)]
    return points


def _marker(view: GridView) -> dict[str, Json]:
    return {"_disclaimer": SANDBOX_DISCLAIMER} if "sandbox" in view.holding else {}


# -- other endpoints --------------------------------------------------------------------------------------------------


def home_assistant(view: GridView, query: Query) -> Reply:
    zone = _zone(view, query)
    start_at_s = floor_s(view.data_now_s, HOUR_S)
    points = view.known(view.trace[zone], start_at_s, start_at_s + HOUR_S, HOUR_S)
    data: dict[str, Json] = {}
    if points:
        shares = fuel_shares(view, zone, points[0])
        fossil = None if shares is None else round(100 * (shares["gas"] + shares["coal"]), 2)
        data = {"datetime": millisecond_stamp(start_at_s), "carbonIntensity": as_reported(points[0].value, 0)}
        data |= {"fossilFuelPercentage": fossil}
    status = "ok" if points else "no-data"
    envelope: dict[str, Json] = {
        "_disclaimer": "This data is the exclusive property of the service; this is a replay.",
        "status": status,
    }
    envelope |= {"countryCode": zone, "data": data, "units": {"carbonIntensity": "gCO2eq/kWh"}}
    return Reply(payload=envelope | _marker(view))


def level(view: GridView, query: Query) -> Reply:
    """Low, moderate or high against the mean of the last ten days."""
    zone = _zone(view, query)
    hour_s = floor_s(view.data_now_s, HOUR_S)
    points = view.known(view.trace[zone], hour_s - LEVEL_DAYS * DAY_S, hour_s + HOUR_S, HOUR_S)
    numbers = [number for point in points if (number := number_or_none(point)) is not None]
    if not numbers or points[-1].start_at_s != hour_s:
        raise refusal(404, {"error": f'No recent data for zone "{zone}"'})
    ratio = numbers[-1] * len(numbers) / (sum(numbers) or 1.0)
    word = "low" if ratio < LOW_LEVEL_RATIO else "high" if ratio > HIGH_LEVEL_RATIO else "moderate"
    return Reply(payload={"zone": zone, "data": [{"level": word, "datetime": millisecond_stamp(hour_s)}]})


def zones(view: GridView, query: Query) -> Reply:
    """Every zone of the trace; with a token (`with_token` is set by the shell) what it may read, too."""
    access = ["carbon-intensity/latest", "carbon-intensity/history"] if "out_of_scope" in view.holding else ["*"]
    entries = {zone: _names(zone) for zone in sorted(view.trace)}
    if query.get("with_token"):
        entries = {zone: names | {"access": access} for zone, names in entries.items()}
    return Reply(payload=entries)


def zones_v4(view: GridView, query: Query) -> Reply:
    entries = zones(view, query).payload
    return Reply(payload={zone: names | _catalogue(zone, entries) for zone, names in entries.items()})


def zone_at(view: GridView, query: Query) -> Reply:
    zone = _zone(view, query)
    return Reply(payload={"zone": zone, "zoneKey": zone} | _names(zone))


def data_centers(view: GridView, query: Query) -> Reply:
    """The cloud regions in zones of the trace, a page at a time."""
    wanted = {"zoneKey": query.get("zone"), "provider": query.get("dataCenterProvider")}
    entries = [_data_center(region) for region in _regions_at_hand(view)]
    found = [entry for entry in entries if all(value in (None, entry[key]) for key, value in wanted.items())]
    page, limit = _whole(query, "page", 1), _whole(query, "limit", 100)
    return Reply(payload=found[(page - 1) * limit : page * limit])


def updated_since(view: GridView, query: Query) -> Reply:
    """Which hours were updated after `since`: those measured or estimated since."""
    zone, since_s = _zone(view, query), _instant_s(query, "since")
    start_at_s = _instant_s(query, "start") if "start" in query else view.data_now_s - DAY_S
    end_at_s = _instant_s(query, "end") if "end" in query else view.data_now_s
    limit = min(_whole(query, "limit", 100), 1000)
    points = view.known(view.trace[zone], start_at_s, end_at_s, HOUR_S)
    rows = [stamps(view, point) for point in points]
    fresh = [one for one in rows if instant_s(one["updatedAt"]) >= since_s]
    updates = [{"updated_at": one["updatedAt"], "datetime": one["datetime"]} for one in fresh[:limit]]
    envelope = {"zone": zone, "updates": updates, "threshold": query.get("threshold", "P1D"), "limit": limit}
    return Reply(payload=envelope | {"limitReached": len(fresh) > limit})


def _data_center(region: CloudRegion) -> dict[str, Json]:
    zone = region.electricity_maps_zone
    place = PLACES.get(zone)
    return {
        "provider": region.provider,
        "lonlat": None if place is None else [place.longitude_deg, place.latitude_deg],
        "displayName": region.city or region.name,
        "region": region.name,
        "zoneKey": zone,
        "status": "operational",
        "source": None,
        "operationalSince": None,
    }


def _names(zone: str) -> dict[str, Json]:
    place = PLACES.get(zone)
    if place is None:
        return {"zoneName": zone}
    return {"zoneName": place.name} | ({"countryName": place.country} if place.country else {})


def _catalogue(zone: str, entries: Mapping[str, Json]) -> dict[str, Json]:
    country = zone.split("-")[0]
    parent = country if country in entries and country != zone else None
    children = [other for other in entries if other.startswith(f"{zone}-")]
    family: dict[str, Json] = {
        "zoneKey": zone,
        "countryCode": country,
        "zoneParentKey": parent,
        "subZoneKeys": children,
    }
    return family | {"isCommerciallyAvailable": True, "tier": "TIER_A"}


# -- the query --------------------------------------------------------------------------------------------------------


def _zone(view: GridView, query: Query) -> str:
    """The zone that the service believes to be asked for. Raises RefusedError where there is none."""
    asked = query.get("zone") or query.get("countryCode")
    zone = asked if asked in view.trace else None
    if not asked and "lat" in query and "lon" in query:
        zone = nearest_zone(view.trace, _degrees(query, "lat"), _degrees(query, "lon"))
    if not asked and "dataCenterRegion" in query:
        zone = _data_center_zone(view, query)
    if zone is None:
        zone = _caller_zone(view, query, asked)
    basis = query.get("emissionFactorType")
    if basis is not None and basis != view.trace[zone].basis:
        raise refusal(
            400, {"error": f'Invalid parameter "emissionFactorType": this replay holds {view.trace[zone].basis}'}
        )
    return view.other_zone(zone, view.trace)


def _caller_zone(view: GridView, query: Query, asked: str | None) -> str:
    lookup = query.get("shouldUseFallbackCallerLookup", "true").lower() != "false"
    lookup = lookup and query.get("disableCallerLookup", "false").lower() != "true"
    if "caller_lookup" in view.holding and lookup:
        return min(view.trace)
    if asked is None and not {"lat", "dataCenterRegion"} & query.keys():
        raise refusal(400, {"error": 'Missing arguments "zone"'})
    raise refusal(404, {"error": f'No recent data for zone "{asked or "of this place"}"'})


def _data_center_zone(view: GridView, query: Query) -> str | None:
    """The zone of a provider's region, in its own spelling or with dashes."""
    provider, asked = query.get("dataCenterProvider", ""), query["dataCenterRegion"].replace("-", "")
    for region in _regions_at_hand(view):
        if region.provider == provider and region.name.replace("-", "") == asked:
            return region.electricity_maps_zone
    return None


def _regions_at_hand(view: GridView) -> list[CloudRegion]:
    return [region for region in cloud_regions() if region.electricity_maps_zone in view.trace]


def _granularity(query: Query) -> str:
    granularity = query.get("temporalGranularity", "hourly")
    if granularity not in STEPS_S:
        raise refusal(400, {"error": f'Invalid parameter "temporalGranularity": {granularity}'})
    return granularity


def _step_s(query: Query) -> float:
    return STEPS_S[_granularity(query)]


def _instant_s(query: Query, name: str) -> float:
    try:
        return instant_s(query.get(name, ""))
    except UnreadableInstantError:
        raise refusal(400, {"error": f'Missing or invalid date parameter "{name}"'}) from None


def _degrees(query: Query, name: str) -> float:
    try:
        return degrees(query[name])
    except ValueError:
        raise refusal(400, {"error": f'Invalid parameter "{name}"'}) from None


def _whole(query: Query, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise refusal(400, {"error": f'Invalid parameter "{name}"'})
    return int(text)


def scope_refusal(zone: str, signal: str, temporality: str) -> Reply:
    """An authorisation failure, which this service answers with 401 as well."""
    error = f"Request unauthorized for zoneKey={zone},requestType={temporality},dataType={signal}."
    message = "You do not have access to this specific endpoint for this specific zone."
    return Reply(status=401, payload={"error": error, "message": message})


def series_of(view: GridView, query: Query) -> tuple[str, IntensitySeries]:
    """The zone asked for and its series, for the optimizer."""
    zone = _zone(view, query)
    return zone, view.trace[zone]

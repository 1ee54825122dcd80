"""WattTime v3, as far as a replayed trace can answer.

Pure: a GridView and the query in, a Reply out. Values leave in lbs/MWh with one decimal. Marginal series answer for
`co2_moer`, average ones for `co2_aoer`; a zone without a marginal series lends its average one, and says so in
`meta.warnings`.
"""

from __future__ import annotations

from collections.abc import Mapping

from intensity_feeds.series import IntensitySeries, Signal
from simulations.feed_server.grid_view import HOUR_S, GridView, Point, as_reported, by_signal, number_or_none
from simulations.feed_server.instants import UnreadableInstantError, day_stamp, floor_s, instant_s, offset_stamp
from simulations.feed_server.places import PLACES, degrees, nearest_zone
from simulations.feed_server.replies import Json, Reply, refusal

Query = Mapping[str, str]

DOCS = "https://docs.watttime.org/"
G_PER_KWH_PER_LB_PER_MWH = 0.45359237
LB_PER_MWH_PER_G_PER_KWH = 1.0 / G_PER_KWH_PER_LB_PER_MWH
STEP_S = 300.0
DAY_S = 24 * HOUR_S
LONGEST_HISTORY_S = 32 * DAY_S
LONGEST_ISSUES_S = DAY_S
LONGEST_HORIZON_H = 72
TOKEN_LIFE_S = 30 * 60.0
# A value appears when its five minutes are over, and may be rewritten for a day.
REVISED_AFTER_S = DAY_S
MODEL_DATE = "2023-03-01"
UNITS = "lbs_co2_per_mwh"
SIGNALS = ("co2_moer", "co2_aoer")
STAND_IN_WARNING = {
    "type": "REPLAY_STAND_IN",
    "message": "the replayed trace holds no marginal values for this region; average ones stand in their place",
}
# Half the side of the square that stands for a region on the map, in degrees.
SQUARE_HALF_DEG = 1.0


def my_access(view: GridView, query: Query) -> Reply:
    wanted = [signal for signal in SIGNALS if query.get("signal_type", signal) == signal]
    listed = [{"signal_type": signal, "regions": _accessible(view, query, signal)} for signal in wanted]
    return Reply(payload={"signal_types": [one for one in listed if one["regions"]]})


def region_from_loc(view: GridView, query: Query) -> Reply:
    signal = query.get("signal_type", "")
    if signal not in SIGNALS:
        raise refusal(422, _unprocessable("signal_type", "unknown signal type"))
    latitude, longitude = _degrees(query, "latitude"), _degrees(query, "longitude")
    regions = _regions(view, signal)
    zone = nearest_zone(set(regions.values()), latitude, longitude)
    region = next((name for name, behind in regions.items() if behind == zone), None)
    if region is None:
        error = "No coverage available for these coordinates and signal_type"
        place = {"latitude": query["latitude"], "longitude": query["longitude"], "signal_type": signal}
        raise refusal(404, {"error": error} | place)
    return Reply(payload={"region": region, "region_full_name": _full_name(view, region), "signal_type": signal})


def signal_index(view: GridView, query: Query) -> Reply:
    """Percentile of now against the next 24 hours, 0 the cleanest."""
    region, signal, series = _asked(view, query, "co2_moer")
    points = view.ahead(series, view.now_s, int(DAY_S / STEP_S), STEP_S)
    numbers = [number for point in points if (number := number_or_none(point)) is not None]
    data = []
    if numbers:
        percentile = 100.0 * sum(number < numbers[0] for number in numbers) / len(numbers)
        data = [{"point_time": offset_stamp(floor_s(view.now_s, STEP_S)), "value": round(percentile, 1)}]
    return Reply(payload={"data": data, "meta": _meta(view, region, signal) | {"units": "percentile"}})


def forecast(view: GridView, query: Query) -> Reply:
    region, signal, series = _asked(view, query)
    _refuse_forecast_of_average(signal)
    generated_at_s = floor_s(view.now_s, STEP_S)
    points = view.ahead(series, generated_at_s, _count(query), STEP_S)
    meta = _meta(view, region, signal) | {"generated_at_period_seconds": int(STEP_S)}
    meta["generated_at"] = offset_stamp(generated_at_s)
    return Reply(payload={"data": _values(points), "meta": meta})


def past_forecasts(view: GridView, query: Query) -> Reply:
    region, signal, series = _asked(view, query)
    _refuse_forecast_of_average(signal)
    start_at_s, end_at_s = _range_s(query, LONGEST_ISSUES_S, "24 hours")
    count = _count(query)
    issues = range(_ceiling(start_at_s), int(min(end_at_s, view.data_now_s) // STEP_S) + 1)
    data = [
        {
            "generated_at": offset_stamp(issue * STEP_S),
            "forecast": _values(view.ahead(series, issue * STEP_S, count, STEP_S)),
        }
        for issue in issues
        if series.start_at_s <= issue * STEP_S < series.end_at_s
    ]
    meta = _meta(view, region, signal) | {"generated_at_period_seconds": int(STEP_S)}
    return Reply(payload={"data": data, "meta": meta})


def historical(view: GridView, query: Query) -> Reply:
    region, signal, series = _asked(view, query)
    start_at_s, end_at_s = _range_s(query, LONGEST_HISTORY_S, "32 days")
    published_s = min(end_at_s + 1, floor_s(view.data_now_s, STEP_S))
    points = view.known(series, start_at_s, published_s, STEP_S)
    rows = [_historical_row(view, query, point) for point in points]
    since = query.get("updated_since")
    if since:
        since_s = _instant_s(query, "updated_since")
        rows = [row for row in rows if instant_s(row["last_updated"]) >= since_s]
    meta = _meta(view, region, signal)
    meta["model"] = {"type": "binned_regression", "date": MODEL_DATE}
    return Reply(payload={"data": rows, "meta": meta})


def maps(view: GridView, query: Query) -> Reply:
    """Each region as a square around its main city: enough to draw, not to look up."""
    signal = query.get("signal_type", "")
    if signal not in SIGNALS:
        raise refusal(422, _unprocessable("signal_type", "unknown signal type"))
    regions = _regions(view, signal)
    features = [_feature(view, region, zone) for region, zone in regions.items() if zone in PLACES]
    meta = {"last_updated": offset_stamp(view.now_s - DAY_S), "signal_type": signal}
    return Reply(payload={"type": "FeatureCollection", "features": features, "meta": meta})


def register(body: Json) -> Reply:
    """Accepts any complete user; keeps none."""
    user = body if isinstance(body, dict) else {}
    for name in ("username", "password", "email"):
        if not user.get(name):
            raise refusal(422, _unprocessable(name, "field required", where="body"))
    password = str(user["password"])
    kinds = (str.isalpha, str.isdigit, lambda one: not one.isalnum())
    if len(password) < 8 or not all(any(kind(one) for one in password) for kind in kinds):
        raise refusal(400, _error("Password must have 8 characters with a letter, a digit and a special character"))
    return Reply(payload={"ok": "User created", "user": user["username"]})


def password(_view: GridView, _query: Query) -> Reply:
    return Reply(payload={"ok": "Please check your email for the password reset link"})


def scope_refusal() -> Reply:
    message = "Invalid scope. You do not have sufficient access to this resource. Upgrade the plan for this data."
    return Reply(status=403, payload={"error": "Invalid query parameters", "message": message})


def fuel_mix(_view: GridView, _query: Query) -> Reply:
    """In beta, and outside almost every plan."""
    return scope_refusal()


# -- data -------------------------------------------------------------------------------------------------------------


def _historical_row(view: GridView, query: Query, point: Point) -> dict[str, Json]:
    updated_at_s = min(point.start_at_s + REVISED_AFTER_S, floor_s(view.data_now_s, STEP_S))
    row = _value(point) | {"last_updated": offset_stamp(updated_at_s)}
    if query.get("include_imputed_marker", "").lower() in ("true", "1"):
        row["imputed_data_used"] = False
    return row


def _values(points: list[Point]) -> list[dict[str, Json]]:
    return [_value(point) for point in points]


def _value(point: Point) -> dict[str, Json]:
    value = as_reported(point.value, 1, LB_PER_MWH_PER_G_PER_KWH)
    return {"point_time": offset_stamp(point.start_at_s), "value": value}


def _meta(view: GridView, region: str, signal: str) -> dict[str, Json]:
    series = _series(view, signal, _regions(view, signal)[region])
    stands_in = signal == "co2_moer" and series.signal is not Signal.MARGINAL
    return {
        "data_point_period_seconds": int(STEP_S),
        "region": region,
        "warnings": [STAND_IN_WARNING] if stands_in else [],
        "signal_type": signal,
        "model": {"date": MODEL_DATE},
        "units": UNITS,
    }


def _accessible(view: GridView, query: Query, signal: str) -> list[dict[str, Json]]:
    regions = _regions(view, signal)
    return [
        _access_entry(view, region, signal)
        for region in sorted(regions)
        if query.get("region", region) == region and ("out_of_scope" not in view.holding or region == "CAISO_NORTH")
    ]


def _access_entry(view: GridView, region: str, signal: str) -> dict[str, Json]:
    series = _series(view, signal, _regions(view, signal)[region])
    start = day_stamp(series.start_at_s)
    model = {"model": MODEL_DATE, "data_start": start, "train_start": start, "train_end": start}
    past = {"endpoint": "v3/historical", "models": [model | {"type": "binned_regression"}]}
    ahead = {"endpoint": "v3/forecast", "models": [model]}
    return {
        "region": region,
        "region_full_name": _full_name(view, region),
        "parent": region.split("_")[0],
        "data_point_period_seconds": int(STEP_S),
        "endpoints": [ahead, past] if signal == "co2_moer" else [past],
    }


def _feature(view: GridView, region: str, zone: str) -> dict[str, Json]:
    place, half = PLACES[zone], SQUARE_HALF_DEG
    west, east = place.longitude_deg - half, place.longitude_deg + half
    south, north = place.latitude_deg - half, place.latitude_deg + half
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    properties = {"region": region, "region_full_name": _full_name(view, region)}
    geometry = {"type": "MultiPolygon", "coordinates": [[ring]]}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _full_name(view: GridView, region: str) -> str:
    zone = view.regions.get(region, region)
    return PLACES[zone].name if zone in PLACES else region


# -- the query --------------------------------------------------------------------------------------------------------


def _asked(view: GridView, query: Query, default_signal: str = "") -> tuple[str, str, IntensitySeries]:
    signal = query.get("signal_type", default_signal)
    if signal not in SIGNALS:
        raise refusal(400, _error(f"signal_type must be one of {', '.join(SIGNALS)}"))
    regions = _regions(view, signal)
    region = query.get("region", "")
    if region not in regions:
        raise refusal(400, _error(f"region '{region}' has no {signal} data"))
    if "wrong_zone" in view.holding:
        names = sorted(regions)
        region = names[(names.index(region) + 1) % len(names)]
    return region, signal, _series(view, signal, regions[region])


def _regions(view: GridView, signal: str) -> dict[str, str]:
    average, marginal = by_signal(view.trace, view.marginal)
    zones = {**average, **marginal} if signal == "co2_moer" else average
    return {region: zone for region, zone in view.regions.items() if zone in zones}


def _series(view: GridView, signal: str, zone: str) -> IntensitySeries:
    average, marginal = by_signal(view.trace, view.marginal)
    return marginal[zone] if signal == "co2_moer" and zone in marginal else average[zone]


def _refuse_forecast_of_average(signal: str) -> None:
    if signal == "co2_aoer":
        raise refusal(400, _error("co2_aoer has no forecast"))


def _count(query: Query) -> int:
    text = query.get("horizon_hours", "24")
    if not text.isdecimal() or int(text) > LONGEST_HORIZON_H:
        raise refusal(400, _error("horizon_hours must be an integer from 0 to 72"))
    return max(1, int(text) * int(HOUR_S / STEP_S))


def _range_s(query: Query, longest_s: float, longest: str) -> tuple[float, float]:
    start_at_s, end_at_s = _instant_s(query, "start"), _instant_s(query, "end")
    if end_at_s < start_at_s:
        raise refusal(400, _error("end must not be before start"))
    if end_at_s - start_at_s > longest_s:
        raise refusal(400, _error(f"the range from start to end must not exceed {longest}"))
    return start_at_s, end_at_s


def _instant_s(query: Query, name: str) -> float:
    try:
        return instant_s(query.get(name, ""), zone_required=True)
    except UnreadableInstantError:
        raise refusal(400, _error(f"{name} must be an ISO 8601 time with a time zone")) from None


def _degrees(query: Query, name: str) -> float:
    try:
        return degrees(query[name])
    except (KeyError, ValueError):
        raise refusal(422, _unprocessable(name, "must be a number")) from None


def _ceiling(at_s: float) -> int:
    return -int(-at_s // STEP_S)


def _error(message: str) -> dict[str, Json]:
    return {"error": "INVALID_QUERY_PARAMS", "message": message, "docs": DOCS}


def _unprocessable(name: str, message: str, where: str = "query") -> dict[str, Json]:
    detail = [{"loc": [where, name], "msg": message, "type": "value_error"}]
    # One client reads `error` of every error body.
    return {"error": "INVALID_QUERY_PARAMS", "detail": detail}

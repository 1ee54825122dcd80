"""The GB Carbon Intensity API, as far as a replayed trace can answer.

Pure: a GridView and the path's parts in, a Reply out. A trace knows one Great Britain; the seventeen regions show the
national series unless another zone is mapped onto them. The generation mix is made up to give the intensity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from intensity_feeds.series import IntensitySeries
from simulations.feed_server.fuel_mix import GB_GCO2E_PER_KWH, shares_ratio
from simulations.feed_server.grid_view import HOUR_S, GridView, Point, as_reported, number_or_none
from simulations.feed_server.instants import UnreadableInstantError, floor_s, instant_s, minute_stamp
from simulations.feed_server.replies import Json, Reply, refusal

Query = Mapping[str, str]

SLOT_S = 1800.0
DAY_S = 24 * HOUR_S
AHEAD_S = 48 * HOUR_S
LONGEST_RANGE_S = 14 * DAY_S
LONGEST_STATISTICS_S = 30 * DAY_S
NATIONAL = 0
SPANS_S = {"fw24h": (0.0, DAY_S), "fw48h": (0.0, 2 * DAY_S), "pt24h": (-DAY_S, 0.0)}
# A slot's outturn appears half an hour after its end.
OUTTURN_AFTER_S = SLOT_S
FUELS = ("gas", "coal", "biomass", "nuclear", "hydro", "imports", "other", "wind", "solar")
# Bands of the years around 2019; the service tightens them from year to year.
INDEX_BANDS = ((60, "very low"), (180, "low"), (280, "moderate"), (380, "high"))
FACTORS = {
    "Biomass": 120,
    "Coal": 937,
    "Dutch Imports": 474,
    "French Imports": 53,
    "Gas (Combined Cycle)": 394,
    "Gas (Open Cycle)": 651,
    "Hydro": 0,
    "Irish Imports": 458,
    "Nuclear": 0,
    "Oil": 935,
    "Other": 300,
    "Pumped Storage": 0,
    "Solar": 0,
    "Wind": 0,
}
# Region -> name of the network operator's area, short name.
REGIONS: Mapping[int, tuple[str, str]] = {
    1: ("Scottish Hydro Electric Power Distribution", "North Scotland"),
    2: ("SP Distribution", "South Scotland"),
    3: ("Electricity North West", "North West England"),
    4: ("NPG North East", "North East England"),
    5: ("NPG Yorkshire", "Yorkshire"),
    6: ("SP Manweb", "North Wales"),
    7: ("WPD South Wales", "South Wales"),
    8: ("WPD West Midlands", "West Midlands"),
    9: ("WPD East Midlands", "East Midlands"),
    10: ("UKPN East", "East England"),
    11: ("WPD South West", "South West England"),
    12: ("SSE South", "South England"),
    13: ("UKPN London", "London"),
    14: ("UKPN South East", "South East England"),
    15: ("England", "England"),
    16: ("Scotland", "Scotland"),
    17: ("Wales", "Wales"),
}
COUNTRIES = {"england": 15, "scotland": 16, "wales": 17}
# Postcode areas by region. Areas that straddle a border stand where most of their addresses are.
POSTCODE_AREAS: Mapping[int, str] = {
    1: "AB DD HS IV KW PH ZE",
    2: "DG EH FK G KA KY ML PA TD",
    3: "BB BL CA FY LA M OL PR SK WN",
    4: "DH DL NE SR TS",
    5: "BD DN HD HG HU HX LS S WF YO",
    6: "CH L LL WA",
    7: "CF LD NP SA",
    8: "B CV DY GL HR ST SY TF WR WS WV",
    9: "DE LE LN MK NG NN",
    10: "AL CB CM CO HP IP LU NR PE SG SS",
    11: "BA BS EX PL TA TQ TR",
    12: "BH DT GU OX PO RG SL SN SO SP",
    13: "E EC HA IG N NW RM SE SW TW UB W WC WD EN",
    14: "BN BR CR CT DA KT ME RH SM TN",
}
REGION_OF_AREA = {area: region for region, areas in POSTCODE_AREAS.items() for area in areas.split()}


# -- national ---------------------------------------------------------------------------------------------------------


def intensity(view: GridView, _query: Query) -> Reply:
    slots = _national(view, *_running(view))
    return Reply(payload={"data": slots})


def intensity_date(view: GridView, query: Query) -> Reply:
    """A whole day, or one of its half hours by `period` from 1."""
    start_at_s = _day_s(view, query)
    if "period" not in query:
        return Reply(payload={"data": _national(view, start_at_s, start_at_s + DAY_S)})
    period = _whole(query["period"], 1, 48, "settlement period")
    begin_s = start_at_s + (period - 1) * SLOT_S
    return Reply(payload={"data": _national(view, begin_s, begin_s + SLOT_S)})


def intensity_at(view: GridView, query: Query) -> Reply:
    start_at_s = floor_s(_instant_s(query["from"]), SLOT_S)
    return Reply(payload={"data": _national(view, start_at_s, start_at_s + SLOT_S)})


def intensity_range(view: GridView, query: Query) -> Reply:
    return Reply(payload={"data": _national(view, *_asked_range_s(query, LONGEST_RANGE_S))})


def statistics(view: GridView, query: Query) -> Reply:
    """Maximum, mean and minimum over the range, or over blocks of it."""
    from_s, to_s = _bounds_s(query, LONGEST_STATISTICS_S)
    block_s = _whole(query["block"], 1, 24, "block") * HOUR_S if "block" in query else max(to_s - from_s, SLOT_S)
    series = _series(view, NATIONAL)
    data, begin_s = [], from_s
    while begin_s < to_s:
        end_s = min(begin_s + block_s, to_s)
        data += _statistics_of(view.slots(series, begin_s, _horizon_s(view, end_s), SLOT_S), begin_s, end_s)
        begin_s = end_s
    return Reply(payload={"data": data})


def factors(_view: GridView, _query: Query) -> Reply:
    return Reply(payload={"data": [FACTORS]})


def generation(view: GridView, _query: Query) -> Reply:
    """The current mix: an object, where every range of it is a list."""
    slots = _generation(view, *_running(view))
    return Reply(payload={"data": slots[0] if slots else {}})


def generation_range(view: GridView, query: Query) -> Reply:
    return Reply(payload={"data": _generation(view, *_asked_range_s(query, LONGEST_RANGE_S))})


# -- regional ---------------------------------------------------------------------------------------------------------


def regional(view: GridView, _query: Query) -> Reply:
    return Reply(payload={"data": _all_regions(view, *_running(view))})


def regional_one(view: GridView, query: Query) -> Reply:
    """The current slot of one region: a list of one."""
    return Reply(payload={"data": [_region(view, query, *_running(view))]})


def regional_range(view: GridView, query: Query) -> Reply:
    """A range of one region, an object; or of all regions, a list."""
    start_at_s, end_at_s = _asked_range_s(query, LONGEST_RANGE_S)
    if {"postcode", "regionid"} & query.keys():
        return Reply(payload={"data": _region(view, query, start_at_s, end_at_s)})
    return Reply(payload={"data": _all_regions(view, start_at_s, end_at_s)})


def _region(view: GridView, query: Query, start_at_s: float, end_at_s: float) -> dict[str, Json]:
    asked = _region_id(query)
    regionid = asked % len(REGIONS) + 1 if "wrong_zone" in view.holding else asked
    slots = view.slots(_series(view, regionid), start_at_s, _horizon_s(view, end_at_s), SLOT_S)
    postcode = {"postcode": query["postcode"].upper()} if "postcode" in query and regionid == asked else {}
    data = [_times(slot) | {"intensity": _forecast(slot), "generationmix": _mix(slot)} for slot in slots]
    return _named(regionid) | postcode | {"data": data}


def _all_regions(view: GridView, start_at_s: float, end_at_s: float) -> list[dict[str, Json]]:
    """One entry per slot, holding every region that has the slot."""
    by_start: dict[float, dict[str, Json]] = {}
    for regionid in REGIONS:
        for slot in view.slots(_series(view, regionid), start_at_s, _horizon_s(view, end_at_s), SLOT_S):
            entry = by_start.setdefault(slot.start_at_s, _times(slot) | {"regions": []})
            entry["regions"].append(_named(regionid) | {"intensity": _forecast(slot), "generationmix": _mix(slot)})
    return [by_start[at_s] for at_s in sorted(by_start)]


def _named(regionid: int) -> dict[str, Json]:
    operator, name = REGIONS[regionid]
    return {"regionid": regionid, "dnoregion": operator, "shortname": name}


def _region_id(query: Query) -> int:
    if "country" in query:
        return COUNTRIES[query["country"]]
    if "regionid" in query:
        return _whole(query["regionid"], 1, len(REGIONS), "regionid")
    return _region_of_postcode(query["postcode"].upper())


def _region_of_postcode(outward: str) -> int:
    """The region of an outward code: letters, then a digit. Raises RefusedError."""
    area = re.match(r"[A-Z]{1,2}(?=[0-9])", outward)
    if area is None or area.group() not in REGION_OF_AREA:
        raise refusal(400, _error(400, f"Please enter a valid outward postcode, e.g. RG10; '{outward}' is none."))
    return REGION_OF_AREA[area.group()]


# -- slots ------------------------------------------------------------------------------------------------------------


def _national(view: GridView, start_at_s: float, end_at_s: float) -> list[dict[str, Json]]:
    slots = view.slots(_series(view, NATIONAL), start_at_s, _horizon_s(view, end_at_s), SLOT_S)
    return [_times(slot) | {"intensity": _forecast_and_outturn(view, slot)} for slot in slots]


def _generation(view: GridView, start_at_s: float, end_at_s: float) -> list[dict[str, Json]]:
    slots = view.slots(_series(view, NATIONAL), start_at_s, _horizon_s(view, end_at_s), SLOT_S)
    return [_times(slot) | {"generationmix": _mix(slot)} for slot in slots]


def _forecast_and_outturn(view: GridView, slot: Point) -> dict[str, Json]:
    value = as_reported(slot.value, 0)
    is_settled = slot.start_at_s + SLOT_S + OUTTURN_AFTER_S <= view.data_now_s
    return {"forecast": value, "actual": value if is_settled else None, "index": _index(slot)}


def _forecast(slot: Point) -> dict[str, Json]:
    return {"forecast": as_reported(slot.value, 0), "index": _index(slot)}


def _mix(slot: Point) -> list[dict[str, Json]]:
    number = number_or_none(slot)
    shares = {} if number is None else shares_ratio(number, GB_GCO2E_PER_KWH)
    return [{"fuel": fuel, "perc": round(100 * shares.get(fuel, 0.0), 1)} for fuel in FUELS]


def _statistics_of(slots: list[Point], start_at_s: float, end_at_s: float) -> list[dict[str, Json]]:
    numbers = [number for slot in slots if (number := number_or_none(slot)) is not None]
    if not numbers:
        return []
    mean = sum(numbers) / len(numbers)
    summary = {"max": round(max(numbers)), "average": round(mean), "min": round(min(numbers)), "index": _word(mean)}
    return [{"from": minute_stamp(start_at_s), "to": minute_stamp(end_at_s), "intensity": summary}]


def _times(slot: Point) -> dict[str, Json]:
    return {"from": minute_stamp(slot.start_at_s), "to": minute_stamp(slot.start_at_s + SLOT_S)}


def _index(slot: Point) -> str:
    number = number_or_none(slot)
    return "moderate" if number is None else _word(number)


def _word(intensity_gco2e_per_kwh: float) -> str:
    return next((word for bound, word in INDEX_BANDS if intensity_gco2e_per_kwh < bound), "very high")


def _series(view: GridView, regionid: int) -> IntensitySeries:
    zone = view.gb_zones.get(regionid, view.gb_zones.get(NATIONAL, "GB"))
    if zone not in view.trace:
        raise refusal(500, _error(500, f"the replayed trace has no zone {zone}; map one onto GB"))
    return view.trace[zone]


def _running(view: GridView) -> tuple[float, float]:
    start_at_s = floor_s(view.data_now_s, SLOT_S)
    if "last_complete_slot" in view.holding:
        start_at_s -= SLOT_S
    return start_at_s, start_at_s + SLOT_S


def _horizon_s(view: GridView, end_at_s: float) -> float:
    """The forecast ends 48 hours after now."""
    return min(end_at_s, floor_s(view.now_s, SLOT_S) + AHEAD_S + SLOT_S)


# -- the path ---------------------------------------------------------------------------------------------------------


def _asked_range_s(query: Query, longest_s: float) -> tuple[float, float]:
    """First slot's start and the end of the last: a slot counts when it ends at or after `from` and starts at or
    before `to`, so a `from` on the half hour brings the slot before it, too."""
    from_s, to_s = _bounds_s(query, longest_s)
    first_s = floor_s(from_s, SLOT_S)
    return first_s - SLOT_S if first_s == from_s else first_s, floor_s(to_s, SLOT_S) + SLOT_S


def _bounds_s(query: Query, longest_s: float) -> tuple[float, float]:
    from_s = _instant_s(query["from"])
    if query["to"] in SPANS_S:
        back_s, forth_s = SPANS_S[query["to"]]
        return from_s + back_s, from_s + forth_s
    to_s = _instant_s(query["to"])
    if to_s < from_s:
        raise refusal(400, _error(400, "The start datetime must be before the end datetime."))
    if to_s - from_s > longest_s:
        raise refusal(400, _error(400, f"The time range must not exceed {longest_s / DAY_S:.0f} days."))
    return from_s, to_s


def _day_s(view: GridView, query: Query) -> float:
    if "date" not in query:
        return floor_s(view.data_now_s, DAY_S)
    return floor_s(_instant_s(query["date"]), DAY_S)


def _instant_s(text: str) -> float:
    try:
        return instant_s(text)
    except UnreadableInstantError:
        message = "Please enter a valid datetime in ISO8601 format 'YYYY-MM-DDThh:mmZ'."
        raise refusal(400, _error(400, message)) from None


def _whole(text: str, low: int, high: int, name: str) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise refusal(400, _error(400, f"Please enter a valid {name} from {low} to {high}."))
    return int(text)


def _error(status: int, message: str) -> dict[str, Json]:
    words = {400: "400 Bad Request", 500: "500 Internal Server Error"}
    return {"error": {"code": words[status], "message": message}}

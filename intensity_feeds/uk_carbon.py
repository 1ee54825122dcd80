"""The GB Carbon Intensity API: average intensity of Great Britain and its regions, half-hourly, direct factors.

The pure half makes calls and reads answers; the class sends them. Needs no key. Zones: `GB`, a region by its number
(`GB-13` is London) or an outward postcode (`GB-SW1`). Regions are modelled only; their past is labelled estimated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import requests

from intensity_feeds.answers import Point, Reading, clipped, from_running_step
from intensity_feeds.calls import Call, Reply, decoded
from intensity_feeds.feed import FeedAnswerError, FeedError, NoDataError
from intensity_feeds.http import Transport
from intensity_feeds.instants import ceil_to, floor_to, format_utc_minute, new_year_at_s, year_of
from intensity_feeds.series import Basis, IntensitySeries, Quality, Signal

NAME = "uk_carbon"
HOST = "https://api.carbonintensity.org.uk"
SLOT_S = 1800.0
LONGEST_PIECE_S = 14 * 86400.0
# The service returns every slot that touches the range, so that a time exactly on a slot's edge brings one slot too
# many; a minute past the edge does not.
_PAST_THE_EDGE_S = 60.0
_REGION = re.compile(r"GB-(?:(?P<number>[1-9]|1[0-7])|(?P<postcode>[A-Z]{1,2}[0-9][A-Z0-9]?))")


def forecast_request(zone: str, now_s: float) -> Call:
    """Forty-eight hours from the running half hour on."""
    start = format_utc_minute(floor_to(now_s, SLOT_S) + _PAST_THE_EDGE_S)
    return Call(path=_path(zone, f"{start}/fw48h"))


def history_requests(zone: str, start_at_s: float, end_at_s: float) -> tuple[Call, ...]:
    """The calls that together cover the interval: at most 14 days each, and none across a New Year."""
    calls, start_s, end_s = [], floor_to(start_at_s, SLOT_S), ceil_to(end_at_s, SLOT_S)
    while start_s < end_s:
        piece_end_s = min(start_s + LONGEST_PIECE_S, end_s, new_year_at_s(year_of(start_s) + 1))
        first, last = start_s + _PAST_THE_EDGE_S, piece_end_s - SLOT_S + _PAST_THE_EDGE_S
        calls.append(Call(path=_path(zone, f"{format_utc_minute(first)}/{format_utc_minute(last)}")))
        start_s = piece_end_s
    return tuple(calls)


def parse_forecast(payload: Any, zone: str, *, issued_at_s: float) -> IntensitySeries:
    """The forecast of every slot in the answer. The service states no issue time, so it comes from the caller."""
    reading = Reading(NAME, zone)
    points = _points(reading, _slots(reading, payload), "forecast")
    return _series(reading, points, quality=Quality.FORECAST, issued_at_s=issued_at_s)


def parse_history(payloads: list[Any], zone: str) -> IntensitySeries:
    """What was metered; of a region, for which nothing is, the service's own estimate."""
    reading = Reading(NAME, zone)
    is_national = zone == "GB"
    key = "actual" if is_national else "forecast"
    points = [point for payload in payloads for point in _points(reading, _slots(reading, payload), key)]
    return _series(reading, points, quality=Quality.MEASURED if is_national else Quality.ESTIMATED)


def refusal(reply: Reply, zone: str) -> FeedError:
    """What a 4xx means."""
    said = reply.message()
    if reply.status == 404 or "postcode" in said.lower():
        return NoDataError(NAME, zone, said or "nothing known of this zone")
    return FeedAnswerError(NAME, zone, f"HTTP {reply.status} {said}".strip())


class UKCarbon:
    """Feed of the GB Carbon Intensity API."""

    name = NAME
    signal = Signal.AVERAGE
    basis = Basis.DIRECT

    def __init__(
        self, *, base_url: str = HOST, timeout_s: float = 10.0, session: requests.Session | None = None
    ) -> None:
        self._transport = Transport(NAME, base_url, timeout_s=timeout_s, session=session)

    def forecast(self, zone: str, now_s: float) -> IntensitySeries:
        """See Feed."""
        series = parse_forecast(self._json(forecast_request(zone, now_s), zone), zone, issued_at_s=now_s)
        return from_running_step(series, now_s)

    def history(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries:
        """See Feed."""
        calls = history_requests(zone, start_at_s, end_at_s)
        series = parse_history([self._json(call, zone) for call in calls], zone)
        return clipped(series, NAME, start_at_s, end_at_s)

    def _json(self, call: Call, zone: str) -> Any:
        reply = self._transport.get(call, zone)
        if not reply.is_good:
            raise refusal(reply, zone)
        return decoded(reply, NAME, zone)


def _path(zone: str, span: str) -> str:
    if zone == "GB":
        return f"/intensity/{span}"
    region = _region(zone)
    kind = "regionid" if region["number"] else "postcode"
    return f"/regional/intensity/{span}/{kind}/{region['number'] or region['postcode']}"


def _region(zone: str) -> re.Match[str]:
    region = _REGION.fullmatch(zone)
    if region is None:
        raise NoDataError(NAME, zone, "the service knows GB, GB-1 to GB-17 and outward postcodes such as GB-SW1")
    return region


def _slots(reading: Reading, payload: object) -> list[Mapping[str, Any]]:
    """The list of slots: `data` itself for the nation; for a region inside an object, or a list with one object."""
    data = reading.mapping(payload, "the answer").get("data")
    if reading.zone == "GB":
        return list(reading.rows(data, "data"))
    regions = [reading.mapping(data, "data")] if isinstance(data, Mapping) else list(reading.rows(data, "data"))
    if len(regions) != 1:
        raise reading.wrong(f"the answer is about {len(regions)} regions, asked for one")
    _refuse_other_region(reading, regions[0])
    return list(reading.rows(regions[0].get("data"), "data of the region"))


def _refuse_other_region(reading: Reading, region: Mapping[str, Any]) -> None:
    asked = _region(reading.zone)
    key, wanted = ("regionid", asked["number"]) if asked["number"] else ("postcode", asked["postcode"])
    if str(region.get(key)) != wanted:
        raise reading.wrong(f"asked for {key} {wanted}, answered for {region.get(key)}")


def _points(reading: Reading, slots: list[Mapping[str, Any]], key: str) -> list[Point]:
    points = []
    for number, slot in enumerate(slots):
        intensity = reading.mapping(slot.get("intensity"), f"intensity of slot {number}")
        start_s = reading.instant_s(slot.get("from"), f"from of slot {number}")
        if key not in intensity:
            raise reading.wrong(f"slot {number} has no {key}")
        points.append((start_s, reading.intensity(intensity[key], f"{key} of slot {number}")))
    return points


def _series(reading: Reading, points: list[Point], **labels: object) -> IntensitySeries:
    return reading.series(points, SLOT_S, signal=Signal.AVERAGE, basis=Basis.DIRECT, source=NAME, **labels)

"""Electricity Maps: average intensity of a zone, flow-traced, hourly.

The pure half makes calls and reads answers; the class sends them. Knows no clock and keeps no values. Never lets the
service guess a location: the lookup by address is switched off and the zone of every answer is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from intensity_feeds.answers import Point, Reading, clipped
from intensity_feeds.calls import Call, Reply, decoded
from intensity_feeds.feed import FeedAccessError, FeedAnswerError, FeedError, FeedThrottledError, NoDataError
from intensity_feeds.http import Transport
from intensity_feeds.instants import ceil_to, floor_to, format_utc
from intensity_feeds.series import Basis, IntensitySeries, Quality, Signal

NAME = "electricity_maps"
HOST = "https://api.electricitymaps.com"
VERSIONS = ("v3", "v4")
HORIZONS_HOURS = (6, 24, 48, 72)
# The most that one past-range call may span at hourly granularity.
LONGEST_PIECE_S = 10 * 86400.0
_STEPS_S = {"5_minutes": 300.0, "15_minutes": 900.0, "hourly": 3600.0}
_SANDBOX = ("SANDBOX_MODE_DATA", "SANDBOX MODE")
# A 401 whose body speaks of these is about the plan, not about the token.
_PLAN_TEXTS = ("unauthorized for zonekey", "do not have access", "endpoint not available")
# A 401 after successes is what some get instead of a 429; from the third in a row on it is taken at its word.
_DOUBTFUL_REFUSALS = 2


def forecast_request(zone: str, *, version: str, horizon_hours: int, emission_factor_type: Basis) -> Call:
    """The newest forecast, from the running hour on."""
    return _call(version, "forecast", zone, emission_factor_type, (("horizonHours", str(horizon_hours)),))


def last_day_request(zone: str, *, version: str, emission_factor_type: Basis) -> Call:
    """The last 24 hours: the only history that the smallest plans include."""
    return _call(version, "history", zone, emission_factor_type, ())


def history_requests(
    zone: str, start_at_s: float, end_at_s: float, *, version: str, emission_factor_type: Basis
) -> tuple[Call, ...]:
    """The calls whose half-open ranges together cover the interval, none longer than ten days."""
    calls, start_s, end_s = [], floor_to(start_at_s, 3600), ceil_to(end_at_s, 3600)
    while start_s < end_s:
        piece_end_s = min(start_s + LONGEST_PIECE_S, end_s)
        span = (("start", format_utc(start_s)), ("end", format_utc(piece_end_s)))
        calls.append(_call(version, "past-range", zone, emission_factor_type, span))
        start_s = piece_end_s
    return tuple(calls)


def parse_forecast(payload: Any, zone: str, *, issued_at_s: float, emission_factor_type: Basis) -> IntensitySeries:
    """The series of a forecast answer: N + 1 steps, the first already running.

    `updatedAt` is the moment of the answer and no sign of a new forecast, so `issued_at_s` comes from the caller.
    """
    reading = Reading(NAME, zone)
    body = _checked(reading, payload, emission_factor_type)
    points = _points(reading, _rows(reading, body), emission_factor_type)
    return reading.series(
        points,
        _step_s(reading, body),
        signal=Signal.AVERAGE,
        basis=emission_factor_type,
        quality=Quality.FORECAST,
        issued_at_s=issued_at_s,
        source=NAME,
    )


def parse_history(payloads: list[Any], zone: str, *, emission_factor_type: Basis) -> IntensitySeries:
    """The series of one or several answers about the past; estimated unless every hour was measured."""
    reading = Reading(NAME, zone)
    points: list[Point] = []
    rows: list[Mapping[str, Any]] = []
    step_s: float | None = None
    for payload in payloads:
        body = _checked(reading, payload, emission_factor_type)
        rows += (found := _rows(reading, body))
        points += _points(reading, found, emission_factor_type)
        step_s = _step_s(reading, body)
    estimated = any(row.get("isEstimated") for row in rows)
    return reading.series(
        points,
        step_s,
        signal=Signal.AVERAGE,
        basis=emission_factor_type,
        quality=Quality.ESTIMATED if estimated else Quality.MEASURED,
        source=NAME,
    )


def refusal(reply: Reply, zone: str, *, is_doubtful: bool) -> FeedError:
    """What a 4xx means. `is_doubtful`: the token worked a moment ago, so a bare 401 may be throttling."""
    said = reply.message()
    if reply.status == 404:
        return NoDataError(NAME, zone, said or "nothing known of this zone")
    if reply.status == 401 and any(text in said.lower() for text in _PLAN_TEXTS):
        return FeedAccessError(NAME, zone, f"the plan does not include this: {said}")
    if reply.status == 401 and is_doubtful:
        return FeedThrottledError(NAME, zone, f"HTTP 401 after successes, taken for a rate limit: {said}", None)
    if reply.status in (401, 403):
        return FeedAccessError(NAME, zone, f"the token is refused (HTTP {reply.status}): {said}")
    return FeedAnswerError(NAME, zone, f"HTTP {reply.status} {said}".strip())


class ElectricityMaps:
    """Feed of Electricity Maps. `base_url` is the host without the version."""

    name = NAME
    signal = Signal.AVERAGE

    def __init__(
        self,
        token: str,
        *,
        base_url: str = HOST,
        version: str = "v3",
        emission_factor_type: Basis = Basis.LIFECYCLE,
        horizon_hours: int = 24,
        timeout_s: float = 10.0,
        session: requests.Session | None = None,
    ) -> None:
        if version not in VERSIONS or horizon_hours not in HORIZONS_HOURS:
            raise ValueError(f"version must be one of {VERSIONS} and horizon_hours one of {HORIZONS_HOURS}")
        self.basis = emission_factor_type
        self._version, self._horizon_hours = version, horizon_hours
        self._headers = {"auth-token": token} if token else {}
        self._transport = Transport(NAME, base_url, timeout_s=timeout_s, session=session)
        self._has_succeeded, self._refusals_in_a_row = False, 0

    def forecast(self, zone: str, now_s: float) -> IntensitySeries:
        """See Feed. Many plans have no forecast: FeedAccessError then."""
        call = forecast_request(
            zone, version=self._version, horizon_hours=self._horizon_hours, emission_factor_type=self.basis
        )
        return parse_forecast(self._json(call, zone), zone, issued_at_s=now_s, emission_factor_type=self.basis)

    def history(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries:
        """See Feed. Where the plan has no ranges, what the last 24 hours hold of the interval."""
        calls = history_requests(zone, start_at_s, end_at_s, version=self._version, emission_factor_type=self.basis)
        try:
            payloads = [self._json(call, zone) for call in calls]
        except FeedAccessError:
            last_day = last_day_request(zone, version=self._version, emission_factor_type=self.basis)
            payloads = [self._json(last_day, zone)]
        series = parse_history(payloads, zone, emission_factor_type=self.basis)
        return clipped(series, NAME, start_at_s, end_at_s)

    def _json(self, call: Call, zone: str) -> Any:
        reply = self._transport.get(call, zone, headers=self._headers)
        if not reply.is_good:
            is_doubtful = self._has_succeeded and self._refusals_in_a_row < _DOUBTFUL_REFUSALS
            self._refusals_in_a_row += reply.status == 401
            raise refusal(reply, zone, is_doubtful=is_doubtful)
        self._has_succeeded, self._refusals_in_a_row = True, 0
        return decoded(reply, NAME, zone)


def _call(
    version: str, temporality: str, zone: str, emission_factor_type: Basis, more: tuple[tuple[str, str], ...]
) -> Call:
    # Both spellings of the same switch: the older documentation knows the second, the newer the first.
    always = (
        ("zone", zone),
        ("emissionFactorType", str(emission_factor_type)),
        ("disableCallerLookup", "true"),
        ("shouldUseFallbackCallerLookup", "false"),
    )
    return Call(path=f"/{version}/carbon-intensity/{temporality}", query=always + more)


def _checked(reading: Reading, payload: object, emission_factor_type: Basis) -> Mapping[str, Any]:
    """The body, when it is about the zone and the factors asked for and not made up for a sandbox."""
    body = reading.mapping(payload, "the answer")
    zone = reading.text(body.get("zone"), "zone")
    if zone != reading.zone:
        raise reading.wrong(f"the answer is for zone {zone}; check the spelling in the settings")
    if _SANDBOX[1] in str(body.get("_disclaimer", "")):
        raise _sandboxed(reading.zone)
    _refuse_other_factors(reading, body, emission_factor_type)
    return body


def _rows(reading: Reading, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The list under whichever key this endpoint uses; an answer without one is itself the only row."""
    for key in ("data", "history", "forecast"):
        if key in body:
            return list(reading.rows(body[key], key))
    return [body]


def _points(reading: Reading, rows: list[Mapping[str, Any]], emission_factor_type: Basis) -> list[Point]:
    points = []
    for number, row in enumerate(rows):
        if row.get("estimationMethod") == _SANDBOX[0]:
            raise _sandboxed(reading.zone)
        _refuse_other_factors(reading, row, emission_factor_type)
        if "carbonIntensity" not in row:
            raise reading.wrong(f"point {number} has no carbonIntensity")
        start_s = reading.instant_s(row.get("datetime"), f"datetime of point {number}")
        points.append((start_s, reading.intensity(row["carbonIntensity"], f"carbonIntensity of point {number}")))
    return points


def _refuse_other_factors(reading: Reading, part: Mapping[str, Any], emission_factor_type: Basis) -> None:
    if part.get("emissionFactorType", str(emission_factor_type)) != str(emission_factor_type):
        raise reading.wrong(f"asked for {emission_factor_type} factors, answered with {part['emissionFactorType']}")


def _sandboxed(zone: str) -> FeedAccessError:
    return FeedAccessError(NAME, zone, "the token is a sandbox token: its numbers are made up; use a real one")


def _step_s(reading: Reading, body: Mapping[str, Any]) -> float:
    granularity = body.get("temporalGranularity", "hourly")
    if not isinstance(granularity, str) or granularity not in _STEPS_S:
        raise reading.wrong(f"temporalGranularity is {granularity!r}, expected one of {', '.join(_STEPS_S)}")
    return _STEPS_S[granularity]

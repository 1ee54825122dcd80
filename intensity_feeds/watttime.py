"""WattTime v3: the marginal operating emission rate of a region, five-minutely (some regions hourly).

The pure half makes calls and reads answers, lbs/MWh turned into g/kWh once, here; the class logs in and sends them.
Zones are WattTime's own region names, such as CAISO_NORTH.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from intensity_feeds.answers import Point, Reading, clipped, from_running_step
from intensity_feeds.calls import Call, Reply, decoded
from intensity_feeds.feed import FeedAccessError, FeedAnswerError, FeedError, NoDataError
from intensity_feeds.http import Transport
from intensity_feeds.instants import ceil_to, floor_to, format_utc
from intensity_feeds.series import Basis, IntensitySeries, Quality, Signal

logger = logging.getLogger(__name__)

NAME = "watttime"
HOST = "https://api.watttime.org"
MOST_HORIZON_HOURS = 72
# 453.59237 g per lb over 1000 kWh per MWh, exactly.
GCO2E_PER_KWH_PER_LB_PER_MWH_RATIO = 0.45359237
_POUNDS = "lbs_co2_per_mwh"
_SIGNAL_TYPE = "co2_moer"
# A call spans 32 days at most and both ends are included, so each ends one step before the next begins.
LONGEST_PIECE_S = 32 * 86400.0
_STEP_S = 300.0
_COARSEST_STEP_S = 3600.0
# A token dies after 30 minutes, without notice.
TOKEN_GOOD_FOR_S = 25 * 60.0


def login_request() -> Call:
    return Call(path="/login")


def forecast_request(zone: str, *, horizon_hours: int) -> Call:
    """The newest forecast."""
    return Call(path="/v3/forecast", query=(*_about(zone), ("horizon_hours", str(horizon_hours))))


def history_requests(zone: str, start_at_s: float, end_at_s: float) -> tuple[Call, ...]:
    """The calls that together cover the interval without asking for a point twice."""
    calls, start_s, end_s = [], floor_to(start_at_s, _COARSEST_STEP_S), ceil_to(end_at_s, _STEP_S)
    while start_s < end_s:
        piece_end_s = min(start_s + LONGEST_PIECE_S, end_s)
        span = (("start", format_utc(start_s)), ("end", format_utc(piece_end_s - _STEP_S)))
        calls.append(Call(path="/v3/historical", query=(*_about(zone), *span)))
        start_s = piece_end_s
    return tuple(calls)


def parse_token(payload: Any) -> str:
    """The token of a login answer."""
    reading = Reading(NAME, "login")
    return reading.text(reading.mapping(payload, "the answer").get("token"), "token")


def parse_forecast(payload: Any, zone: str, *, issued_at_s: float) -> IntensitySeries:
    """The series of a forecast answer; `issued_at_s` stands in where the answer does not say when it was made."""
    reading = Reading(NAME, zone)
    meta, points = _read(reading, payload)
    if "generated_at" in meta:
        issued_at_s = reading.instant_s(meta["generated_at"], "meta.generated_at")
    return _series(reading, points, meta, quality=Quality.FORECAST, issued_at_s=issued_at_s)


def parse_history(payloads: list[Any], zone: str) -> IntensitySeries:
    """The series of one or several answers about the past. All of it is modelled: no meter shows a marginal rate."""
    reading = Reading(NAME, zone)
    points: list[Point] = []
    meta: Mapping[str, Any] = {}
    for payload in payloads:
        meta, found = _read(reading, payload)
        points += found
    return _series(reading, points, meta, quality=Quality.ESTIMATED)


def warnings_in(payload: Any) -> tuple[str, ...]:
    """What the service warns of; the data are good all the same."""
    meta = payload.get("meta") if isinstance(payload, Mapping) else None
    warnings = meta.get("warnings") if isinstance(meta, Mapping) else None
    return tuple(str(warning)[:200] for warning in warnings) if isinstance(warnings, list) else ()


def refusal(reply: Reply, zone: str) -> FeedError:
    """What a 4xx means that a fresh login did not cure."""
    said = reply.message()
    match reply.status:
        case 401 | 403:
            return FeedAccessError(
                NAME, zone, f"refused (HTTP {reply.status}): {said or 'the plan may not include this region'}"
            )
        case 404:
            return NoDataError(NAME, zone, said or "nothing known of this region")
        case _:
            return FeedAnswerError(NAME, zone, f"HTTP {reply.status} {said}".strip())


class WattTime:
    """Feed of WattTime. `clock` is any monotonic count of seconds; it only tells how old the token is."""

    name = NAME
    signal = Signal.MARGINAL
    basis = Basis.DIRECT

    def __init__(
        self,
        username: str,
        password: str,
        *,
        base_url: str = HOST,
        horizon_hours: int = 72,
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        session: requests.Session | None = None,
    ) -> None:
        if not 0 <= horizon_hours <= MOST_HORIZON_HOURS:
            raise ValueError(f"horizon_hours must be 0 to {MOST_HORIZON_HOURS}")
        self._transport = Transport(NAME, base_url, timeout_s=timeout_s, session=session)
        self._horizon_hours, self._clock = horizon_hours, clock
        self._credentials = HTTPBasicAuth(username.encode(), password.encode())
        # Many threads may poll at once, and the service allows 100 logins in five minutes.
        self._login_lock = threading.Lock()
        self._token, self._token_at_s = "", 0.0

    def forecast(self, zone: str, now_s: float) -> IntensitySeries:
        """See Feed."""
        payload = self._json(forecast_request(zone, horizon_hours=self._horizon_hours), zone)
        return from_running_step(parse_forecast(payload, zone, issued_at_s=now_s), now_s)

    def history(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries:
        """See Feed."""
        payloads = [self._json(call, zone) for call in history_requests(zone, start_at_s, end_at_s)]
        return clipped(parse_history(payloads, zone), NAME, start_at_s, end_at_s)

    def _json(self, call: Call, zone: str) -> Any:
        token = self._fresh_token(zone, refused="")
        reply = self._transport.get(call, zone, auth=_Bearer(token))
        if reply.status in (401, 403):
            token = self._fresh_token(zone, refused=token)
            reply = self._transport.get(call, zone, auth=_Bearer(token))
        if not reply.is_good:
            raise refusal(reply, zone)
        payload = decoded(reply, NAME, zone)
        for warning in warnings_in(payload):
            fields = {"action": "feed_warned", "feed": NAME, "zone": zone, "warning": warning}
            logger.warning("feed warned", extra=fields)
        return payload

    def _fresh_token(self, zone: str, refused: str) -> str:
        """A token that is young enough and is not `refused`; another thread may have fetched it meanwhile."""
        with self._login_lock:
            if not self._token or self._token == refused or self._clock() - self._token_at_s >= TOKEN_GOOD_FOR_S:
                self._token = self._log_in(zone)
                self._token_at_s = self._clock()
            return self._token

    def _log_in(self, zone: str) -> str:
        reply = self._transport.get(login_request(), zone, auth=self._credentials)
        if reply.status in (401, 403):
            raise FeedAccessError(NAME, zone, f"user name or password refused (HTTP {reply.status})")
        if not reply.is_good:
            raise refusal(reply, zone)
        return parse_token(decoded(reply, NAME, zone))


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _about(zone: str) -> tuple[tuple[str, str], ...]:
    return (("region", zone), ("signal_type", _SIGNAL_TYPE))


def _read(reading: Reading, payload: object) -> tuple[Mapping[str, Any], list[Point]]:
    body = reading.mapping(payload, "the answer")
    meta = reading.mapping(body.get("meta"), "meta")
    for key, wanted in (("region", reading.zone), ("signal_type", _SIGNAL_TYPE), ("units", _POUNDS)):
        if meta.get(key) != wanted:
            raise reading.wrong(f"meta.{key} is {meta.get(key)!r}, asked for {wanted}")
    return meta, [_point(reading, number, row) for number, row in enumerate(reading.rows(body.get("data"), "data"))]


def _point(reading: Reading, number: int, row: Mapping[str, Any]) -> Point:
    if "value" not in row:
        raise reading.wrong(f"point {number} has no value")
    start_s = reading.instant_s(row.get("point_time"), f"point_time of point {number}")
    return start_s, reading.intensity(row["value"], f"value of point {number}", GCO2E_PER_KWH_PER_LB_PER_MWH_RATIO)


def _series(reading: Reading, points: list[Point], meta: Mapping[str, Any], **labels: object) -> IntensitySeries:
    step_s = meta.get("data_point_period_seconds", _STEP_S)
    if step_s not in (_STEP_S, 900, 1800, _COARSEST_STEP_S):
        raise reading.wrong(f"meta.data_point_period_seconds is {step_s!r}")
    return reading.series(points, float(step_s), signal=Signal.MARGINAL, basis=Basis.DIRECT, source=NAME, **labels)

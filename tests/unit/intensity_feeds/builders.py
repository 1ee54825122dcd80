"""Series and payloads with defaults, for the tests of the feeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from intensity_feeds.feed import FeedError, NoDataError
from intensity_feeds.instants import format_utc, parse_utc_s
from intensity_feeds.series import Basis, IntensitySeries, Quality, Signal

MIDNIGHT_S = parse_utc_s("2022-03-01T00:00:00Z")
HOUR_S = 3600.0
DAY_S = 86400.0


def a_series(
    values: Sequence[float] = (100.0, 200.0, 300.0),
    *,
    zone: str = "DE",
    start_at_s: float = MIDNIGHT_S,
    step_s: float = HOUR_S,
    signal: Signal = Signal.AVERAGE,
    basis: Basis = Basis.LIFECYCLE,
    quality: Quality = Quality.MEASURED,
    issued_at_s: float | None = None,
    source: str = "test",
) -> IntensitySeries:
    return IntensitySeries.regular(
        zone,
        start_at_s,
        step_s,
        values,
        signal=signal,
        basis=basis,
        quality=quality,
        issued_at_s=issued_at_s,
        source=source,
    )


@dataclass
class FakeFeed:
    """A feed that says what it is told to say: `truth` from the running hour on, or raises `failure`."""

    truth: IntensitySeries
    name: str = "fake"
    failure: Exception | None = None
    history_failure: Exception | None = None
    horizon_s: float = 24 * HOUR_S
    signal: Signal = Signal.AVERAGE
    basis: Basis = Basis.LIFECYCLE
    asked_at_s: list[float] = field(default_factory=list)

    def forecast(self, zone: str, now_s: float) -> IntensitySeries:
        self.asked_at_s.append(now_s)
        if self.failure is not None:
            raise self.failure
        start_s = now_s // HOUR_S * HOUR_S
        end_s = min(self.truth.end_at_s, start_s + self.horizon_s)
        return replace(self.truth.between(start_s, end_s), quality=Quality.FORECAST, issued_at_s=now_s)

    def history(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries:
        failure = self.history_failure or self.failure
        if failure is not None:
            raise failure
        start_s, end_s = max(start_at_s, self.truth.start_at_s), min(end_at_s, self.truth.end_at_s)
        if start_s >= end_s:
            raise NoDataError(self.name, zone, "nothing there")
        return self.truth.between(start_s, end_s)


def a_failure(kind: type[FeedError] = FeedError, *, feed: str = "fake", zone: str = "DE") -> FeedError:
    return kind(feed, zone, "it failed")


def an_electricity_maps_forecast(
    values: Sequence[float | None] = (77, 76, 75), *, zone: str = "DK-DK2", start_at_s: float = MIDNIGHT_S
) -> dict[str, object]:
    return {
        "zone": zone,
        "forecast": [
            {"carbonIntensity": value, "datetime": format_utc(start_at_s + n * HOUR_S).replace("Z", ".000Z")}
            for n, value in enumerate(values)
        ],
        "updatedAt": "2026-08-22T17:34:24.392Z",
        "temporalGranularity": "hourly",
    }


def an_electricity_maps_range(
    values: Sequence[float | None] = (161, 162),
    *,
    zone: str = "DK-DK2",
    start_at_s: float = MIDNIGHT_S,
    estimated: bool = False,
    key: str = "data",
    method: str | None = None,
) -> dict[str, object]:
    return {
        "zone": zone,
        key: [
            {
                "zone": zone,
                "carbonIntensity": value,
                "datetime": format_utc(start_at_s + n * HOUR_S).replace("Z", ".000Z"),
                "updatedAt": "2025-01-16T17:04:54.622Z",
                "createdAt": "2024-03-15T02:47:12.492Z",
                "emissionFactorType": "lifecycle",
                "isEstimated": estimated,
                "estimationMethod": method,
            }
            for n, value in enumerate(values)
        ],
    }


def a_watttime_answer(
    values: Sequence[float | None] = (870, 870),
    *,
    region: str = "CAISO_NORTH",
    start_at_s: float = MIDNIGHT_S,
    step_s: int = 300,
    units: str = "lbs_co2_per_mwh",
    warnings: Sequence[object] = (),
    generated_at: str | None = None,
) -> dict[str, object]:
    meta: dict[str, object] = {
        "data_point_period_seconds": step_s,
        "region": region,
        "warnings": list(warnings),
        "signal_type": "co2_moer",
        "model": {"date": "2023-03-01"},
        "units": units,
    }
    if generated_at is not None:
        meta["generated_at"] = generated_at
    points = [
        {"point_time": format_utc(start_at_s + n * step_s).replace("Z", "+00:00"), "value": value}
        for n, value in enumerate(values)
    ]
    return {"data": points, "meta": meta}


def uk_slots(
    values: Sequence[tuple[float | None, float | None]], *, start_at_s: float = MIDNIGHT_S, regional: bool = False
) -> list[dict[str, object]]:
    """Slots of (forecast, actual); a regional slot has no actual."""
    slots: list[dict[str, object]] = []
    for n, (forecast, actual) in enumerate(values):
        intensity: dict[str, object] = {"forecast": forecast, "index": "moderate"}
        if not regional:
            intensity["actual"] = actual
        start, end = (format_utc(start_at_s + half * 1800)[:16] + "Z" for half in (n, n + 1))
        slots.append({"from": start, "to": end, "intensity": intensity})
    return slots

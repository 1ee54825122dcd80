"""Archetype grids (solar, wind, hydro, coal) for demonstrations and tests where no real trace is at hand.

Decides the shape of four made-up grids, every value labelled synthetic. Each is a function of the instant and a seed,
so that two answers agree wherever they overlap. Describes no real zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from intensity_feeds.feed import NoDataError
from intensity_feeds.instants import ceil_to, floor_to
from intensity_feeds.series import Basis, Floats, IntensitySeries, Quality, Signal

NAME = "synthetic"
STEP_S = 3600.0
_DAY_S = 86400.0
# Weather comes and goes over a few days; three lengths that do not divide each other never repeat in a year.
_WEATHER_DAYS = (2.3, 4.1, 7.7)
_FORECAST_DAYS = 3


def archetype(name: str, zone: str, start_at_s: float, days: int, seed: int) -> IntensitySeries:
    """`days` days, hourly, of one of ARCHETYPES; the same instant and seed give the same value in every call.

    Raises ValueError for an unknown name.
    """
    if name not in ARCHETYPES:
        raise ValueError(f"no archetype {name!r}; choose one of {', '.join(ARCHETYPES)}")
    start_s = floor_to(start_at_s, STEP_S)
    at_s = start_s + STEP_S * np.arange(days * 24, dtype=np.float64)
    values = ARCHETYPES[name](at_s, _weather(at_s, seed), _weather(at_s, seed + 1))
    return IntensitySeries.regular(
        zone,
        start_s,
        STEP_S,
        np.round(np.maximum(values, 0.0), 1),
        signal=Signal.AVERAGE,
        basis=Basis.LIFECYCLE,
        quality=Quality.SYNTHETIC,
        source=f"synthetic {name} grid",
    )


class SyntheticFeed:
    """Feed of made-up grids; what it says of the future is what will have been."""

    name = NAME
    signal = Signal.AVERAGE
    basis = Basis.LIFECYCLE

    def __init__(self, archetype_by_zone: Mapping[str, str], *, seed: int = 0, days: int = _FORECAST_DAYS) -> None:
        unknown = sorted(set(archetype_by_zone.values()) - set(ARCHETYPES))
        if unknown:
            raise ValueError(f"no archetype {unknown[0]!r}; choose one of {', '.join(ARCHETYPES)}")
        self._archetype_by_zone, self._seed, self._days = dict(archetype_by_zone), seed, days

    def forecast(self, zone: str, now_s: float) -> IntensitySeries:
        """See Feed."""
        return archetype(self._archetype(zone), zone, now_s, self._days, self._seed)

    def history(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries:
        """See Feed."""
        if end_at_s <= start_at_s:
            raise NoDataError(NAME, zone, "the interval is empty")
        days = int(ceil_to(end_at_s - floor_to(start_at_s, STEP_S), _DAY_S) / _DAY_S)
        return archetype(self._archetype(zone), zone, start_at_s, days, self._seed).between(start_at_s, end_at_s)

    def _archetype(self, zone: str) -> str:
        if zone not in self._archetype_by_zone:
            raise NoDataError(NAME, zone, f"no archetype is set for it; there are {', '.join(self._archetype_by_zone)}")
        return self._archetype_by_zone[zone]


def _weather(at_s: Floats, seed: int) -> Floats:
    """A slow wave between -1 and 1, drawn by the seed."""
    turns = np.random.default_rng(seed).random(len(_WEATHER_DAYS))
    sines = [
        np.sin(2 * np.pi * (at_s / (length * _DAY_S) + turn)) for length, turn in zip(_WEATHER_DAYS, turns, strict=True)
    ]
    return np.asarray(np.mean(sines, axis=0), dtype=np.float64)


def _time_of_day(at_s: Floats, peak_hours: float) -> Floats:
    """1 at the peak, -1 twelve hours later."""
    return np.asarray(np.cos(2 * np.pi * (at_s / _DAY_S - peak_hours / 24.0)), dtype=np.float64)


def _solar(at_s: Floats, sky_ratio: Floats, demand_ratio: Floats) -> Floats:
    sun = np.maximum(0.0, _time_of_day(at_s, 13)) * (0.8 + 0.2 * sky_ratio)
    return np.asarray(400 + 40 * _time_of_day(at_s, 20) + 20 * demand_ratio - 300 * sun, dtype=np.float64)


def _wind(at_s: Floats, wind_ratio: Floats, demand_ratio: Floats) -> Floats:
    return np.asarray(290 - 230 * wind_ratio + 30 * _time_of_day(at_s, 18) + 15 * demand_ratio, dtype=np.float64)


def _hydro(at_s: Floats, inflow_ratio: Floats, demand_ratio: Floats) -> Floats:
    return np.asarray(28 - 4 * inflow_ratio + 3 * _time_of_day(at_s, 18) + 2 * demand_ratio, dtype=np.float64)


def _coal(at_s: Floats, wind_ratio: Floats, demand_ratio: Floats) -> Floats:
    return np.asarray(760 - 40 * wind_ratio + 25 * _time_of_day(at_s, 3) + 10 * demand_ratio, dtype=np.float64)


ARCHETYPES: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "solar": _solar,
    "wind": _wind,
    "hydro": _hydro,
    "coal": _coal,
}

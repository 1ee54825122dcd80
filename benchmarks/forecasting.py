"""How wrong our own forecast is on real grids, beside "as at this hour yesterday".

Run: python -m benchmarks.forecasting [--zone DE ...] [--band]; needs the recorded grids of 2022 in ../shared/data or in
SLACKTIDE_DATA. Each zone is forecast 48 h ahead at every 17th hour of the year, so that all hours of the day take part.
With --band: how often the truth lies between the p10 and p90 that a backtest gives the forecast, every ten days.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np

from intensity_feeds.forecast_correction import band
from intensity_feeds.forecasting import (
    LOOK_BACK_DAYS,
    backtest,
    backtested_errors,
    persistence_forecast,
    seasonal_forecast,
)
from intensity_feeds.series import Floats, IntensitySeries
from intensity_feeds.trace import read_trace

DATA = Path(os.environ.get("SLACKTIDE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
TRACE = DATA / "carbon" / "avg_2022_hourly_34zones.csv.gz"
ZONES = ("DE", "GB", "FR", "ES", "PL", "NL", "US-CAL-CISO", "US-MIDA-PJM", "US-TEX-ERCO", "AU-NSW", "CA-ON", "SE-SE3")
_HOUR_S = 3600.0
_DAY_S = 86400.0
_DAYS_AHEAD = 2
_HOURS_BETWEEN_ISSUES = 17
_FIRST_BAND_DAY = 45
_DAYS_BETWEEN_BANDS = 10


def issues_at_s(actual: IntensitySeries) -> Floats:
    first_s = actual.start_at_s + LOOK_BACK_DAYS * _DAY_S
    return np.arange(first_s, actual.end_at_s - _DAYS_AHEAD * _DAY_S, _HOURS_BETWEEN_ISSUES * _HOUR_S)


def held_ratio(actual: IntensitySeries) -> Floats:
    """Share of hours inside the band, by day ahead, shape (2,)."""
    held = []
    first_s = actual.start_at_s + _FIRST_BAND_DAY * _DAY_S
    for now_s in np.arange(first_s, actual.end_at_s - _DAYS_AHEAD * _DAY_S, _DAYS_BETWEEN_BANDS * _DAY_S).tolist():
        past = actual.between(actual.start_at_s, now_s)
        forecast = seasonal_forecast(past, now_s, _DAYS_AHEAD * _DAY_S)
        found, truth = band(backtested_errors(past, now_s), forecast), actual.resampled(forecast.edges_at_s)
        assert found is not None
        inside = (truth.gco2e_per_kwh >= found.p10.gco2e_per_kwh) & (truth.gco2e_per_kwh <= found.p90.gco2e_per_kwh)
        held.append(inside.reshape(_DAYS_AHEAD, 24).mean(axis=1))
    return np.asarray(np.mean(held, axis=0), dtype=np.float64)


def print_bands(zones: Collection[str]) -> None:
    print(f"{'in p10 to p90':<14}  {'day 1':>6} {'day 2':>6}")
    shares = []
    for zone, actual in read_trace(TRACE, zones).items():
        shares.append(held_ratio(actual))
        print(f"{zone:<14}  {shares[-1][0]:>6.0%} {shares[-1][1]:>6.0%}")
    mean = np.mean(shares, axis=0)
    print(f"{'mean':<14}  {mean[0]:>6.0%} {mean[1]:>6.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zone", nargs="*", default=ZONES, help="zones of the trace")
    parser.add_argument("--band", action="store_true", help="how often the band of the forecast holds")
    asked = parser.parse_args()
    zones = asked.zone
    if asked.band:
        print_bands(zones)
        return
    print(
        f"{'MAE, gCO2e/kWh':<14}  {'own: day 1':>10} {'day 2':>6}  {'yesterday: day 1':>16} {'day 2':>6}  {'ratio':>13}"
    )
    ratios = []
    for zone, actual in read_trace(TRACE, zones).items():
        issued_at_s = issues_at_s(actual)
        own = backtest(actual, seasonal_forecast, issued_at_s, _DAYS_AHEAD).mae_gco2e_per_kwh
        yesterday = backtest(actual, persistence_forecast, issued_at_s, _DAYS_AHEAD).mae_gco2e_per_kwh
        ratios.append(own / yesterday)
        print(
            f"{zone:<14}  {own[0]:>10.1f} {own[1]:>6.1f}  {yesterday[0]:>16.1f} {yesterday[1]:>6.1f}"
            f"  {ratios[-1][0]:>6.2f} {ratios[-1][1]:>6.2f}"
        )
    mean = np.mean(ratios, axis=0)
    print(f"{'mean of ratios':<14}  {'':>10} {'':>6}  {'':>16} {'':>6}  {mean[0]:>6.2f} {mean[1]:>6.2f}")


if __name__ == "__main__":
    main()

"""Electricity prices as steps of time: exact means, gaps, negative prices, and units of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intensity_feeds.price_trace import read_prices
from intensity_feeds.prices import PriceSeries
from intensity_feeds.series import MalformedSeriesError
from intensity_feeds.trace_rows import TraceError

HOUR_S = 3600.0


def a_price(*usd_per_kwh: float) -> PriceSeries:
    edges = HOUR_S * np.arange(len(usd_per_kwh) + 1, dtype=np.float64)
    return PriceSeries(zone="DE", edges_at_s=edges, usd_per_kwh=np.array(usd_per_kwh))


def test_a_mean_is_weighted_by_time_and_may_be_negative() -> None:
    assert a_price(0.1, -0.3).mean_usd_per_kwh(0.5 * HOUR_S, 2 * HOUR_S) == pytest.approx((0.05 - 0.3) / 1.5)


def test_a_mean_over_a_gap_or_the_outside_is_not_known() -> None:
    price = a_price(0.1, float("nan"), 0.2)
    assert price.mean_usd_per_kwh(0, HOUR_S) == pytest.approx(0.1)
    assert price.mean_usd_per_kwh(0, 1.5 * HOUR_S) is None
    assert price.mean_usd_per_kwh(2 * HOUR_S, 4 * HOUR_S) is None
    assert price.mean_usd_per_kwh(-1, HOUR_S) is None


def test_prices_at_instants_are_those_of_their_steps() -> None:
    found = a_price(0.1, 0.2).at_instants(np.array([-1.0, 0.0, HOUR_S, 2 * HOUR_S]))
    np.testing.assert_array_equal(found, [np.nan, 0.1, 0.2, np.nan])


@pytest.mark.parametrize(
    ("edges", "prices"), [([0, 1, 2], [1.0]), ([0, 0], [1.0]), ([0, np.inf], [1.0]), ([0, 1], [np.inf]), ([0], [])]
)
def test_a_malformed_price_is_refused(edges: list[float], prices: list[float]) -> None:
    with pytest.raises(MalformedSeriesError):
        PriceSeries(zone="DE", edges_at_s=np.array(edges, dtype=float), usd_per_kwh=np.array(prices, dtype=float))


def a_file(folder: Path, column: str, *values: str) -> Path:
    lines = [f"2022-03-01T{hour:02}:00Z,DE,{value}" for hour, value in enumerate(values)]
    path = folder / "prices.csv"
    path.write_text("\n".join([f"timestamp,zone,{column}", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("column", "values"), [("price_usd_per_mwh", ("-50", "200")), ("price_usd_per_kwh", ("-0.05", "0.2"))]
)
def test_a_file_is_read_in_its_unit(tmp_path: Path, column: str, values: tuple[str, str]) -> None:
    (price,) = read_prices(a_file(tmp_path, column, *values)).values()
    np.testing.assert_allclose(price.usd_per_kwh, [-0.05, 0.2])


def test_a_zone_that_the_file_lacks_is_absent(tmp_path: Path) -> None:
    assert read_prices(a_file(tmp_path, "price_usd_per_mwh", "1", "2"), ["FR"]) == {}


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("price_usd_per_kwh", "250", "is outside -100 to 100 usd/kwh"),
        ("price_usd_per_mwh", "much", "is no number; write a number in usd/mwh"),
        ("price_eur", "1", "no column of prices; call it price_usd_per_mwh or price_usd_per_kwh"),
    ],
)
def test_a_mistake_in_a_file_is_pointed_at(tmp_path: Path, column: str, value: str, what: str) -> None:
    with pytest.raises(TraceError, match=what):
        read_prices(a_file(tmp_path, column, "1", value))

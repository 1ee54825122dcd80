"""What is kept between two calls: which version holds, and that a damaged file costs nothing but itself."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from intensity_feeds.cache import IntensityCache
from intensity_feeds.records import DamagedRecordError, as_text, fetched, from_text, merged, oldest_version_at_s
from intensity_feeds.series import Basis, IntensitySeries, MixedSignalsError, Quality, SeriesError, Signal
from tests.unit.intensity_feeds.builders import HOUR_S, MIDNIGHT_S, a_series

KIND = (Signal.AVERAGE, Basis.LIFECYCLE)
NAN = float("nan")
NOW_S = MIDNIGHT_S + 10 * HOUR_S


def at_hours(series: IntensitySeries, hours: int) -> list[float]:
    return [series.at(MIDNIGHT_S + (hour + 0.5) * HOUR_S) for hour in range(hours)]


def test_a_newer_version_of_a_point_holds_and_the_rest_stays() -> None:
    older = fetched(a_series((1.0, 2.0, 3.0)), NOW_S)
    newer = fetched(a_series((20.0, 30.0, 40.0), start_at_s=MIDNIGHT_S + HOUR_S), NOW_S + 5)
    assert at_hours(merged(older, newer, 0.0).series, 4) == [1, 20, 30, 40]


def test_the_newer_version_holds_whichever_arrives_first() -> None:
    older = fetched(a_series((1.0, 2.0)), NOW_S)
    newer = fetched(a_series((10.0, 20.0)), NOW_S + 5)
    assert at_hours(merged(newer, older, 0.0).series, 2) == [10, 20]


def test_a_gap_never_replaces_a_number_but_a_number_fills_a_gap() -> None:
    older = fetched(a_series((1.0, NAN)), NOW_S)
    newer = fetched(a_series((NAN, 20.0)), NOW_S + 5)
    assert at_hours(merged(older, newer, 0.0).series, 2) == [1, 20]


def test_what_neither_knows_stays_a_gap() -> None:
    apart = merged(
        fetched(a_series((1.0,)), NOW_S), fetched(a_series((3.0,), start_at_s=MIDNIGHT_S + 2 * HOUR_S), NOW_S), 0.0
    )
    assert apart.series.has_gap
    assert not apart.series.covers(MIDNIGHT_S, MIDNIGHT_S + 3 * HOUR_S)


def test_a_finer_step_takes_over_without_touching_its_neighbours() -> None:
    finer = fetched(a_series((5.0, 6.0), step_s=1800, start_at_s=MIDNIGHT_S + HOUR_S), NOW_S + 1)
    both = merged(fetched(a_series((1.0, 2.0, 3.0)), NOW_S), finer, 0.0).series
    assert both.at(MIDNIGHT_S + 1.2 * HOUR_S) == 5
    assert both.at(MIDNIGHT_S + 1.7 * HOUR_S) == 6
    assert [*at_hours(both, 1), both.at(MIDNIGHT_S + 2 * HOUR_S)] == [1, 3]


def test_what_is_too_old_is_dropped() -> None:
    record = fetched(a_series((1.0, 2.0, 3.0)), NOW_S)
    assert merged(record, record, MIDNIGHT_S + 1.5 * HOUR_S).series.start_at_s == MIDNIGHT_S + 2 * HOUR_S


def test_two_kinds_or_two_zones_are_never_merged() -> None:
    with pytest.raises(MixedSignalsError):
        merged(fetched(a_series(), NOW_S), fetched(a_series(signal=Signal.MARGINAL), NOW_S), 0.0)
    with pytest.raises(SeriesError, match="cannot merge"):
        merged(fetched(a_series(), NOW_S), fetched(a_series(zone="FR"), NOW_S), 0.0)


def test_a_record_survives_being_written_down() -> None:
    series = a_series((1.25, NAN, 3.0), quality=Quality.FORECAST, issued_at_s=NOW_S - 1, signal=Signal.MARGINAL)
    read = from_text(as_text(fetched(series, NOW_S)))
    assert np.array_equal(read.series.gco2e_per_kwh, series.gco2e_per_kwh, equal_nan=True)
    assert read.series.edges_at_s.tolist() == series.edges_at_s.tolist()
    for label in ("zone", "signal", "basis", "quality", "issued_at_s", "source"):
        assert getattr(read.series, label) == getattr(series, label)
    assert read.fetched_at_s == NOW_S


def test_a_record_with_any_byte_altered_or_missing_is_refused() -> None:
    text = as_text(fetched(a_series(), NOW_S))
    damaged = [text[:-5], text[:40], "", text.replace("200", "201"), text[1:], text + "x"]
    for one in damaged:
        with pytest.raises(DamagedRecordError):
            from_text(one)


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    first = IntensityCache(tmp_path)
    first.put_forecast("feed", a_series(), NOW_S)
    first.put_history("feed", a_series((1.0, 2.0)), NOW_S)
    first.put_history("feed", a_series((20.0, 30.0), start_at_s=MIDNIGHT_S + HOUR_S), NOW_S + 1)
    second = IntensityCache(tmp_path)
    forecast, history = second.forecast("feed", "DE", KIND), second.history("feed", "DE", KIND)
    assert forecast is not None
    assert history is not None
    assert forecast.series.gco2e_per_kwh.tolist() == [100, 200, 300]
    assert at_hours(history.series, 3) == [1, 20, 30]


def test_feeds_zones_and_kinds_are_kept_apart(tmp_path: Path) -> None:
    cache = IntensityCache(tmp_path)
    cache.put_forecast("a", a_series((1.0,)), NOW_S)
    cache.put_forecast("b", a_series((2.0,)), NOW_S)
    cache.put_forecast("a", a_series((3.0,), signal=Signal.MARGINAL), NOW_S)
    cache.put_forecast("a", a_series((4.0,), zone="../DE/x"), NOW_S)
    found = IntensityCache(tmp_path).forecast("a", "DE", KIND)
    assert found is not None
    assert found.series.gco2e_per_kwh.tolist() == [1]
    assert IntensityCache(tmp_path).forecast("a", "FR", KIND) is None
    assert all(path.is_relative_to(tmp_path) for path in tmp_path.rglob("*"))


def test_an_older_forecast_never_replaces_a_newer_one(tmp_path: Path) -> None:
    cache = IntensityCache(tmp_path)
    cache.put_forecast("a", a_series((2.0,)), NOW_S)
    cache.put_forecast("a", a_series((1.0,)), NOW_S - 60)
    found = cache.forecast("a", "DE", KIND)
    assert found is not None
    assert found.series.gco2e_per_kwh.tolist() == [2]


def test_what_a_clock_that_ran_ahead_left_behind_is_replaced(tmp_path: Path) -> None:
    cache = IntensityCache(tmp_path)
    for value, now_s in ((9.0, NOW_S + 30 * 86400), (1.0, NOW_S)):
        cache.put_forecast("a", a_series((value,)), now_s)
        cache.put_history("a", a_series((value,)), now_s)
    forecast, history = cache.forecast("a", "DE", KIND), cache.history("a", "DE", KIND)
    assert forecast is not None
    assert history is not None
    assert (forecast.series.at(MIDNIGHT_S), history.series.at(MIDNIGHT_S)) == (1, 1)
    assert (forecast.fetched_at_s, history.fetched_at_s) == (NOW_S, NOW_S)


def test_the_oldest_fetch_of_an_interval_counts_and_a_gap_has_none() -> None:
    older = fetched(a_series((1.0, 2.0, 3.0)), NOW_S)
    both = merged(older, fetched(a_series((20.0,), start_at_s=MIDNIGHT_S + HOUR_S), NOW_S + 5), 0.0)
    asked = [(0.0, 1.0), (1.0, 2.0), (1.5, 2.5), (0.0, 3.0), (2.0, 4.0)]
    found = [oldest_version_at_s(both, MIDNIGHT_S + a * HOUR_S, MIDNIGHT_S + b * HOUR_S) for a, b in asked]
    assert found == [NOW_S, NOW_S + 5, NOW_S, NOW_S, None]


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00", b"{}", b"abc\n{}\n"])
def test_a_damaged_file_is_a_miss_with_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    IntensityCache(tmp_path).put_forecast("a", a_series(), NOW_S)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    path.write_bytes(damage)
    cache = IntensityCache(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert cache.forecast("a", "DE", KIND) is None
    assert [record.__dict__["action"] for record in caplog.records] == ["cache_file_ignored"]
    cache.put_forecast("a", a_series(), NOW_S)
    assert IntensityCache(tmp_path).forecast("a", "DE", KIND) is not None


def test_a_disk_that_takes_nothing_costs_the_memory_across_a_restart_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = IntensityCache(tmp_path / "file")
    cache.put_forecast("a", a_series(), NOW_S)
    assert cache.forecast("a", "DE", KIND) is not None
    assert "cache_not_written" in [record.__dict__["action"] for record in caplog.records]


def test_no_temporary_file_is_left_behind(tmp_path: Path) -> None:
    IntensityCache(tmp_path).put_history("a", a_series(), NOW_S)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["DE.history"]

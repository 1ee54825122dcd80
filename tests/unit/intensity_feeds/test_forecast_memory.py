"""Forecasts are remembered over a restart, held against what came, and correct the answers of the ladder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from intensity_feeds.cache import IntensityCache, keep, place
from intensity_feeds.fallback import Ladder
from intensity_feeds.feed import Answer, Rung
from intensity_feeds.forecast_error_records import as_text, from_text
from intensity_feeds.forecast_errors import ForecastErrors, HorizonError, recorded
from intensity_feeds.forecast_memory import ForecastMemory
from intensity_feeds.records import DamagedRecordError
from intensity_feeds.rungs import LadderRules, settled_until_s
from intensity_feeds.series import Basis, IntensitySeries, Quality, Signal
from intensity_feeds.trace import TraceFeed
from tests.unit.intensity_feeds.builders import DAY_S, HOUR_S, MIDNIGHT_S, a_series
from tests.unit.intensity_feeds.test_forecast_correction import DAYS, learned
from tests.unit.intensity_feeds.test_forecast_errors import a_forecast

LAST_H = DAYS * 24
EVERY_HOUR = LadderRules(history_every_s=HOUR_S)


def a_day(day: int) -> list[float]:
    """What came: 20 g above or below the forecast at midnight, and half of that with every hour."""
    return [100.0 + 20.0 * (-1) ** day * 0.5**hour for hour in range(24)]


def a_trace() -> TraceFeed:
    """Forecasts of 100 g, one a day, and what came."""
    actual = a_series([value for day in range(DAYS + 1) for value in a_day(day)])
    forecasts = [a_forecast([100.0] * 24, MIDNIGHT_S + day * DAY_S) for day in range(DAYS + 1)]
    return TraceFeed({"DE": actual}, {"DE": forecasts})


def a_ladder(folder: Path, memory: ForecastMemory | None) -> Ladder:
    return Ladder({"DE": [a_trace()]}, IntensityCache(folder), rules=EVERY_HOUR, memory=memory)


def seeded(folder: Path) -> Path:
    """The folder of a daemon that has watched the trace until its last midnight."""
    keep(place(folder, "trace", "DE", (Signal.AVERAGE, Basis.LIFECYCLE), "errors"), as_text(learned(0.5)))
    return folder


def polled(ladder: Ladder, from_h: int, to_h: int) -> Answer:
    """The last of the answers of every hour of the stretch."""
    for hour in range(from_h, to_h):
        answer = ladder.answer("DE", MIDNIGHT_S + hour * HOUR_S, HOUR_S)
    assert answer is not None
    return answer


def test_a_record_survives_as_text() -> None:
    errors = learned()
    again = from_text(as_text(errors))
    assert again.zone == errors.zone
    assert len(again.issues) == len(errors.issues)
    for new, old in zip(again.issues, errors.issues, strict=True):
        assert (new.issued_at_s, new.start_at_s) == (old.issued_at_s, old.start_at_s)
        assert new.actual_gco2e_per_kwh == pytest.approx(old.actual_gco2e_per_kwh, abs=1e-3, nan_ok=True)


@pytest.mark.parametrize("change", [lambda text: text[:-20], lambda text: text.replace("DE", "FR"), lambda _: "x"])
def test_a_damaged_record_is_seen(change: object) -> None:
    with pytest.raises(DamagedRecordError):
        from_text(change(as_text(learned())))  # type: ignore[operator]


def test_answers_are_corrected_by_what_was_learned_before_the_last_restart(tmp_path: Path) -> None:
    answer = polled(a_ladder(tmp_path, ForecastMemory(seeded(tmp_path))), LAST_H, LAST_H + 2)
    assert answer.rung is Rung.LIVE
    # The first hour of this day was 20 g dirtier than said; of that a half is left now, and a quarter in an hour.
    assert answer.series.gco2e_per_kwh[:2] == pytest.approx([110.0, 105.0])
    assert answer.band is not None
    assert answer.band.p10.gco2e_per_kwh[0] < 100.0 < answer.band.p90.gco2e_per_kwh[0]


def test_answers_stay_as_the_feed_gave_them_where_no_correction_is_wanted(tmp_path: Path) -> None:
    answer = polled(a_ladder(tmp_path, ForecastMemory(seeded(tmp_path), corrects=False)), LAST_H, LAST_H + 2)
    assert answer.series.gco2e_per_kwh.tolist() == [100.0] * 23
    assert answer.band is not None


def test_a_new_memory_changes_nothing(tmp_path: Path) -> None:
    answer = polled(a_ladder(tmp_path, ForecastMemory(tmp_path)), 0, 2)
    assert answer.series.gco2e_per_kwh.tolist() == [100.0] * 23
    assert answer.band is None


def test_a_damaged_file_is_forgotten(tmp_path: Path) -> None:
    polled(a_ladder(tmp_path, ForecastMemory(tmp_path)), 0, 3)
    (path,) = tmp_path.rglob("*.errors")
    path.write_text(path.read_text()[:-9])
    assert ForecastMemory(tmp_path).errors("trace", a_forecast([1.0])).issues == ()


@dataclass
class Told:
    """What was told of errors."""

    calls: list[tuple[str, str, tuple[HorizonError, ...]]] = field(default_factory=list)

    def __call__(self, feed: str, zone: str, errors: tuple[HorizonError, ...]) -> None:
        self.calls.append((feed, zone, errors))


def test_errors_are_told_when_hours_are_scored_and_again_after_a_restart(tmp_path: Path) -> None:
    told = Told()
    polled(a_ladder(tmp_path, ForecastMemory(tmp_path, on_scored=told)), 0, 4)
    feed, zone, (near,) = told.calls[-1]
    assert (feed, zone, near.name, near.hours) == ("trace", "DE", "0-6h", 3)
    assert near.bias_gco2e_per_kwh == pytest.approx((20 + 10 + 5) / 3)
    again = Told()
    polled(a_ladder(tmp_path, ForecastMemory(tmp_path, on_scored=again)), 4, 5)
    assert again.calls[0][2] == told.calls[-1][2]


def test_numbers_of_another_kind_are_remembered_apart(tmp_path: Path) -> None:
    memory = ForecastMemory(tmp_path)
    marginal = a_series([800.0] * 24, signal=Signal.MARGINAL, basis=Basis.DIRECT, quality=Quality.FORECAST)
    memory.record("fake", a_forecast([100.0] * 24), MIDNIGHT_S)
    memory.record("fake", marginal, MIDNIGHT_S)
    memory.score("fake", a_series([110.0] * 24), MIDNIGHT_S + DAY_S)
    assert np.isnan(memory.errors("fake", marginal).issues[0].error_gco2e_per_kwh).all()
    assert memory.errors("fake", a_forecast([1.0])).issues[0].error_gco2e_per_kwh.tolist() == [10.0] * 24


def test_our_own_forecast_has_the_band_of_its_backtest(tmp_path: Path) -> None:
    cache = IntensityCache(tmp_path)
    dirtier_by_turns = [100.0 + 10.0 * (day % 2) for day in range(40) for _ in range(24)]
    cache.put_history("trace", a_series(dirtier_by_turns), MIDNIGHT_S + 40 * DAY_S)
    dead = TraceFeed({"DE": a_series([1.0, 1.0])})
    ladder = Ladder({"DE": [dead]}, cache, memory=ForecastMemory(tmp_path))
    answer = ladder.answer("DE", MIDNIGHT_S + 40 * DAY_S, DAY_S)
    assert answer is not None
    assert answer.rung is Rung.OWN_FORECAST
    assert answer.band is not None
    # Half of the days turn out as the newest hour promised, half turn the other way.
    assert answer.band.p10.gco2e_per_kwh[12] < 105.0 < answer.band.p90.gco2e_per_kwh[12]


@pytest.mark.parametrize(("quality", "days_back"), [(Quality.MEASURED, 0), (Quality.ESTIMATED, 2)])
def test_an_estimate_is_no_truth_before_it_was_revised(quality: Quality, days_back: int) -> None:
    actual: IntensitySeries = a_series(quality=quality)
    assert settled_until_s(actual, MIDNIGHT_S, LadderRules()) == MIDNIGHT_S - days_back * DAY_S


def test_the_file_of_a_busy_zone_stays_small() -> None:
    errors = ForecastErrors(zone="DE")
    for hour in range(0, 70 * 24, 6):
        now_s = MIDNIGHT_S + hour * HOUR_S
        errors = recorded(errors, a_forecast([123.456 + hour] * 72, now_s), now_s)
    assert len(errors.issues) == 60 * 4 + 1
    assert len(as_text(errors)) < 400_000

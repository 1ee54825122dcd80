"""The step function of intensity, on numbers worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from intensity_feeds.series import (
    Basis,
    IntensitySeries,
    MalformedSeriesError,
    MissingIntensityError,
    MixedSignalsError,
    OutsideRangeError,
    Quality,
    SeriesError,
    Signal,
    from_points,
    refuse_mixture,
)
from tests.real_data import real_data
from tests.unit.intensity_feeds.builders import HOUR_S, MIDNIGHT_S, a_series

NAN = float("nan")


def at_s(hours: float) -> float:
    return MIDNIGHT_S + hours * HOUR_S


def test_a_job_belongs_to_each_hour_by_its_share_of_it() -> None:
    # 17:40 to 19:10 on 17:00=60, 18:00=120, 19:00=300: 20 min, 60 min and 10 min.
    series = a_series((60.0, 120.0, 300.0), start_at_s=at_s(17))
    start_s, end_s = at_s(17) + 40 * 60, at_s(19) + 10 * 60
    assert series.integral_g_s_per_kwh(start_s, end_s) == 60 * 1200 + 120 * 3600 + 300 * 600
    assert series.mean_gco2e_per_kwh(start_s, end_s) == pytest.approx((60 * 20 + 120 * 60 + 300 * 10) / 90)


def test_ten_kilowatts_for_half_an_hour_at_two_hundred_grams_are_one_kilogram() -> None:
    series = a_series((200.0,))
    assert series.emissions_gco2e(10_000, at_s(0), at_s(0.5)) == pytest.approx(1000.0)


def test_a_value_holds_from_its_start_up_to_but_not_at_its_end() -> None:
    series = a_series((100.0, 200.0))
    assert series.at(at_s(0)) == 100
    assert series.at(at_s(1) - 1e-3) == 100
    assert series.at(at_s(1)) == 200
    with pytest.raises(OutsideRangeError):
        series.at(at_s(2))


def test_a_question_outside_the_range_is_refused_and_says_what_is_known() -> None:
    series = a_series((100.0,))
    with pytest.raises(OutsideRangeError, match=r"DE is known from 1646092800 to 1646096400") as caught:
        series.integral_g_s_per_kwh(at_s(-1), at_s(0.5))
    assert (caught.value.start_at_s, caught.value.end_at_s) == (at_s(0), at_s(1))


def test_an_interval_over_a_gap_has_no_number() -> None:
    series = a_series((100.0, NAN, 300.0))
    with pytest.raises(MissingIntensityError):
        series.integral_g_s_per_kwh(at_s(0.5), at_s(1.5))
    with pytest.raises(MissingIntensityError):
        series.at(at_s(1.5))
    assert series.integral_g_s_per_kwh(at_s(0), at_s(1)) == 100 * HOUR_S
    assert series.integral_g_s_per_kwh(at_s(2), at_s(3)) == 300 * HOUR_S
    assert not series.covers(at_s(0), at_s(3))
    assert series.covers(at_s(2), at_s(3))


def test_zero_is_a_value_and_not_a_gap() -> None:
    series = a_series((0.0, 100.0))
    assert not series.has_gap
    assert series.integral_g_s_per_kwh(at_s(0), at_s(2)) == 100 * HOUR_S


def test_windows_over_a_gap_or_outside_are_nan_and_the_others_exact() -> None:
    series = a_series((100.0, 200.0, NAN, 400.0))
    starts = np.array([at_s(0), at_s(0.5), at_s(1), at_s(1.5), at_s(3), at_s(3.5)])
    windows = series.window_integrals_g_s_per_kwh(starts, HOUR_S)
    assert windows[[0, 1, 2, 4]].tolist() == [100 * HOUR_S, 150 * HOUR_S, 200 * HOUR_S, 400 * HOUR_S]
    assert np.isnan(windows[[3, 5]]).all()


def test_candidate_starts_are_the_kinks_and_the_two_ends() -> None:
    series = a_series((1.0, 2.0, 3.0, 4.0))
    starts = series.candidate_starts_at_s(1.5 * HOUR_S, at_s(0.25), at_s(2.5))
    assert starts.tolist() == [at_s(h) for h in (0.25, 0.5, 1, 1.5, 2, 2.5)]


def test_a_cut_keeps_the_labels_and_the_integral() -> None:
    series = a_series((100.0, 200.0, 300.0), quality=Quality.FORECAST, issued_at_s=at_s(-1))
    part = series.between(at_s(0.5), at_s(2.25))
    assert part.edges_at_s.tolist() == [at_s(0.5), at_s(1), at_s(2), at_s(2.25)]
    assert part.gco2e_per_kwh.tolist() == [100, 200, 300]
    assert (part.quality, part.issued_at_s) == (Quality.FORECAST, at_s(-1))


def test_a_cut_is_the_series_that_would_have_been_made_of_its_steps() -> None:
    whole = a_series((100.0, 250.0, 70.0, 310.0))
    cut = whole.between(MIDNIGHT_S + 0.5 * HOUR_S, MIDNIGHT_S + 3.25 * HOUR_S)
    made = replace(whole, edges_at_s=cut.edges_at_s, gco2e_per_kwh=cut.gco2e_per_kwh)
    unlike = [name for name in IntensitySeries.__slots__ if not np.array_equal(getattr(cut, name), getattr(made, name))]
    assert not unlike
    with pytest.raises(ValueError, match="read-only"):
        cut.cumulative_g_s_per_kwh[0] = 1.0
    with pytest.raises(MalformedSeriesError):
        whole.between(MIDNIGHT_S, MIDNIGHT_S)


def test_an_integral_that_is_not_known_is_none_where_none_is_asked_for() -> None:
    series = a_series((100.0, float("nan"), 300.0))
    assert series.known_integral_g_s_per_kwh(MIDNIGHT_S, MIDNIGHT_S + HOUR_S) == 100.0 * HOUR_S
    assert series.known_integral_g_s_per_kwh(MIDNIGHT_S, MIDNIGHT_S + 1.5 * HOUR_S) is None
    assert series.known_integral_g_s_per_kwh(MIDNIGHT_S - 1.0, MIDNIGHT_S + HOUR_S) is None


def test_resampling_weighs_by_time_and_keeps_gaps() -> None:
    series = a_series((100.0, 200.0, NAN, 400.0), step_s=1800)
    hourly = series.resampled(np.array([at_s(0), at_s(1), at_s(2)]))
    assert hourly.gco2e_per_kwh[0] == 150
    assert np.isnan(hourly.gco2e_per_kwh[1])


def test_a_later_series_takes_over_where_it_begins() -> None:
    joined = a_series((1.0, 2.0, 3.0)).followed_by(a_series((8.0, 9.0), start_at_s=at_s(1.5), quality=Quality.FORECAST))
    assert joined.edges_at_s.tolist() == [at_s(h) for h in (0, 1, 1.5, 2.5, 3.5)]
    assert joined.gco2e_per_kwh.tolist() == [1, 2, 8, 9]
    assert joined.quality is Quality.FORECAST


def test_a_hole_between_two_series_is_a_gap() -> None:
    joined = a_series((1.0,)).followed_by(a_series((9.0,), start_at_s=at_s(3)))
    assert np.isnan(joined.gco2e_per_kwh[1])
    with pytest.raises(MissingIntensityError):
        joined.mean_gco2e_per_kwh(at_s(0), at_s(4))


@pytest.mark.parametrize("other", [{"signal": Signal.MARGINAL}, {"basis": Basis.DIRECT}])
def test_average_and_marginal_or_lifecycle_and_direct_are_never_joined(other: dict[str, Signal]) -> None:
    later = a_series((1.0,), start_at_s=at_s(5), **other)  # type: ignore[arg-type]
    with pytest.raises(MixedSignalsError, match="average"):
        a_series().followed_by(later)
    with pytest.raises(MixedSignalsError):
        refuse_mixture([a_series(), later])


def test_series_of_two_zones_are_never_joined() -> None:
    with pytest.raises(MalformedSeriesError, match="cannot join DE with FR"):
        a_series().followed_by(a_series(zone="FR", start_at_s=at_s(5)))


@pytest.mark.parametrize(
    ("edges", "values"),
    [([0.0, 1.0], [1.0, 2.0]), ([0.0], []), ([0.0, 0.0], [1.0]), ([1.0, 0.0], [1.0]), ([0.0, NAN], [1.0])],
)
def test_edges_that_do_not_fit_are_refused(edges: list[float], values: list[float]) -> None:
    with pytest.raises(MalformedSeriesError):
        IntensitySeries(zone="DE", edges_at_s=np.array(edges), gco2e_per_kwh=np.array(values))


def test_an_infinite_intensity_is_refused() -> None:
    with pytest.raises(SeriesError, match="infinite"):
        a_series((float("inf"),))


def test_a_series_cannot_be_changed_behind_its_sums() -> None:
    with pytest.raises(ValueError, match="read-only"):
        a_series().gco2e_per_kwh[0] = 0.0


def test_points_in_any_order_with_the_later_of_two_entries_for_one_start() -> None:
    series = from_points("DE", [at_s(1), at_s(0), at_s(2), at_s(1)], [5.0, 1.0, 3.0, 2.0])
    assert series.gco2e_per_kwh.tolist() == [1, 2, 3]
    assert series.end_at_s == at_s(3)


def test_one_missing_point_is_bridged_and_two_in_a_row_are_a_gap() -> None:
    bridged = from_points("DE", [at_s(h) for h in (0, 1, 3, 4)], [1.0, 2.0, 4.0, 5.0], HOUR_S)
    assert bridged.at(at_s(2.5)) == 2
    torn = from_points("DE", [at_s(h) for h in (0, 1, 4, 5)], [1.0, 2.0, 5.0, 6.0], HOUR_S)
    assert torn.at(at_s(2.5)) == 2
    with pytest.raises(MissingIntensityError):
        torn.at(at_s(3.5))


def test_a_point_without_a_value_is_a_gap() -> None:
    series = from_points("DE", [at_s(0), at_s(1), at_s(2)], [1.0, None, 3.0])
    assert series.has_gap
    assert not series.covers(at_s(0), at_s(3))


def test_a_change_of_resolution_is_no_gap() -> None:
    starts = [at_s(0) + 1800 * n for n in range(20)] + [at_s(10) + 900 * n for n in range(20)]
    series = from_points("GB", starts, [float(n) for n in range(40)])
    assert not series.has_gap
    assert series.end_at_s == starts[-1] + 900


def test_a_short_stretch_of_coarse_steps_after_long_fine_ones_is_no_gap() -> None:
    starts = [at_s(0) + 900 * n for n in range(1000)] + [at_s(250 + n) for n in range(24)]
    assert not from_points("DE", starts, [1.0] * len(starts)).has_gap


def test_where_most_points_are_missing_a_silence_is_not_taken_for_the_usual_step() -> None:
    hours = [*range(100), 101, 104, 106, 110, 112, 115, 117, 121, 140, 142, 147, *range(150, 250)]
    series = from_points("DE", [at_s(hour) for hour in hours], [1.0] * len(hours))
    assert series.covers(at_s(121), at_s(123))
    assert not series.covers(at_s(123), at_s(123.5))


def test_one_point_needs_a_step() -> None:
    with pytest.raises(MalformedSeriesError, match="say how long it holds"):
        from_points("DE", [at_s(0)], [1.0])
    assert from_points("DE", [at_s(0)], [1.0], HOUR_S).end_at_s == at_s(1)


def test_points_that_do_not_fit_their_values_are_refused() -> None:
    with pytest.raises(MalformedSeriesError, match="2 starts do not fit 1 values"):
        from_points("DE", [at_s(0), at_s(1)], [1.0])
    with pytest.raises(MalformedSeriesError, match="no points"):
        from_points("DE", [], [])


def test_the_british_year_that_changes_from_half_to_quarter_hours_has_no_gap() -> None:
    from intensity_feeds.trace import read_trace

    series = read_trace(real_data("carbon/avg_2020_subhourly_DE_FR_GB.csv.gz"), ["GB"])["GB"]
    steps = set(np.diff(series.edges_at_s).tolist())
    assert steps == {1800.0, 900.0}
    assert not series.has_gap

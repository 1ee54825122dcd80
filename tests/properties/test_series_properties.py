"""What must hold of every intensity series, against sums done by brute force."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from intensity_feeds.series import (
    Basis,
    IntensitySeries,
    MissingIntensityError,
    MixedSignalsError,
    OutsideRangeError,
    Signal,
    from_points,
    refuse_mixture,
)

pytestmark = pytest.mark.slow

BASE_S = 1_640_995_200
VALUES = st.floats(0, 3000, allow_nan=False).map(lambda value: round(value, 2))
STEPS_S = st.sampled_from([1, 7, 60, 300, 900])


@dataclass(frozen=True)
class Drawn:
    """A series whose edges lie on whole seconds, and its value in each second."""

    series: IntensitySeries
    by_second: list[float]

    def sum_g_s_per_kwh(self, start_s: int, end_s: int) -> float:
        return math.fsum(self.by_second[start_s - BASE_S : end_s - BASE_S])


@st.composite
def drawn(draw: st.DrawFn, *, gaps: bool = False) -> Drawn:
    steps = draw(st.lists(STEPS_S, min_size=1, max_size=8))
    value = st.one_of(VALUES, st.just(math.nan)) if gaps else VALUES
    values = draw(st.lists(value, min_size=len(steps), max_size=len(steps)))
    edges = BASE_S + np.concatenate(([0], np.cumsum(steps))).astype(np.float64)
    series = IntensitySeries(zone="DE", edges_at_s=edges, gco2e_per_kwh=np.array(values))
    return Drawn(series, [value for step, value in zip(steps, values, strict=True) for _ in range(step)])


@st.composite
def with_interval(draw: st.DrawFn, *, gaps: bool = False) -> tuple[Drawn, int, int]:
    one = draw(drawn(gaps=gaps))
    ends = sorted(draw(st.tuples(*[st.integers(0, len(one.by_second))] * 2)))
    return one, BASE_S + ends[0], BASE_S + ends[1]


@given(with_interval())
def test_an_integral_is_the_sum_of_its_seconds(case: tuple[Drawn, int, int]) -> None:
    one, start_s, end_s = case
    assert one.series.integral_g_s_per_kwh(start_s, end_s) == pytest.approx(
        one.sum_g_s_per_kwh(start_s, end_s), rel=1e-9, abs=1e-6
    )


@given(with_interval(gaps=True))
def test_an_interval_that_touches_a_gap_is_refused_and_no_other(case: tuple[Drawn, int, int]) -> None:
    one, start_s, end_s = case
    if math.isnan(one.sum_g_s_per_kwh(start_s, end_s)):
        assert not one.series.covers(start_s, end_s)
        with pytest.raises(MissingIntensityError):
            one.series.integral_g_s_per_kwh(start_s, end_s)
    else:
        assert one.series.covers(start_s, end_s)
        assert one.series.integral_g_s_per_kwh(start_s, end_s) == pytest.approx(
            one.sum_g_s_per_kwh(start_s, end_s), rel=1e-9, abs=1e-6
        )


@given(drawn(), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_integrals_add_up_at_any_instant(one: Drawn, ratios: list[float]) -> None:
    series = one.series
    a, b, c = (
        min(series.start_at_s + r * (series.end_at_s - series.start_at_s), series.end_at_s) for r in sorted(ratios)
    )
    whole = series.integral_g_s_per_kwh(a, c)
    assert series.integral_g_s_per_kwh(a, b) + series.integral_g_s_per_kwh(b, c) == pytest.approx(
        whole, rel=1e-9, abs=1e-4
    )


@given(with_interval())
def test_a_cut_conserves_the_integral_of_every_part_of_it(case: tuple[Drawn, int, int]) -> None:
    one, start_s, end_s = case
    assume(start_s < end_s)
    part = one.series.between(start_s, end_s)
    assert (part.start_at_s, part.end_at_s) == (start_s, end_s)
    middle_s = (start_s + end_s) // 2
    assert part.integral_g_s_per_kwh(start_s, middle_s) == pytest.approx(
        one.sum_g_s_per_kwh(start_s, middle_s), rel=1e-9, abs=1e-6
    )


@given(drawn(), st.sets(st.floats(0.001, 0.999), max_size=6))
def test_resampling_conserves_the_whole_integral(one: Drawn, ratios: set[float]) -> None:
    series = one.series
    inner = sorted(series.start_at_s + ratio * (series.end_at_s - series.start_at_s) for ratio in ratios)
    edges = np.array([series.start_at_s, *inner, series.end_at_s])
    assume((np.diff(edges) > 1e-3).all())
    resampled = series.resampled(edges)
    assert resampled.integral_g_s_per_kwh(series.start_at_s, series.end_at_s) == pytest.approx(
        series.integral_g_s_per_kwh(series.start_at_s, series.end_at_s), rel=1e-9, abs=1e-3
    )


@st.composite
def with_window(draw: st.DrawFn) -> tuple[Drawn, int, int, int]:
    """A series, a duration that fits into it, and the earliest and latest start."""
    one = draw(drawn())
    whole_s = len(one.by_second)
    duration_s = draw(st.integers(1, whole_s))
    earliest_s, latest_s = sorted(draw(st.tuples(*[st.integers(0, whole_s - duration_s)] * 2)))
    return one, duration_s, BASE_S + earliest_s, BASE_S + latest_s


@given(with_window())
def test_no_start_on_a_one_second_grid_is_cleaner_than_the_best_candidate(case: tuple[Drawn, int, int, int]) -> None:
    one, duration_s, earliest_s, latest_s = case
    series = one.series
    candidates = series.candidate_starts_at_s(float(duration_s), float(earliest_s), float(latest_s))
    assert ((candidates >= earliest_s) & (candidates <= latest_s)).all()
    best = float(series.window_integrals_g_s_per_kwh(candidates, float(duration_s)).min())
    running = np.concatenate(([0.0], np.cumsum(one.by_second)))
    starts = np.arange(earliest_s, latest_s + 1) - BASE_S
    grid = float((running[starts + duration_s] - running[starts]).min())
    assert best <= grid + 1e-6 + 1e-9 * grid
    assert best == pytest.approx(grid, rel=1e-9, abs=1e-5)  # whole-second edges: the optimum is on the grid as well


@given(drawn(), st.floats(1, 1e6))
def test_a_question_outside_the_range_is_always_refused(one: Drawn, beyond_s: float) -> None:
    series = one.series
    for start_s, end_s in (
        (series.start_at_s - beyond_s, series.end_at_s),
        (series.start_at_s, series.end_at_s + beyond_s),
        (series.end_at_s, series.start_at_s),
    ):
        with pytest.raises(OutsideRangeError):
            series.integral_g_s_per_kwh(start_s, end_s)
        assert not series.covers(start_s, end_s)


@given(st.lists(st.tuples(st.sampled_from(Signal), st.sampled_from(Basis)), min_size=1, max_size=4))
def test_a_mixture_is_refused_whenever_two_kinds_meet(kinds: list[tuple[Signal, Basis]]) -> None:
    series = [IntensitySeries.flat("DE", 0.0, 1.0, 5.0, signal=signal, basis=basis) for signal, basis in kinds]
    if len(set(kinds)) == 1:
        refuse_mixture(series)
    else:
        with pytest.raises(MixedSignalsError):
            refuse_mixture(series)


@given(st.permutations(range(8)), st.lists(VALUES, min_size=8, max_size=8))
def test_the_order_of_distinct_points_does_not_matter(order: list[int], values: list[float]) -> None:
    ordered = from_points("DE", [BASE_S + 300.0 * n for n in range(8)], values)
    shuffled = from_points("DE", [BASE_S + 300.0 * n for n in order], [values[n] for n in order])
    assert shuffled.edges_at_s.tolist() == ordered.edges_at_s.tolist()
    assert shuffled.gco2e_per_kwh.tolist() == ordered.gco2e_per_kwh.tolist()


@given(drawn(gaps=True), drawn(gaps=True), st.integers(0, 2000))
def test_joining_says_at_each_second_what_the_series_in_force_says(head: Drawn, tail: Drawn, offset_s: int) -> None:
    later = IntensitySeries(
        zone="DE", edges_at_s=tail.series.edges_at_s + offset_s, gco2e_per_kwh=tail.series.gco2e_per_kwh
    )
    assume(offset_s > 0)
    joined = head.series.followed_by(later)
    for second in range(0, offset_s + len(tail.by_second), 13):
        in_force = (
            tail.by_second[second - offset_s]
            if second >= offset_s
            else (head.by_second + [math.nan] * offset_s)[second]
        )
        index = np.searchsorted(joined.edges_at_s, BASE_S + second, side="right") - 1
        assert np.array_equal(joined.gco2e_per_kwh[index], in_force, equal_nan=True)

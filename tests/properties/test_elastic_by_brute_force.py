"""Elastic jobs against every corner of what they can do, and the greedy rule for concave curves."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.planning.one_job.elastic import ElasticJob, NotEnoughTimeError, Scaling, cleanest_scaling
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_curve, a_series

pytestmark = pytest.mark.slow

Speeds = tuple[tuple[int, float], ...]


@st.composite
def scalings(draw: st.DrawFn) -> Speeds:
    counts = sorted(draw(st.sets(st.integers(1, 6), min_size=1, max_size=3)))
    return tuple((gpus, draw(st.integers(1, 12)) / 4) for gpus in counts)


@st.composite
def concave_scalings(draw: st.DrawFn) -> Speeds:
    gains = sorted(draw(st.lists(st.integers(1, 8), min_size=1, max_size=4)), reverse=True)
    return tuple((gpus, sum(gains[:gpus]) / 4) for gpus in range(1, len(gains) + 1))


rates = st.lists(st.integers(-5, 40).map(float), min_size=1, max_size=3)


def planned(series: list[list[float]], speeds: Speeds, work_h: float) -> float | None:
    """Grams of the plan at 1 kW a GPU, its work and its limits checked; None when it is refused."""
    curves = [a_curve(a_series(*values), region=f"region {number}") for number, values in enumerate(series)]
    deadline_s = MIDNIGHT_S + len(series[0]) * HOUR_S
    job = ElasticJob(
        work_s=work_h * HOUR_S,
        power_w=1000.0,
        earliest_s=MIDNIGHT_S,
        deadline_s=deadline_s,
        scaling=Scaling(speeds=speeds),
    )
    try:
        plan = cleanest_scaling(curves, job)
    except NotEnoughTimeError:
        return None
    speed_of = dict(speeds)
    assert sum(speed_of[one.gpus] * one.duration_s for one in plan.segments) == pytest.approx(job.work_s)
    ends = [MIDNIGHT_S]
    for one in plan.segments:
        assert ends[-1] <= one.start_at_s < one.end_at_s <= deadline_s
        ends.append(one.end_at_s)
    by_region = {one.region: one for one in curves}
    integrals = (by_region[one.region].integral_g_s_per_kwh(one.start_at_s, one.end_at_s) for one in plan.segments)
    grams = sum(one.gpus * integral / HOUR_S for one, integral in zip(plan.segments, integrals, strict=True))
    assert plan.emissions_gco2e == pytest.approx(grams, abs=1e-6)
    return plan.emissions_gco2e


def best_corner(series: list[list[float]], speeds: Speeds, work_h: float) -> float | None:
    """The least grams of all ways to run each hour whole at one choice, but one hour shared between two.

    The problem is linear in the shares of each hour's choices, and one equation ties the hours: its corners are these.
    """
    cells = [
        [(0.0, 0.0), *((speed, gpus * values[hour]) for values in series for gpus, speed in speeds)]
        for hour in range(len(series[0]))
    ]
    best: float | None = None
    for shared in range(len(cells)):
        for others in product(*(cells[:shared] + cells[shared + 1 :])):
            left = work_h - sum(speed for speed, _ in others)
            for (low, low_grams), (high, high_grams) in combinations(sorted(cells[shared]), 2):
                if not low - 1e-12 <= left <= high + 1e-12:
                    continue
                ratio = (left - low) / (high - low) if high > low else 0.0
                grams = sum(grams for _, grams in others) + low_grams + ratio * (high_grams - low_grams)
                best = grams if best is None else min(best, grams)
    return best


@settings(max_examples=120, deadline=None)
@given(
    series=st.one_of(
        rates.map(lambda row: [row]),
        st.integers(1, 2).flatmap(
            lambda n: st.lists(st.lists(st.integers(-5, 40).map(float), min_size=n, max_size=n), min_size=2, max_size=2)
        ),
    ),
    speeds=st.one_of(scalings(), concave_scalings()),
    quarters=st.integers(1, 24),
)
def test_no_corner_is_cleaner(series: list[list[float]], speeds: Speeds, quarters: int) -> None:
    grams, best = planned(series, speeds, quarters / 4), best_corner(series, speeds, quarters / 4)
    assert (grams is None) == (best is None)
    assert grams is None or grams == pytest.approx(best, abs=1e-6)


@settings(max_examples=120, deadline=None)
@given(
    row=st.lists(st.integers(0, 40).map(float), min_size=1, max_size=10),
    speeds=concave_scalings(),
    quarters=st.integers(1, 60),
)
def test_for_a_concave_curve_it_is_the_greedy_rule(row: list[float], speeds: Speeds, quarters: int) -> None:
    """One GPU more for one hour at a time, wherever it emits least for the work it adds."""
    assert Scaling(speeds=speeds).is_concave
    gains = [speed - less for (_, speed), (_, less) in zip(speeds, ((0, 0.0), *speeds), strict=False)]
    steps = sorted((rate / gain, gain, rate) for rate in row for gain in gains)
    left, greedy = quarters / 4, 0.0
    for _, gain, rate in steps:
        greedy += rate * min(1.0, left / gain)
        left = max(0.0, left - gain)
    grams = planned([row], speeds, quarters / 4)
    assert (grams is None) == (left > 1e-12)
    assert grams is None or grams == pytest.approx(greedy, abs=1e-6)

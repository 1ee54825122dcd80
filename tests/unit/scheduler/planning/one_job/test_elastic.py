"""Jobs on more or fewer GPUs, worked by hand."""

from __future__ import annotations

import pytest

from intensity_feeds.series import IntensitySeries
from scheduler.planning.one_job.elastic import (
    ElasticJob,
    ElasticPlan,
    FreeGpus,
    InvalidScalingError,
    NotEnoughTimeError,
    Scaling,
    cleanest_scaling,
)
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_curve, a_series

CONCAVE = Scaling(speeds=((1, 1.0), (2, 1.8), (4, 3.0)))


def found(
    *series: IntensitySeries,
    work_h: float,
    scaling: Scaling = CONCAVE,
    free: dict[str, FreeGpus] | None = None,
    may_move: bool = True,
) -> ElasticPlan:
    job = ElasticJob(
        work_s=work_h * HOUR_S,
        power_w=1000.0,
        earliest_s=MIDNIGHT_S,
        deadline_s=series[0].end_at_s,
        scaling=scaling,
    )
    return cleanest_scaling([a_curve(one) for one in series], job, free, may_move=may_move)


def hours(plan: ElasticPlan) -> list[tuple[float, float, int]]:
    return [
        ((one.start_at_s - MIDNIGHT_S) / HOUR_S, (one.end_at_s - MIDNIGHT_S) / HOUR_S, one.gpus)
        for one in plan.segments
    ]


def test_the_clean_hour_gets_more_gpus_as_long_as_they_gain_more_than_the_dirty_hour() -> None:
    # For each kWh 1, 0.8 and 0.6 hours of work. At 100 g: 100, 125, 167 g an hour; at 150 g: 150, 188, 250 g.
    plan = found(a_series(150, 100), work_h=2.8)
    assert hours(plan) == [(0, 1, 1), (1, 2, 2)]
    assert plan.emissions_gco2e == pytest.approx(150 + 200)


def test_the_last_work_is_done_in_a_share_of_an_hour() -> None:
    # Beyond 2.8 hours the cheapest further work is at 167 g: a third of the hour of 100 g at 4 GPUs instead of 2.
    plan = found(a_series(150, 100), work_h=3.2)
    assert [(start, end, gpus) for start, end, gpus in hours(plan)] == [
        (0, 1, 1),
        (1, pytest.approx(4 / 3), 4),
        (pytest.approx(4 / 3), 2, 2),
    ]
    assert plan.emissions_gco2e == pytest.approx(150 + 100 * (4 / 3 + 2 * 2 / 3))


def test_a_count_off_the_envelope_is_never_used() -> None:
    # Two GPUs gain nothing over one, four gain as much again: 1 and 4 are the corners of the envelope.
    plan = found(a_series(100), work_h=2.0, scaling=Scaling(speeds=((1, 1.0), (2, 1.0), (4, 3.0))))
    assert [gpus for *_, gpus in hours(plan)] == [4, 1]
    assert plan.emissions_gco2e == pytest.approx(100 * (4 * 0.5 + 1 * 0.5))


def test_speed_that_grows_faster_than_the_gpus_leaves_the_fewer_unused() -> None:
    plan = found(a_series(100, 200), work_h=2.0, scaling=Scaling(speeds=((2, 1.0), (4, 4.0))))
    assert hours(plan) == [(0, 0.5, 4)]


def test_free_gpus_are_never_exceeded() -> None:
    free: dict[str, FreeGpus] = {"DE": ((MIDNIGHT_S, MIDNIGHT_S + HOUR_S, 3),)}
    with pytest.raises(NotEnoughTimeError) as problem:
        found(a_series(100, 100), work_h=2.0, free=free)
    assert problem.value.most_work_s == pytest.approx(1.8 * HOUR_S)
    assert hours(found(a_series(100, 100), work_h=1.8, free=free)) == [(0, 1, 2)]


def test_it_moves_to_the_cleaner_region_unless_it_may_not() -> None:
    pair = a_series(100, 400, zone="DE"), a_series(400, 100, zone="FR")
    assert [one.region for one in found(*pair, work_h=2.0).segments] == ["DE", "FR"]
    assert {one.region for one in found(*pair, work_h=2.0, may_move=False).segments} == {"DE"}


def test_unknown_time_does_no_work() -> None:
    assert hours(found(a_series(100, None, 300), work_h=4.0)) == [(0, 1, 4), (2, 3, 1)]
    with pytest.raises(NotEnoughTimeError):
        found(a_series(100, None, 300), work_h=6.1)


def test_negative_intensity_is_used_with_as_many_gpus_as_there_are() -> None:
    plan = found(a_series(-10, 100), work_h=1.0)
    # An hour at four GPUs would do three hours of work; a third of it does one and takes most energy from the grid.
    assert hours(plan)[0][2] == 4
    assert plan.segments[0].duration_s == pytest.approx(HOUR_S / 3)


def test_concavity_is_judged_by_the_gain_of_each_gpu() -> None:
    assert CONCAVE.is_concave
    assert not Scaling(speeds=((1, 1.0), (2, 2.5))).is_concave


@pytest.mark.parametrize("speeds", [(), ((0, 1.0),), ((1, 0.0),), ((2, 1.0), (1, 2.0)), ((1, 1.0), (1, 2.0))])
def test_a_curve_that_contradicts_itself_is_refused(speeds: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(InvalidScalingError):
        Scaling(speeds=speeds)

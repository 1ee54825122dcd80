"""One job in regions whose GPUs differ, worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.jobs import Interruption
from scheduler.planning.one_job.preemptible import Work
from scheduler.planning.one_job.single import Comparison, CostlyMovesError, TooShortError, compare
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_region, a_series

SERIES = {"DE": a_series(500, 400, 300, 200, 100, 400), "FR": a_series(*[250] * 6, zone="FR")}


def found(
    work_h: float, *, speed: float, ratio: float, within_h: float = 6, pause: Interruption | None = None
) -> Comparison:
    regions = [a_region("DE"), replace(a_region("FR"), speed=speed, power_ratio=ratio)]
    work = Work(
        work_s=work_h * HOUR_S,
        earliest_s=MIDNIGHT_S,
        deadline_s=MIDNIGHT_S + within_h * HOUR_S,
        interruption=pause or Interruption(),
    )
    return compare(regions, SERIES, work, 10_000.0, interruptible=pause is not None)


def test_the_dirtier_hour_wins_where_the_job_needs_less_energy() -> None:
    best = found(1, speed=5.0, ratio=1.5).best
    # FR: 12 minutes at 15 kW on 250 g; DE's best hour at 10 kW on 100 g is 1000 g.
    assert (best.start_at_s, best.end_at_s) == (MIDNIGHT_S, MIDNIGHT_S + 720)
    assert best.emissions_gco2e == pytest.approx(750)
    assert best.gap_ratio == 0.0


def test_pieces_are_taken_where_a_second_of_work_is_cleanest() -> None:
    comparison = found(4, speed=1.5, ratio=1.8, pause=Interruption())
    # An hour of work in FR is 300 g a kW; so DE's hours at 100 and 200 g, and two hours of work at 300 g.
    assert comparison.best.emissions_gco2e == pytest.approx(10 * (100 + 200 + 600))
    assert comparison.best.is_exact
    assert comparison.at_once is not None
    assert comparison.at_once.emissions_gco2e == pytest.approx(10 * (500 + 400 + 300 + 200))


def test_work_that_only_the_faster_gpus_hold_is_not_too_short() -> None:
    assert found(3, speed=2.0, ratio=1.0, within_h=1.5).best.segments[0].region == "FR"
    with pytest.raises(TooShortError) as problem:
        found(4, speed=2.0, ratio=1.0, within_h=1.5)
    assert problem.value.short_s == pytest.approx(1800)


def test_pauses_that_cost_something_are_refused_between_unlike_speeds() -> None:
    with pytest.raises(CostlyMovesError):
        found(1, speed=2.0, ratio=1.0, pause=Interruption(checkpoint_s=60.0))
    assert found(1, speed=1.0, ratio=0.5, pause=Interruption(checkpoint_s=60.0)).best.emissions_gco2e == pytest.approx(
        1000
    )

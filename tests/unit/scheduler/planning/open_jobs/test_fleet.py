"""Joint plans, worked by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from intensity_feeds.series import IntensitySeries, Signal
from scheduler.jobs import Interruption, Job
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Cause, Forecasts, Obstacle, Placement, Plan, Refusal, Region, Segment
from scheduler.planning.planner import OpenJob
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series, held_by, most_taken

FALLING = a_series(400, 300, 200, 100)


def planned(
    *jobs: Job | OpenJob,
    regions: Sequence[Region] = (a_region(),),
    forecasts: Forecasts | None = None,
    now_h: float = 0,
    reserve_ratio: float = 0.0,
) -> Plan:
    open_jobs = [OpenJob(job=one) if isinstance(one, Job) else one for one in jobs]
    known = {"DE": FALLING} if forecasts is None else forecasts
    return FleetPlanner(reserve_ratio=reserve_ratio).plan(open_jobs, regions, known, MIDNIGHT_S + now_h * HOUR_S)


def hours(placement: Placement) -> list[tuple[float, float]]:
    return [
        ((one.start_at_s - MIDNIGHT_S) / HOUR_S, (one.end_at_s - MIDNIGHT_S) / HOUR_S) for one in placement.segments
    ]


def a_piece(start_h: float, end_h: float, region: str = "DE") -> Segment:
    return Segment(start_at_s=MIDNIGHT_S + start_h * HOUR_S, end_at_s=MIDNIGHT_S + end_h * HOUR_S, region=region)


def test_waits_for_the_clean_hour_and_says_what_that_saves() -> None:
    place = planned(a_job(power_w=2000)).placements["job"]
    assert hours(place) == [(3, 4)]
    assert place.cause is Cause.CLEANEST
    assert place.emissions_gco2e == pytest.approx(200)
    assert place.baseline_emissions_gco2e == pytest.approx(800)
    assert place.savings_ratio == pytest.approx(0.75)


def test_jobs_are_never_on_top_of_each_other() -> None:
    plan = planned(a_job("a"), a_job("b"), a_job("c"))
    assert sorted(hours(one)[0] for one in plan.placements.values()) == [(1, 2), (2, 3), (3, 4)]


def test_the_job_with_the_least_slack_chooses_first() -> None:
    plan = planned(a_job("patient"), a_job("urgent", within_s=4 * HOUR_S))
    assert hours(plan.placements["urgent"]) == [(3, 4)]
    assert hours(plan.placements["patient"]) == [(2, 3)]


def test_higher_priority_chooses_before_less_slack() -> None:
    plan = planned(a_job("first", priority=1), a_job("urgent", within_s=4 * HOUR_S))
    assert hours(plan.placements["first"]) == [(3, 4)]


def test_clean_places_are_given_up_before_deadlines() -> None:
    # Chosen by latest start, `long` would take hours 2 to 4 and leave nothing in time for `wide`.
    long = a_job("long", duration_s=2 * HOUR_S, within_s=4 * HOUR_S)
    wide = a_job("wide", duration_s=2.5 * HOUR_S, within_s=5 * HOUR_S)
    plan = planned(long, wide, forecasts={"DE": a_series(400, 300, 100, 100, 400)})
    assert plan.refusals == {}
    assert hours(plan.placements["long"]) == [(0, 2)]
    assert hours(plan.placements["wide"]) == [(2, 4.5)]


def test_a_job_that_cannot_be_in_time_is_refused_and_runs_as_early_as_it_can() -> None:
    plan = planned(a_job(duration_s=3 * HOUR_S, within_s=2 * HOUR_S))
    assert hours(plan.placements["job"]) == [(0, 3)]
    assert plan.placements["job"].cause is Cause.LATE
    assert plan.refusals["job"].obstacle is Obstacle.DEADLINE
    assert plan.refusals["job"].earliest_finish_at_s == MIDNIGHT_S + 3 * HOUR_S
    assert "2022-03-01T02:00:00Z" in plan.refusals["job"].what


def test_a_job_in_time_is_not_pushed_out_by_a_late_one() -> None:
    late = a_job("late", duration_s=3 * HOUR_S, within_s=HOUR_S)
    plan = planned(late, a_job("good", within_s=4 * HOUR_S))
    assert set(plan.refusals) == {"late"}
    assert plan.placements["good"].end_at_s <= MIDNIGHT_S + 4 * HOUR_S


def test_taken_room_is_named_as_the_obstacle() -> None:
    plan = planned(OpenJob(job=a_job("running"), running=a_piece(0, 1)), a_job("next", within_s=1.5 * HOUR_S))
    assert plan.refusals["next"].obstacle is Obstacle.CAPACITY
    assert plan.refusals["next"].earliest_finish_at_s == MIDNIGHT_S + 2 * HOUR_S


def test_too_many_gpus_for_any_region_is_refused_for_good() -> None:
    plan = planned(a_job(gpus=9), regions=(a_region(gpus=8),))
    assert plan.placements == {}
    assert plan.refusals["job"].obstacle is Obstacle.GPUS
    assert plan.refusals["job"].earliest_finish_at_s is None


def test_a_region_that_does_not_exist_is_refused_by_name() -> None:
    plan = planned(a_job(regions=("atlantis",)))
    assert plan.refusals["job"].obstacle is Obstacle.REGION
    assert "atlantis" in plan.refusals["job"].what


def test_a_job_that_may_be_interrupted_is_refused_in_a_region_that_does_not_exist() -> None:
    pauses = Interruption(checkpoint_s=60, restore_s=60)
    refusal = planned(a_job(regions=("XX",), interruption=pauses)).refusals["job"]
    assert refusal.obstacle is Obstacle.REGION


def test_a_new_plan_keeps_the_baseline_of_the_first() -> None:
    job = a_job(power_w=1000)
    first = planned(job).placements["job"]
    assert first.baseline_emissions_gco2e == pytest.approx(400)
    again = planned(OpenJob(job=job, planned=first), now_h=1).placements["job"]
    assert again.baseline_emissions_gco2e == first.baseline_emissions_gco2e


def test_the_latest_start_is_respected_whatever_comes_after() -> None:
    place = planned(a_job(within_s=2.5 * HOUR_S)).placements["job"]
    assert hours(place) == [(1.5, 2.5)]


def test_no_slack_is_named_as_the_cause() -> None:
    assert planned(a_job(within_s=HOUR_S)).placements["job"].cause is Cause.NO_SLACK


def test_runs_early_when_nothing_is_known() -> None:
    place = planned(a_job(), forecasts={}).placements["job"]
    assert hours(place) == [(0, 1)]
    assert place.cause is Cause.NO_FORECAST
    assert place.emissions_gco2e is None
    assert place.savings_ratio is None


def test_runs_early_when_no_window_is_wholly_known() -> None:
    place = planned(a_job(duration_s=6 * HOUR_S)).placements["job"]
    assert hours(place) == [(0, 6)]
    assert place.cause is Cause.NO_FORECAST


@pytest.mark.parametrize(
    ("forecasts", "region"),
    [
        ({"DE": a_series(400, 300), "FR": a_series(90, 80, zone="FR")}, "FR"),
        ({"DE": a_series(100, 300), "FR": a_series(350, 60, zone="FR")}, "DE"),  # 400 g/kWh in two hours, not 410
        ({"DE": a_series(400, 300, 10), "FR": a_series(400, 290, zone="FR")}, "FR"),  # as far as both are known
        ({"DE": a_series(400, 300), "FR": a_series(400, 300, zone="FR")}, "DE"),
        ({"FR": a_series(90, 80, zone="FR")}, "DE"),  # what is not known is not called dirty
        ({"DE": a_series(None, 300), "FR": a_series(90, 80, zone="FR")}, "DE"),
    ],
)
def test_a_run_that_outlasts_the_forecast_goes_where_it_is_cleanest_as_far_as_one_sees(
    forecasts: Forecasts, region: str
) -> None:
    long = a_job(duration_s=6 * HOUR_S)
    place = planned(long, regions=(a_region("DE"), a_region("FR")), forecasts=forecasts).placements["job"]
    assert (hours(place), place.region) == ([(0, 6)], region)
    assert place.cause is Cause.NO_FORECAST
    assert place.emissions_gco2e is None


def test_a_run_that_outlasts_the_forecast_waits_for_no_region() -> None:
    taken = OpenJob(job=a_job("other", regions=("FR",)), running=a_piece(0, 1, "FR"))
    forecasts = {"DE": a_series(400, 300), "FR": a_series(90, 80, zone="FR")}
    regions = (a_region("DE"), a_region("FR"))
    place = planned(taken, a_job(duration_s=6 * HOUR_S), regions=regions, forecasts=forecasts).placements["job"]
    assert (hours(place), place.region) == ([(0, 6)], "DE")


def test_prefers_what_is_known_to_what_is_not() -> None:
    place = planned(a_job(), regions=(a_region("FR"), a_region("DE"))).placements["job"]
    assert place.region == "DE"


def test_marginal_and_average_numbers_are_not_compared() -> None:
    marginal = IntensitySeries.regular("FR", MIDNIGHT_S, HOUR_S, [1.0] * 4, signal=Signal.MARGINAL)
    place = planned(
        a_job(), regions=(a_region("DE"), a_region("FR")), forecasts={"DE": FALLING, "FR": marginal}
    ).placements["job"]
    assert place.region == "DE"


def test_weighs_regions_by_grams_with_their_pue() -> None:
    regions = (a_region("DE", pue=1.5), a_region("FR", pue=1.1))
    forecasts = {"DE": a_series(100), "FR": a_series(130, zone="FR")}
    place = planned(a_job(within_s=HOUR_S), regions=regions, forecasts=forecasts).placements["job"]
    assert place.region == "FR"
    assert place.emissions_gco2e == pytest.approx(143)
    assert place.baseline_emissions_gco2e == pytest.approx(150)


def test_stays_in_the_regions_that_the_job_allows() -> None:
    forecasts = {"DE": FALLING, "FR": a_series(1, 1, 1, 1, zone="FR")}
    regions = (a_region("DE"), a_region("FR"))
    assert planned(a_job(regions=("DE",)), regions=regions, forecasts=forecasts).placements["job"].region == "DE"


def test_a_running_job_is_never_moved() -> None:
    running = OpenJob(job=a_job("running"), running=a_piece(-0.5, 0.5))
    plan = planned(running, a_job("next", within_s=2 * HOUR_S))
    assert plan.placements["running"].segments == (a_piece(-0.5, 0.5),)
    assert hours(plan.placements["next"]) == [(1, 2)]


def test_the_rest_of_an_interruptible_job_follows_its_running_piece() -> None:
    pause = Interruption(checkpoint_s=600, restore_s=300)
    job = a_job("job", duration_s=2 * HOUR_S, interruption=pause)
    # The piece that runs works 50 minutes and writes its checkpoint; 70 minutes and a restore are left.
    plan = planned(OpenJob(job=job, running=a_piece(0, 1)))
    first, rest = plan.placements["job"].segments
    assert first == a_piece(0, 1)
    assert rest.end_at_s == MIDNIGHT_S + 4 * HOUR_S
    assert rest.duration_s == pytest.approx(70 * 60 + 300, abs=1e-3)


def test_a_paused_job_restores_before_it_works() -> None:
    job = a_job("job", duration_s=2 * HOUR_S, interruption=Interruption(restore_s=600))
    place = planned(OpenJob(job=job, done_s=HOUR_S)).placements["job"]
    assert sum(one.duration_s for one in place.segments) == pytest.approx(HOUR_S + 600)


def test_waiting_leaves_head_room_but_starting_at_once_does_not() -> None:
    regions = (a_region(gpus=8),)
    jobs = [a_job(f"job {index}", gpus=2) for index in range(4)]
    plan = planned(*jobs, regions=regions, reserve_ratio=0.25)
    taken = most_taken(held_by(plan, [OpenJob(job=one) for one in jobs]), "DE")
    assert taken == 6
    crowded = [a_job(f"job {index}", gpus=2, within_s=HOUR_S) for index in range(4)]
    assert planned(*crowded, regions=regions, reserve_ratio=0.25).refusals == {}


def placed(newcomer: Job, *others: OpenJob, gpus: int = 1) -> Placement | Refusal:
    return FleetPlanner().place(OpenJob(job=newcomer), others, (a_region(gpus=gpus),), {"DE": FALLING}, MIDNIGHT_S)


def test_a_newcomer_goes_beside_the_others() -> None:
    other = OpenJob(
        job=a_job("other"), planned=Placement(job_id="other", segments=(a_piece(3, 4),), cause=Cause.CLEANEST)
    )
    place = placed(a_job("new"), other)
    assert isinstance(place, Placement)
    assert hours(place) == [(2, 3)]


def test_a_newcomer_without_room_is_refused_with_the_first_finish() -> None:
    other = OpenJob(job=a_job("other"), running=a_piece(0, 2))
    answer = placed(a_job("new", within_s=2 * HOUR_S), other)
    assert isinstance(answer, Refusal)
    assert answer.obstacle is Obstacle.CAPACITY
    assert answer.earliest_finish_at_s == MIDNIGHT_S + 3 * HOUR_S


def test_a_newcomer_does_not_wait_while_somebody_is_late_for_want_of_gpus() -> None:
    late = Placement(job_id="other", segments=(a_piece(6, 9),), cause=Cause.LATE)
    place = placed(a_job("new"), OpenJob(job=a_job("other"), planned=late))
    assert isinstance(place, Placement)
    assert hours(place) == [(0, 1)]
    assert place.cause is Cause.RUN_NOW


def test_nothing_waits_for_carbon_while_somebody_is_late_for_want_of_gpus() -> None:
    crowd = [a_job(f"job {index}", duration_s=2 * HOUR_S, within_s=3 * HOUR_S) for index in range(2)]
    plan = planned(*crowd, a_job("patient"))
    assert hours(plan.placements["job 0"]) == [(0, 2)]
    assert hours(plan.placements["job 1"]) == [(2, 4)]
    assert plan.placements["patient"].cause in (Cause.RUN_NOW, Cause.NO_FORECAST)


def test_first_come_first_served_gives_way_to_an_order_in_which_nobody_is_late() -> None:
    patient = a_job("patient", duration_s=2 * HOUR_S, within_s=9 * HOUR_S, submitted_at_s=MIDNIGHT_S - 2)
    plan = planned(patient, a_job("urgent", within_s=HOUR_S))
    assert plan.refusals == {}
    assert hours(plan.placements["urgent"]) == [(0, 1)]


def test_one_that_running_at_once_would_have_met_goes_before_those_late_anyway() -> None:
    early = a_job("early", duration_s=2 * HOUR_S, within_s=2 * HOUR_S, submitted_at_s=MIDNIGHT_S - 2)
    owed = a_job("owed", duration_s=2 * HOUR_S, within_s=2 * HOUR_S, submitted_at_s=MIDNIGHT_S - 1)
    plan = planned(OpenJob(job=early, met_at_once=False), OpenJob(job=owed, met_at_once=True))
    assert hours(plan.placements["owed"]) == [(0, 2)]
    assert set(plan.refusals) == {"early"}


def test_when_somebody_is_late_in_any_case_the_first_to_come_is_the_first_to_run() -> None:
    first = a_job("first", duration_s=2 * HOUR_S, within_s=3 * HOUR_S, submitted_at_s=MIDNIGHT_S - 2)
    second = a_job("second", duration_s=2 * HOUR_S, within_s=2 * HOUR_S, submitted_at_s=MIDNIGHT_S - 1)
    plan = planned(OpenJob(job=first, met_at_once=True), OpenJob(job=second, met_at_once=False))
    assert hours(plan.placements["first"]) == [(0, 2)]
    assert set(plan.refusals) == {"second"}


def test_one_hopeless_job_does_not_stop_the_others_from_waiting() -> None:
    plan = planned(a_job("hopeless", gpus=9), a_job("patient"))
    assert hours(plan.placements["patient"]) == [(3, 4)]


def test_an_empty_fleet_has_an_empty_plan() -> None:
    assert planned() == Plan(made_at_s=MIDNIGHT_S)

"""When a new plan keeps a place and when it moves it, worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption, Job
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Cause, Placement, Segment
from scheduler.planning.planner import OpenJob
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

FALLING = a_series(400, 300, 200, 100)


def a_piece(start_h: float, end_h: float, region: str = "DE") -> Segment:
    return Segment(start_at_s=MIDNIGHT_S + start_h * HOUR_S, end_at_s=MIDNIGHT_S + end_h * HOUR_S, region=region)


def at_hour(job: Job, *starts_h: float, lasts_h: float = 1, cause: Cause = Cause.CLEANEST) -> OpenJob:
    pieces = tuple(a_piece(one, one + lasts_h) for one in starts_h)
    return OpenJob(job=job, planned=Placement(job_id=job.id, segments=pieces, cause=cause, emissions_gco2e=1.0))


def starts_h(
    jobs: Sequence[OpenJob], series: IntensitySeries, *, hysteresis_ratio: float = 0.0, now_h: float = 0, gpus: int = 1
) -> dict[str, float]:
    planner = FleetPlanner(reserve_ratio=0.0, hysteresis_ratio=hysteresis_ratio)
    plan = planner.plan(jobs, (a_region(gpus=gpus),), {"DE": series}, MIDNIGHT_S + now_h * HOUR_S)
    return {name: (one.start_at_s - MIDNIGHT_S) / HOUR_S for name, one in plan.placements.items()}


def refilled_h(jobs: Sequence[OpenJob], freed: Sequence[Segment], *, gpus: int = 1) -> dict[str, float]:
    planner = FleetPlanner(reserve_ratio=0.0)
    plan = planner.refill(jobs, [(one, 1) for one in freed], (a_region(gpus=gpus),), {"DE": FALLING}, MIDNIGHT_S)
    return {name: (one.start_at_s - MIDNIGHT_S) / HOUR_S for name, one in plan.placements.items()}


def test_an_equal_place_is_no_reason_to_move() -> None:
    assert starts_h([at_hour(a_job(), 2)], a_series(400, 100, 100, 100)) == {"job": 2}


def test_any_cleaner_place_is_one_when_no_margin_is_asked() -> None:
    assert starts_h([at_hour(a_job(), 2)], a_series(400, 100, 100, 99)) == {"job": 3}


@pytest.mark.parametrize(("cleaner", "start_h"), [(96, 2), (94, 3)])
def test_with_a_margin_of_five_percent_a_place_moves_for_more_than_that(cleaner: float, start_h: float) -> None:
    revised = a_series(400, 300, 100, cleaner)
    assert starts_h([at_hour(a_job(), 2)], revised, hysteresis_ratio=0.05) == {"job": start_h}


def test_two_jobs_do_not_change_places_because_the_one_with_less_slack_now_chooses_first() -> None:
    urgent, patient = a_job("urgent", within_s=4 * HOUR_S), a_job("patient")
    assert starts_h([at_hour(urgent, 2), at_hour(patient, 3)], FALLING) == {"urgent": 2, "patient": 3}
    assert starts_h([OpenJob(job=urgent), OpenJob(job=patient)], FALLING) == {"urgent": 3, "patient": 2}


@pytest.mark.parametrize(("margin", "narrow_h", "wide_h"), [(0.1, 2, 3), (0.25, 3, 2)])
def test_two_jobs_change_places_where_that_saves_more_than_the_margin_of_what_both_emit(
    margin: float, narrow_h: float, wide_h: float
) -> None:
    # "wide" needs both GPUs, so neither can move alone. Together they emit 500 g before and 400 g after.
    narrow, wide = at_hour(a_job("narrow", within_s=4 * HOUR_S), 3), at_hour(a_job("wide", gpus=2, power_w=2000.0), 2)
    found = starts_h([narrow, wide], FALLING, hysteresis_ratio=margin, gpus=2)
    assert found == {"narrow": narrow_h, "wide": wide_h}


def test_the_job_with_the_most_gpu_time_has_the_clean_hour_where_all_of_it_emits_less_by_that() -> None:
    narrow, wide = a_job("narrow", within_s=4 * HOUR_S), a_job("wide", gpus=2, power_w=2000.0)
    assert starts_h([OpenJob(job=narrow), OpenJob(job=wide)], FALLING, gpus=2) == {"narrow": 2, "wide": 3}


def test_with_more_jobs_than_can_be_searched_quickly_the_plan_so_far_is_only_mended() -> None:
    narrow = at_hour(a_job("narrow", within_s=4 * HOUR_S, regions=("DE",)), 3)
    wide = at_hour(a_job("wide", gpus=2, power_w=2000.0, regions=("DE",)), 2)
    pauses = [
        OpenJob(job=a_job(f"pauses-{number}", regions=("FR",), within_s=HOUR_S, interruption=Interruption()))
        for number in range(21)
    ]
    regions, forecasts = (a_region(gpus=2), a_region("FR", gpus=21)), {"DE": FALLING, "FR": a_series(100, zone="FR")}
    plan = FleetPlanner(reserve_ratio=0.0).plan([narrow, wide, *pauses], regions, forecasts, MIDNIGHT_S)
    assert plan.placements["narrow"].segments == (a_piece(3, 4),)
    fewer = FleetPlanner(reserve_ratio=0.0).plan([narrow, wide], regions, forecasts, MIDNIGHT_S)
    assert fewer.placements["narrow"].segments == (a_piece(2, 3),)


def test_a_baseline_is_known_for_a_job_that_was_moved_within_its_first_plan() -> None:
    jobs = [OpenJob(job=a_job(f"job-{number}", gpus=1 + number % 2)) for number in range(4)]
    plan = FleetPlanner(reserve_ratio=0.0).plan(jobs, (a_region(gpus=2),), {"DE": FALLING}, MIDNIGHT_S)
    assert all(place.baseline_emissions_gco2e is not None for place in plan.placements.values())


def test_a_place_whose_room_is_gone_is_found_anew() -> None:
    runs = OpenJob(job=a_job("runs", duration_s=3 * HOUR_S), running=a_piece(0, 3))
    assert starts_h([runs, at_hour(a_job(), 2)], FALLING)["job"] == 3


def test_a_place_that_leaves_no_head_room_any_more_is_found_anew() -> None:
    runs = OpenJob(job=a_job("runs", gpus=3, duration_s=3 * HOUR_S), running=a_piece(0, 3))
    planner = FleetPlanner(reserve_ratio=0.25, hysteresis_ratio=0.9)
    plan = planner.plan([runs, at_hour(a_job(), 2)], (a_region(gpus=4),), {"DE": FALLING}, MIDNIGHT_S)
    assert plan.placements["job"].segments == (a_piece(3, 4),)


def test_a_place_that_lies_behind_is_found_anew() -> None:
    assert starts_h([at_hour(a_job(), 2)], a_series(400, 300, 100, 200, 150), now_h=2.5)["job"] >= 2.5


def test_a_place_of_another_length_than_the_job_is_found_anew() -> None:
    assert starts_h([at_hour(a_job(duration_s=2 * HOUR_S), 1)], FALLING) == {"job": 2}


def test_a_place_that_the_newest_forecast_does_not_know_is_found_anew() -> None:
    assert starts_h([at_hour(a_job(), 6)], FALLING, hysteresis_ratio=0.5) == {"job": 3}


def test_a_place_that_was_not_chosen_for_its_carbon_is_found_anew() -> None:
    assert starts_h([at_hour(a_job(), 1, cause=Cause.RUN_NOW)], FALLING, hysteresis_ratio=0.9) == {"job": 3}


def test_a_plan_in_pieces_is_kept_as_a_whole() -> None:
    job = a_job(duration_s=2 * HOUR_S, interruption=Interruption())
    series = a_series(100, 400, 101, 100)
    assert starts_h([at_hour(job, 0, 2)], series, hysteresis_ratio=0.05) == {"job": 0}
    plan = FleetPlanner(reserve_ratio=0.0, hysteresis_ratio=0.05).plan(
        [at_hour(job, 0, 2)], (a_region(),), {"DE": series}, MIDNIGHT_S
    )
    assert plan.placements["job"].segments == (a_piece(0, 1), a_piece(2, 3))


def test_a_newcomer_without_room_beside_kept_places_makes_them_move() -> None:
    tight = OpenJob(job=a_job("tight", earliest_s=MIDNIGHT_S + 3 * HOUR_S, within_s=HOUR_S))
    assert starts_h([at_hour(a_job(), 3), tight], FALLING) == {"tight": 3, "job": 2}


def test_who_gains_by_room_that_came_free_moves_there() -> None:
    assert refilled_h([at_hour(a_job(), 1)], [a_piece(3, 4)]) == {"job": 3}


def test_who_cannot_gain_by_room_that_came_free_is_not_part_of_the_answer() -> None:
    assert refilled_h([at_hour(a_job(), 3)], [a_piece(0, 2)]) == {}


def test_what_moves_into_free_room_leaves_its_own_to_those_behind_it() -> None:
    first, second = at_hour(a_job("first", within_s=12 * HOUR_S), 2), at_hour(a_job("second"), 1)
    assert refilled_h([first, second], [a_piece(3, 4)]) == {"first": 3, "second": 2}


def test_room_without_a_waiting_job_asks_for_nothing() -> None:
    runs = OpenJob(job=a_job(), running=a_piece(0, 1))
    assert refilled_h([runs], [a_piece(0, 2)], gpus=2) == {}


def test_free_room_makes_a_whole_plan_when_somebody_did_not_wait_for_carbon() -> None:
    assert refilled_h([at_hour(a_job(), 1, cause=Cause.LATE), at_hour(a_job("b"), 0)], []) == {"job": 3, "b": 2}


def test_the_baseline_of_the_first_plan_stays_where_a_job_moves_into_free_room() -> None:
    waits = at_hour(a_job(), 1)
    assert waits.planned is not None
    waits = replace(waits, planned=replace(waits.planned, baseline_emissions_gco2e=400.0))
    plan = FleetPlanner().refill([waits], [(a_piece(3, 4), 1)], (a_region(),), {"DE": FALLING}, MIDNIGHT_S)
    assert plan.placements["job"].baseline_emissions_gco2e == 400.0
    assert plan.placements["job"].emissions_gco2e == pytest.approx(100.0)

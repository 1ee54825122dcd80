"""Why a job is where it is, on grids of a few hours worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intensity_feeds.feed import Answer, Rung
from intensity_feeds.series import IntensitySeries, Signal
from scheduler.jobs import Interruption, Job
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.choices import Beside, Grid
from scheduler.planning.plan import Cause, Hold, Region, Segment
from scheduler.planning.reasons.explanation import (
    Explanation,
    LimitKind,
    Placed,
    emissions_of,
    explain,
    ground_of_answer,
    ground_of_trace,
)
from scheduler.planning.reasons.explanation_text import as_json, one_line, sentences
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series


def hours(first: float, last: float, region: str = "DE") -> Segment:
    return Segment(start_at_s=MIDNIGHT_S + first * HOUR_S, end_at_s=MIDNIGHT_S + last * HOUR_S, region=region)


def explained(
    job: Job,
    *segments: Segment,
    series: tuple[IntensitySeries, ...],
    taken: tuple[Segment, ...] = (),
    regions: tuple[Region, ...] = (),
    not_before_h: float = 0.0,
    reserve_ratio: float = 0.0,
    **fields: object,
) -> Explanation:
    fleet = regions or tuple(a_region(one.zone) for one in series)
    grid = Grid(regions=fleet, forecasts={one.zone: one for one in series})
    occupancy = Occupancy.of(fleet, [((one,), 1) for one in taken])
    placed = Placed(
        job=job,
        segments=segments,
        cause=Cause.CLEANEST,
        emissions_gco2e=emissions_of(grid, job.power_w, segments),
        room=Beside(occupancy=occupancy, regions=fleet, reserve_ratio=reserve_ratio),
        room_without_reserve=Beside(occupancy=occupancy, regions=fleet) if reserve_ratio else None,
        empty=Beside(occupancy=Occupancy(fleet), regions=fleet),
        not_before_s=MIDNIGHT_S + not_before_h * HOUR_S,
        at_once=hours(0, 1),
        at_once_gco2e=500.0,
    )
    changed = replace(placed, **fields)  # type: ignore[arg-type]
    return explain(changed, grid, {one.zone: ground_of_trace(one) for one in series})


def limits(explanation: Explanation) -> dict[LimitKind, float | None]:
    return {one.kind: one.saves_gco2e for one in explanation.limits}


def test_the_cleanest_place_of_all_is_held_by_nothing() -> None:
    found = explained(a_job(within_s=4 * HOUR_S), hours(2, 3), series=(a_series(500, 400, 100, 300),))
    assert (found.emissions_gco2e, found.saves_gco2e, found.saves_ratio) == (100, 400, 0.8)
    assert (found.limits, found.binds) == ((), None)
    assert found.next_best is not None and found.next_best.emissions_gco2e == 300


def test_a_deadline_binds_when_a_later_finish_would_be_cleaner() -> None:
    found = explained(a_job(within_s=2 * HOUR_S), hours(1, 2), series=(a_series(500, 400, 100, 300),))
    assert limits(found) == {LimitKind.DEADLINE: 300}
    assert found.limits[0].instead is not None and found.limits[0].instead.segments == (hours(2, 3),)


def test_an_earliest_start_binds_when_the_hours_before_it_are_cleaner() -> None:
    job = a_job(earliest_s=MIDNIGHT_S + 2 * HOUR_S, within_s=2 * HOUR_S)
    found = explained(job, hours(3, 4), series=(a_series(200, 100, 500, 400),))
    assert limits(found) == {LimitKind.EARLIEST_START: 300}
    now = explained(job, hours(3, 4), series=(a_series(200, 100, 500, 400),), not_before_h=2)
    assert limits(now) == {}


def test_capacity_binds_and_the_hours_are_named_in_which_others_hold_the_room() -> None:
    job = a_job(within_s=4 * HOUR_S)
    series = a_series(500, 400, 100, 300)
    found = explained(job, hours(2.75, 3.75), series=(series,), taken=(hours(1.5, 2.75),))
    # A quarter of it at 100 and the rest at 300 is 250; alone it would have the whole hour at 100.
    assert limits(found) == {LimitKind.CAPACITY: 150}
    assert found.limits[0].taken == ((MIDNIGHT_S + 2 * HOUR_S, MIDNIGHT_S + 2.75 * HOUR_S),)


def test_a_cleaner_place_that_is_free_is_the_plans_own_and_no_limits() -> None:
    job = a_job(within_s=3 * HOUR_S)
    found = explained(job, hours(1, 2), series=(a_series(500, 400, 100, 100),))
    assert limits(found) == {LimitKind.PLAN: 300}
    assert dict(sentences(found))["held by"].endswith("which is free and which the plan has not taken")
    assert one_line(found) == "plan: 75.0% less is free"


def test_a_job_that_is_late_runs_as_early_as_it_can_and_nothing_is_claimed() -> None:
    found = explained(a_job(within_s=HOUR_S), hours(1, 2), series=(a_series(500, 400, 100),), cause=Cause.LATE)
    assert (found.limits, found.next_best) == ((), None)
    assert dict(sentences(found))["saves"].startswith("nothing: it cannot be in time any more")
    assert "held by" not in dict(sentences(found))


def test_regions_bind_when_one_that_is_not_allowed_is_cleaner() -> None:
    series = (a_series(500, 400), a_series(50, 60, zone="FR"))
    found = explained(a_job(within_s=2 * HOUR_S, regions=("DE",)), hours(1, 2), series=series)
    assert limits(found) == {LimitKind.REGIONS: 350}


def test_head_room_binds_when_only_the_reserve_stands_in_the_way() -> None:
    fleet = (a_region(gpus=4),)
    series = (a_series(500, 400, 100, 300),)
    other = hours(2, 3)
    found = explained(
        a_job(within_s=4 * HOUR_S, gpus=2), hours(3, 4), series=series, regions=fleet, taken=(other,), reserve_ratio=0.5
    )
    assert limits(found)[LimitKind.HEAD_ROOM] == 200


def test_a_forecast_that_ends_before_the_deadline_is_told_last_and_without_a_number() -> None:
    found = explained(a_job(within_s=9 * HOUR_S), hours(2, 3), series=(a_series(500, 400, 100, 300),))
    assert limits(found) == {LimitKind.FORECAST_END: None}
    assert found.limits[-1].known_until_s == MIDNIGHT_S + 4 * HOUR_S


def test_the_next_best_is_an_hour_apart_or_elsewhere() -> None:
    # Half an hour later is nearly the same choice: 110. An hour apart: 300 before; in France 120 at the same time.
    job = a_job(within_s=4 * HOUR_S)
    here = explained(job, hours(2, 3), series=(a_series(500, 300, 100, 300),))
    assert here.next_best is not None and here.next_best.segments == (hours(1, 2),)
    both = explained(job, hours(2, 3), series=(a_series(500, 300, 100, 300), a_series(400, 400, 120, 400, zone="FR")))
    assert both.next_best is not None and both.next_best.segments == (hours(2, 3, "FR"),)


def test_a_job_in_pieces_is_beside_the_best_single_piece() -> None:
    job = a_job(duration_s=2 * HOUR_S, within_s=4 * HOUR_S, interruption=Interruption())
    found = explained(job, hours(0, 1), hours(2, 3), series=(a_series(100, 500, 100, 300),))
    assert found.next_best is not None and found.next_best.segments == (hours(2, 4),)


def test_pauses_that_take_time_are_weighed_in_the_only_region_there_is() -> None:
    pause = Interruption(checkpoint_s=600, restore_s=600)
    job = a_job(duration_s=2 * HOUR_S, within_s=3 * HOUR_S, interruption=pause)
    found = explained(job, hours(0, 2), series=(a_series(500, 400, 300, 100),))
    assert found.binds is LimitKind.DEADLINE
    assert found.next_best is not None and found.next_best.segments == (hours(1, 3),)


def test_numbers_of_another_kind_are_not_compared() -> None:
    series = (a_series(500, 400), replace(a_series(50, 60, zone="FR"), signal=Signal.MARGINAL))
    found = explained(a_job(within_s=2 * HOUR_S, regions=("DE",)), hours(1, 2), series=series)
    assert limits(found) == {}


def test_where_nothing_is_known_nothing_is_claimed() -> None:
    found = explained(a_job(within_s=20 * HOUR_S), hours(10, 11), series=(a_series(500, 400),))
    assert (found.emissions_gco2e, found.limits, found.next_best) == (None, (), None)
    said = dict(sentences(found))
    assert said["saves"] == "nothing that is known: the forecast does not reach, so it runs early"
    assert "held by" not in said
    assert as_json(found)["emissions_gco2e"] is None


def test_a_job_that_runs_has_no_other_choice_any_more() -> None:
    found = explained(a_job(within_s=4 * HOUR_S), hours(0, 1), series=(a_series(500, 400, 100, 300),), is_running=True)
    assert (found.limits, found.next_best) == ((), None)
    assert dict(sentences(found))["held by"] == "its run: it has begun, and is not moved"


def test_the_sentences_name_place_saving_limit_next_best_and_forecast() -> None:
    found = explained(
        a_job(within_s=4 * HOUR_S), hours(3, 4), series=(a_series(500, 400, 100, 300),), taken=(hours(2, 3),)
    )
    assert sentences(found) == [
        ("runs", "in DE from 2022-03-01 03:00 to 04:00Z"),
        ("saves", "200 g (40.0%) against starting at once in DE at 2022-03-01 00:00Z"),
        (
            "held by",
            "capacity: 200 g (66.7%) less in DE from 2022-03-01 02:00 to 03:00Z, "
            "but others hold the room from 2022-03-01 02:00 to 03:00Z",
        ),
        ("next best", "in DE from 2022-03-01 01:00 to 02:00Z: 100 g (33.3%) more"),
        ("forecast", "of DE: recorded from trace, known until 2022-03-01 04:00Z"),
    ]
    assert one_line(found) == "capacity: 66.7% less in hours that others hold"


def test_a_live_answer_says_feed_rung_and_issue() -> None:
    answer = Answer(series=a_series(1, 2), rung=Rung.CACHED, feed="uk_carbon", age_s=600.0)
    ground = ground_of_answer(answer, MIDNIGHT_S)
    assert (ground.feed, ground.rung, ground.issued_at_s) == ("uk_carbon", Rung.CACHED, MIDNIGHT_S - 600)


@pytest.mark.parametrize("at_once_gco2e", [None, 0.0])
def test_a_saving_without_a_base_has_no_share(at_once_gco2e: float | None) -> None:
    found = explained(
        a_job(within_s=2 * HOUR_S), hours(0, 1), series=(a_series(500, 600),), at_once_gco2e=at_once_gco2e
    )
    assert found.saves_ratio is None
    assert "not known" in dict(sentences(found))["saves"]


def test_held_gpus_bind_and_the_hours_are_named_in_which_they_are_held() -> None:
    hold = Hold(start_at_s=hours(2, 3).start_at_s, end_at_s=hours(2, 3).end_at_s, gpus=8)
    fleet = (replace(a_region(gpus=8), held=(hold,)),)
    free = (a_region(gpus=8),)
    found = explained(
        a_job(within_s=4 * HOUR_S),
        hours(3, 4),
        series=(a_series(500, 400, 100, 300),),
        regions=fleet,
        unheld=Beside(occupancy=Occupancy(free), regions=free),
    )
    assert limits(found) == {LimitKind.HELD: 200}
    assert found.limits[0].taken == ((hours(2, 3).start_at_s, hours(2, 3).end_at_s),)
    assert "but GPUs are reserved or in maintenance from" in dict(sentences(found))["held by"]
    assert one_line(found) == "held GPUs: 66.7% less on GPUs that are held"


def test_a_budget_binds_when_the_job_would_have_started_in_a_cleaner_hour_of_the_period_before() -> None:
    job = a_job(earliest_s=MIDNIGHT_S + 2 * HOUR_S, within_s=2 * HOUR_S)
    waiting = replace(job, asked_earliest_start_at_s=MIDNIGHT_S)
    found = explained(waiting, hours(3, 4), series=(a_series(200, 100, 500, 400),))
    assert limits(found) == {LimitKind.BUDGET: 300}
    assert dict(sentences(found))["held by"].endswith("but its tenant's budget pays from the next period on")
    # What it never asked for is not the budget's fault.
    assert (
        limits(
            explained(
                replace(job, asked_earliest_start_at_s=job.earliest_start_at_s),
                hours(3, 4),
                series=(a_series(200, 100, 500, 400),),
            )
        )
        == {}
    )

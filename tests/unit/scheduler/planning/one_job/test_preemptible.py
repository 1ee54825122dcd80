"""Jobs in pieces, worked by hand."""

from __future__ import annotations

import pytest

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption
from scheduler.planning.one_job.preemptible import Pieces, Work, cheapest_pieces
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_curve, a_series


def found(
    *series: IntensitySeries,
    work_h: float,
    within_h: float | None = None,
    pause: Interruption = Interruption(),  # noqa: B008  frozen
    per_pause: float = 0.0,
    restores_first: bool = False,
    max_cells: int = 10**6,
) -> Pieces:
    end_at_s = series[0].end_at_s if within_h is None else MIDNIGHT_S + within_h * HOUR_S
    work = Work(
        work_s=work_h * HOUR_S,
        earliest_s=MIDNIGHT_S,
        deadline_s=end_at_s,
        interruption=pause,
        interruption_g_s_per_kwh=per_pause,
        restores_first=restores_first,
    )
    pieces = cheapest_pieces([a_curve(one) for one in series], work, max_cells=max_cells)
    assert pieces is not None
    return pieces


def hours(pieces: Pieces) -> list[tuple[float, float]]:
    return [((one.start_at_s - MIDNIGHT_S) / HOUR_S, (one.end_at_s - MIDNIGHT_S) / HOUR_S) for one in pieces.segments]


def test_free_pauses_take_the_cleanest_hours() -> None:
    assert hours(found(a_series(100, 300, 50, 300, 70), work_h=3)) == [(0, 1), (2, 3), (4, 5)]


def test_the_marginal_hour_is_run_in_part_and_makes_no_further_piece() -> None:
    # 2.5 hours: the hours of 50 and 70 whole, and the half of the 100 that adjoins the 50.
    assert hours(found(a_series(100, 50, 300, 70), work_h=2.5)) == [(0.5, 2), (3, 4)]


def test_pieces_may_lie_in_different_zones() -> None:
    pieces = found(a_series(100, 300, zone="DE"), a_series(200, 50, zone="FR"), work_h=2)
    assert [one.region for one in pieces.segments] == ["DE", "FR"]
    assert pieces.integral_g_s_per_kwh == pytest.approx(150 * HOUR_S)


def test_one_piece_wins_among_equals() -> None:
    assert hours(found(a_series(100, 200, 100, 100), work_h=2)) == [(2, 4)]


def test_overhead_is_time_and_energy_at_both_sides_of_a_pause() -> None:
    pause = Interruption(checkpoint_s=HOUR_S, restore_s=HOUR_S)
    # Four hours of work: 2 + checkpoint, then restore + 2.
    pieces = found(a_series(10, 10, 10, 900, 10, 10, 10), work_h=4, pause=pause)
    assert hours(pieces) == [(0, 3), (4, 7)]
    assert pieces.integral_g_s_per_kwh == pytest.approx(60 * HOUR_S)


def test_a_pause_that_costs_more_than_it_saves_is_not_made() -> None:
    series = a_series(100, 150, 100)
    assert hours(found(series, work_h=2, per_pause=49 * HOUR_S)) == [(0, 1), (2, 3)]
    assert hours(found(series, work_h=2, per_pause=51 * HOUR_S)) == [(0, 2)]


def test_no_piece_is_shorter_than_the_shortest_run() -> None:
    series = a_series(10, 500, 10, 10, 500, 10)
    assert hours(found(series, work_h=4)) == [(0, 1), (2, 4), (5, 6)]
    shortest = Interruption(min_run_s=2 * HOUR_S)
    assert hours(found(series, work_h=4, pause=shortest)) == [(0, 4)]


def test_the_first_piece_restores_only_after_an_earlier_pause() -> None:
    pause = Interruption(restore_s=HOUR_S)
    assert hours(found(a_series(10, 10, 500), work_h=1, pause=pause)) == [(0, 1)]
    assert hours(found(a_series(10, 10, 500), work_h=1, pause=pause, restores_first=True)) == [(0, 2)]


def test_pieces_end_by_the_deadline_and_hold_all_the_work() -> None:
    pause = Interruption(checkpoint_s=600, restore_s=300)
    pieces = found(a_series(10, 400, 20, 400, 15, 400, 12, 1), work_h=3, within_h=7, pause=pause)
    assert pieces.segments[-1].end_at_s <= MIDNIGHT_S + 7 * HOUR_S
    assert sum(one.duration_s for one in pieces.segments) == pytest.approx(3 * HOUR_S + 900 * pieces.pauses)


def test_gaps_are_never_run_through() -> None:
    assert hours(found(a_series(100, None, 100), work_h=2)) == [(0, 1), (2, 3)]


def test_too_little_known_time_is_no_answer() -> None:
    work = Work(work_s=3 * HOUR_S, earliest_s=MIDNIGHT_S, deadline_s=MIDNIGHT_S + 9 * HOUR_S)
    assert cheapest_pieces([a_curve(a_series(100, None, 100))], work) is None
    assert cheapest_pieces([], work) is None


def test_times_without_a_common_unit_are_rounded_to_the_safe_side_and_said_so() -> None:
    series = a_series(10, 400, 20, 400, 15, 400, 12, 400)
    pause = Interruption(checkpoint_s=61.7, restore_s=11.3)
    work = Work(
        work_s=3 * HOUR_S + 0.123456,
        earliest_s=MIDNIGHT_S + 7.654321,
        deadline_s=MIDNIGHT_S + 8 * HOUR_S,
        interruption=pause,
    )
    pieces = cheapest_pieces([a_curve(series)], work)
    assert pieces is not None
    assert not pieces.is_exact
    assert pieces.segments[0].start_at_s >= work.earliest_s
    assert pieces.segments[-1].end_at_s <= work.deadline_s
    assert sum(one.duration_s for one in pieces.segments) == pytest.approx(work.held_s(len(pieces.segments)))
    # Within one minute of 400 g for each border of the exact choice.
    exact = 10 * HOUR_S + 20 * HOUR_S + 15 * HOUR_S
    assert pieces.integral_g_s_per_kwh < exact + 6 * 120 * 400


def test_a_table_too_big_falls_back_to_a_coarser_grid() -> None:
    series = a_series(10, 400, 20, 400, 15, 400, 12, 400)
    pieces = found(series, work_h=3, pause=Interruption(checkpoint_s=60), max_cells=40)
    assert not pieces.is_exact
    assert sum(one.duration_s for one in pieces.segments) == pytest.approx(3 * HOUR_S + 60 * pieces.pauses)


def test_every_pause_is_charged() -> None:
    # Three pieces would cost 40 and two pauses of 25, two cost 60 and one pause.
    series = a_series(10, 10, 80, 10, 30, 10)
    assert hours(found(series, work_h=4, per_pause=25 * HOUR_S)) == [(0, 2), (3, 5)]


def test_pieces_that_are_cheaper_only_once_trimmed_are_found_on_a_rounded_grid() -> None:
    # Two hours and 22 seconds, rounded to 121 minutes. In one piece: an hour of 100, one of 100.4, 22 s of 100.
    # The hours of 100 and 22 s of 100.4 cost less, but with all of the 121st minute they would cost more.
    pause = Interruption(min_run_s=1800.0)
    pieces = found(a_series(100, 100.4, 100, 200), work_h=2 + 22 / HOUR_S, pause=pause, max_cells=20_000)
    assert not pieces.is_exact
    assert len(pieces.segments) == 2
    assert pieces.integral_g_s_per_kwh == pytest.approx(200 * HOUR_S + 22 * 100.4)

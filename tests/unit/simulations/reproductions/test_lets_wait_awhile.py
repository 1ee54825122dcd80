"""Let's Wait Awhile by hand: deadlines, windows, both executions, noise, and the nightly job."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from simulations.reproductions.lets_wait_awhile import (
    ShiftableJobs,
    jobs_of,
    lowest_mean_starts,
    lowest_steps,
    next_workday,
    nightly_mean_gco2e_per_kwh,
    nightly_starts,
    noisy,
    semi_weekly,
)
from simulations.reproductions.tables import CellError
from tests.unit.simulations.reproductions.packs import a_pack, a_row, answers


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def jobs(issue: int = 0, duration: int = 2, window: int = 5) -> ShiftableJobs:
    return ShiftableJobs(issue=np.array([issue]), duration=np.array([duration]), window=np.array([window]))


@pytest.mark.parametrize(
    ("nominal_end", "deadline"),
    [
        ("2020-01-06T12:00", "2020-01-06T12:00"),  # Monday noon: somebody is there
        ("2020-01-06T17:00", "2020-01-06T17:00"),
        ("2020-01-06T17:30", "2020-01-07T09:00"),
        ("2020-01-06T03:00", "2020-01-06T09:00"),
        ("2020-01-10T18:00", "2020-01-11T09:00"),  # Friday evening: Saturday, as in the original
        ("2020-01-11T12:00", "2020-01-13T09:00"),
        ("2020-01-12T03:00", "2020-01-13T09:00"),
    ],
)
def test_the_next_workday_begins_at_nine(nominal_end: str, deadline: str) -> None:
    assert next_workday(at(nominal_end)) == at(deadline)


@pytest.mark.parametrize(
    ("nominal_end", "deadline"),
    [
        ("2020-01-06T09:00", "2020-01-06T09:00"),
        ("2020-01-06T09:30", "2020-01-09T09:00"),
        ("2020-01-09T10:00", "2020-01-13T09:00"),
        ("2020-01-07T00:00", "2020-01-09T09:00"),
    ],
)
def test_a_semi_weekly_deadline_is_monday_or_thursday_at_nine(nominal_end: str, deadline: str) -> None:
    assert semi_weekly(at(nominal_end)) == at(deadline)


def test_one_piece_starts_at_the_lowest_mean_inside_its_window_the_earliest_of_equals() -> None:
    forecast = np.array([9.0, 3.0, 5.0, 4.0, 4.0, 0.0])
    assert lowest_mean_starts(jobs(), forecast).tolist() == [1]  # 3 + 5 = 4 + 4; the step of zero lies outside


def test_pieces_take_the_lowest_steps_of_the_window() -> None:
    steps, runs = lowest_steps(jobs(), np.array([9.0, 3.0, 5.0, 4.0, 4.5, 0.0]))
    assert steps[runs].tolist() == [1, 3]


def test_savings_stand_against_a_baseline_that_may_start_one_step_late() -> None:
    # Two steps of work issued at step 0. Baseline: 10+8 or 8+6, hence 14. Window of five: 2+2. 1 - 4/14.
    pack = a_pack(
        {"X": [10, 8, 6, 2, 2, 9]},
        {"jobs_made_up": [{"issue_step": 0, "duration_steps": 2, "window_steps": 5}]},
    )
    row = a_row(region="X", constraint="made_up", execution="non_interruptible", forecast_error_pct=0)
    assert answers("lets_wait_awhile", "expected_savings", pack, row)[0]["savings_pct"] == pytest.approx(100 * 10 / 14)


def test_interruptible_work_leaves_out_the_dirty_step_between() -> None:
    pack = a_pack(
        {"X": [10, 8, 2, 9, 2, 9]},
        {"jobs_made_up": [{"issue_step": 0, "duration_steps": 2, "window_steps": 5}]},
    )
    row = a_row(region="X", constraint="made_up", execution="interruptible", forecast_error_pct=0)
    assert answers("lets_wait_awhile", "expected_savings", pack, row)[0]["savings_pct"] == pytest.approx(60.0)


def test_a_constraint_without_a_list_takes_another_list_by_its_rule() -> None:
    # Issued Wednesday 2020-01-01 00:00, one hour: Thursday 09:00 is 66 half-hours later, and the step starting there.
    pack = a_pack({}, {"jobs_next_workday": [{"issue_step": 0, "duration_steps": 2, "window_steps": 19}]})
    assert jobs_of(pack, "next_workday").window.tolist() == [19]
    assert jobs_of(pack, "semi_weekly").window.tolist() == [67]
    with pytest.raises(CellError, match="monthly"):
        jobs_of(pack, "monthly")


def test_a_window_past_the_series_is_refused() -> None:
    pack = a_pack({"X": [1, 1]}, {"jobs_short": [{"issue_step": 0, "duration_steps": 1, "window_steps": 5}]})
    row = a_row(region="X", constraint="short", execution="interruptible", forecast_error_pct=0)
    with pytest.raises(CellError, match="ends at 2"):
        answers("lets_wait_awhile", "expected_savings", pack, row)


def test_noise_scales_with_the_mean_of_the_series_and_is_the_seeds() -> None:
    true = np.full(100_000, 200.0)
    one, same = (noisy(true, 0.05, np.random.default_rng(3)) for _ in range(2))
    assert (one == same).all()
    assert one.std() == pytest.approx(10.0, rel=0.02)


def test_the_original_drops_a_night_whose_window_begins_before_the_series() -> None:
    grid = np.full(96, 10.0)
    grid[48] = 4.0  # midnight of the second night, two steps before its nominal start
    assert nightly_starts(grid, 3, nights=2).tolist() == [48]
    assert nightly_starts(grid, 3, nights=2, drops_early=False).tolist() == [0, 48]
    assert nightly_mean_gco2e_per_kwh(grid, 0.0, 3, nights=2) == pytest.approx(2.0)  # 4 over two nights


def test_an_execution_may_be_hyphenated_and_no_error_is_none() -> None:
    pack = a_pack({"X": [5, 4, 3]}, {"jobs_own": [{"issue_step": 0, "duration_steps": 1, "window_steps": 3}]})
    row = a_row(region="X", constraint="own", execution="Non-interruptible", forecast_error_pct="")
    assert answers("lets_wait_awhile", "expected_savings", pack, row)[0]["savings_pct"] == pytest.approx(25.0)


def test_a_nightly_cell_is_answered_from_either_table() -> None:
    pack = a_pack({"X": np.tile([5.0, 5.0, 10.0] + [20.0] * 45, 366).tolist()})
    nightly = a_row(region="X", window_half_hours=1)
    assert answers("lets_wait_awhile", "expected_nightly", pack, nightly)[0]["savings_pct"] == pytest.approx(50.0)
    row = a_row(region="X", constraint="nightly", execution="", forecast_error_pct=0, window_half_hours=1)
    assert answers("lets_wait_awhile", "expected_savings", pack, row)[0]["savings_pct"] == pytest.approx(50.0)

"""GAIA by hand: each policy, the reserved cluster, and what is summed."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.reproductions.gaia import setup_of, trace_jobs
from simulations.reproductions.gaia_cluster import PlacedPiece, PlannedJob, place
from simulations.reproductions.gaia_policies import POLICIES, BatchJob, BeyondTheSeriesError, Grid, Piece
from simulations.reproductions.tables import CellError
from tests.unit.simulations.reproductions.packs import a_pack, a_row, answers

HOUR = 720


def grid(*hourly: float) -> Grid:
    return Grid(np.array([*hourly, *[500.0] * (60 - len(hourly))]))


def job(arrival: int = 0, length: int = HOUR, max_wait: int = 3 * HOUR, expected: int = HOUR) -> BatchJob:
    return BatchJob(arrival=arrival, length=length, max_wait=max_wait, expected=expected)


@pytest.mark.parametrize(
    ("policy", "start"),
    [
        ("NoWait", 360),
        ("AllWait", 360 + 3 * HOUR),
        ("Lowest-Slot", 2 * HOUR),  # the first step of the cheap hour
        ("Lowest-Window", 360 + HOUR),  # half past: 100 and 50 beat 50 and 300
        ("Carbon-Time", 360 + HOUR),
    ],
)
def test_when_each_policy_starts_a_job_that_arrives_at_half_past(policy: str, start: int) -> None:
    plan = POLICIES[policy](job(arrival=360), grid(400, 100, 50, 300, 400))
    assert plan == [Piece(start, start + HOUR)]


def test_carbon_time_takes_a_smaller_saving_that_comes_sooner() -> None:
    # Per step: waiting 1 h saves 100 over 2 h, waiting 3 h saves 150 over 4 h.
    hours = grid(200, 100, 190, 50)
    assert POLICIES["Carbon-Time"](job(), hours)[0].start == HOUR
    assert POLICIES["Lowest-Window"](job(), hours)[0].start == 3 * HOUR


def test_wait_awhile_runs_in_the_cleanest_steps_and_fills_from_the_earliest_of_equals() -> None:
    plan = POLICIES["WaitAwhile"](job(length=HOUR + 100), grid(300, 100, 200, 200))
    assert plan == [Piece(HOUR, 2 * HOUR + 100)]


def test_ecovisor_pauses_above_its_threshold_until_its_waiting_is_used_up() -> None:
    # 24 h ahead: one at 10, one at 20, the rest 500, so the 30th percentile is 500 and only the two lie below it.
    plan = POLICIES["Ecovisor"](job(length=3 * HOUR, max_wait=2 * HOUR), grid(500, 10, 500, 500, 20))
    assert plan == [Piece(HOUR, 2 * HOUR), Piece(3 * HOUR, 5 * HOUR)]


def test_looking_past_the_series_is_refused() -> None:
    with pytest.raises(BeyondTheSeriesError, match="has 60"):
        POLICIES["WaitAwhile"](job(arrival=57 * HOUR), grid())


def planned(arrival: int, start: int, end: int, cpus: int = 1, *, is_spot: bool = False) -> PlannedJob:
    return PlannedJob(arrival=arrival, cpus=cpus, pieces=[Piece(start, end)], is_spot=is_spot)


def test_a_piece_without_room_on_reserved_cpus_runs_wholly_on_demand() -> None:
    placed = place([planned(0, 0, 10, 2), planned(1, 1, 5, 2)], reserved_cpus=3)
    assert [(one.job, one.is_reserved) for one in placed] == [(0, True), (1, False)]


def test_cpus_come_back_after_the_starts_of_the_step_in_which_a_piece_ends() -> None:
    at_the_end, after = planned(1, 10, 12), planned(1, 11, 12)
    placed = place([planned(0, 0, 10), at_the_end, after], reserved_cpus=1)
    assert [(one.piece.start, one.is_reserved) for one in placed] == [(0, True), (10, False), (11, True)]


def test_a_waiting_job_starts_early_as_soon_as_reserved_cpus_are_free() -> None:
    placed = place([planned(0, 0, 10), planned(3, 100, 104)], reserved_cpus=1, starts_early=True)
    assert placed[1] == PlacedPiece(job=1, piece=Piece(11, 15), is_reserved=True)


def test_the_earliest_arrival_is_brought_forward_first() -> None:
    placed = place([planned(0, 0, 10), planned(2, 90, 94), planned(3, 80, 84)], reserved_cpus=1, starts_early=True)
    assert [(one.job, one.piece.start) for one in placed] == [(0, 0), (1, 11), (2, 16)]


def test_a_spot_job_takes_no_reserved_cpu_and_is_not_brought_forward() -> None:
    placed = place([planned(0, 50, 60, is_spot=True)], reserved_cpus=4, starts_early=True)
    assert placed == [PlacedPiece(job=0, piece=Piece(50, 60), is_reserved=False)]


def test_queues_and_expected_lengths_come_from_the_trace() -> None:
    rows = [a_row(arrival_s=s, length_s=length, cpus=1) for s, length in ((9, 7204), (0, 100), (12, 211))]
    found = trace_jobs(rows)
    assert [one.seen.arrival for one in found] == [0, 1, 2]
    assert [one.seen.expected for one in found] == [31, 1440, 31]  # (100 + 211) / 2 / 5 is 31.1; 7204 / 5 is 1440.8
    assert [one.seen.max_wait // HOUR for one in found] == [6, 24, 6]


def test_carbon_cost_and_waiting_of_one_job_by_hand() -> None:
    pack = a_pack(
        {"X": [400, 100, 100, *[500] * 40]},
        {"jobs_one": [{"job_id": 0, "arrival_s": 0, "length_s": 3600, "cpus": 2}]},
    )
    rows = [a_row(policy="Lowest-Window", reserved_cpus=cpus) for cpus in (0, 2)]
    on_demand, reserved = answers("gaia", "expected", pack, *rows)
    assert on_demand["carbon_kg"] == pytest.approx(0.2)
    assert on_demand["normalized_carbon"] == pytest.approx(0.25)
    assert on_demand["cost_usd"] == pytest.approx(2 * 0.0624)
    assert on_demand["mean_wait_h_per_piece"] == pytest.approx(1.0)
    assert reserved["cost_usd"] == pytest.approx(2 * 0.4 * 0.0624 * 1.0)  # reserved until the last start


def test_spot_prices_short_jobs_only() -> None:
    pack = a_pack(
        {"X": [100] * 80},
        {"jobs_two": [{"arrival_s": 0, "length_s": length, "cpus": 1} for length in (7200, 10800)]},
    )
    (found,) = answers("gaia", "expected", pack, a_row(policy="Spot-First-NoWait", reserved_cpus=0))
    assert found["cost_usd"] == pytest.approx(2 * 0.01248 + 3 * 0.0624)


def test_each_zone_of_a_folder_can_be_asked_for_and_no_reserved_cpus_is_none() -> None:
    pack = a_pack(
        {"X": [400, 100, 100, *[500] * 40], "Y": [200, 100, 100, *[500] * 40]},
        {"jobs_one": [{"job_id": 0, "arrival_s": 0, "length_s": 3600, "cpus": 2}]},
    )
    rows = [a_row(policy="Lowest-Window", zone=zone) for zone in ("Y", "X")]
    assert [one["normalized_carbon"] for one in answers("gaia", "expected", pack, *rows)] == [0.5, 0.25]
    assert answers("gaia", "expected", pack, a_row(policy="NoWait", zone="X", reserved_cpus=""))[0]["carbon_kg"] == 0.8


def test_a_policy_that_looks_past_the_series_is_its_own_trouble() -> None:
    pack = a_pack({"X": [100] * 4}, {"jobs_one": [{"job_id": 0, "arrival_s": 0, "length_s": 3600, "cpus": 2}]})
    assert answers("gaia", "expected", pack, a_row(policy="NoWait"))[0]["normalized_carbon"] == 1
    with pytest.raises(CellError, match=r"hour 7\.0 is needed"):
        answers("gaia", "expected", pack, a_row(policy="AllWait"))


def test_names_of_the_study_are_read_however_they_are_spelt() -> None:
    assert setup_of("AllWait-Threshold").starts_early
    assert setup_of("wait_awhile") == setup_of("WaitAwhile")
    assert setup_of("RES-First (Carbon-Time)") == setup_of("RES-First") == setup_of("Res-First-Carbon-Time")
    assert setup_of("Res-First-Carbon-Time").starts_early
    assert setup_of("SPOT-RES-Carbon-Time").uses_spot
    with pytest.raises(CellError, match="Never-Run"):
        setup_of("Never-Run")

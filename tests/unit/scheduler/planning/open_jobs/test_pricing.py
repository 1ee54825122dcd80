"""Places priced together emit to the last bit what each of them does by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from intensity_feeds.series import IntensitySeries
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.open_jobs.pricing import Run, integrals_g_s_per_kwh
from scheduler.planning.plan import Segment
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region

HOURS = 48


def a_board(*, gap: bool) -> Board:
    rates = np.random.default_rng(1).uniform(10.0, 900.0, HOURS)
    regions = [a_region("DE", pue=1.2), a_region("FR"), a_region("NO")]
    known = {name: IntensitySeries.regular(name, MIDNIGHT_S, HOUR_S, rates * (1 + n)) for n, name in enumerate("DF")}
    forecasts = {"DE": replace(known["D"], zone="DE"), "FR": replace(known["F"], zone="FR")}
    if gap:
        rates[7] = np.nan
        forecasts["FR"] = IntensitySeries.regular("FR", MIDNIGHT_S, HOUR_S, rates)
    return Board(regions, forecasts, Occupancy(regions))


def some_runs() -> list[Run]:
    draws = np.random.default_rng(2)
    runs: list[Run] = []
    for number in range(60):
        start_at_s = MIDNIGHT_S + HOUR_S * draws.uniform(-2, HOURS)
        only = Segment(
            start_at_s=start_at_s,
            end_at_s=start_at_s + HOUR_S * draws.uniform(0.01, 9),
            region=str(draws.choice(["DE", "FR", "NO", "gone"])),
        )
        later = replace(only, start_at_s=only.end_at_s + 60.0, end_at_s=only.end_at_s + 600.0)
        runs.append((a_job(f"job {number}"), (only, later) if number % 7 == 0 else (only,)))
    return runs


def test_every_place_has_the_price_that_the_board_tells() -> None:
    for gap in (False, True):
        board, runs = a_board(gap=gap), some_runs()
        found = integrals_g_s_per_kwh(board, runs)
        assert found == [board.integral_g_s_per_kwh(job, segments) for job, segments in runs]
        assert 10 < sum(one is not None for one in found) < 60


def test_nothing_to_price_is_no_price() -> None:
    assert integrals_g_s_per_kwh(a_board(gap=False), []) == []

"""A plan made again is the same whether jobs that cannot gain are searched or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption, Job
from scheduler.planning.open_jobs import cleanest
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.needs import Place
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.plan import Hold, Plan, Region, Segment
from scheduler.planning.planner import OpenJob
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region
from tests.properties.test_fleet_plans import some_jobs

pytestmark = pytest.mark.slow

HELD = Hold(start_at_s=MIDNIGHT_S + 3 * HOUR_S, end_at_s=MIDNIGHT_S + 9 * HOUR_S, gpus=2)
FLEETS = (
    (a_region("DE", gpus=4), a_region("FR", gpus=2, pue=1.3)),
    (replace(a_region("DE", gpus=5), held=(HELD,)), replace(a_region("FR", gpus=3), gpu_gco2e_per_s=1e-3)),
)
rates = st.one_of(st.integers(1, 900).map(float), st.sampled_from([float("nan"), -20.0, 300.0, 300.0]))
rows = st.lists(rates, min_size=1, max_size=36)


@dataclass(frozen=True, kw_only=True)
class EverybodyMayGain:
    """What takes nothing for granted."""

    board: Board
    kept: Sequence[Place]
    enough_g_s_per_kwh: Sequence[float]

    def regions_of(self, index: int) -> frozenset[str]:
        del index
        return frozenset(region.name for region in self.board.regions)

    def left(self, index: int, segments: Sequence[Segment]) -> None:
        """Nothing to look at again."""


def forecasts_of(row: list[float], other: list[float]) -> dict[str, IntensitySeries]:
    return {
        "DE": IntensitySeries.regular("DE", MIDNIGHT_S, HOUR_S, row),
        "FR": IntensitySeries.regular("FR", MIDNIGHT_S, 900.0, other),
    }


def made_again(
    jobs: Sequence[Job],
    fleet: Sequence[Region],
    planner: FleetPlanner,
    grids: Sequence[tuple[list[float], list[float]]],
) -> Plan:
    """The plan after each forecast in turn, some minutes later each time."""
    plan = Plan(made_at_s=MIDNIGHT_S, placements={}, refusals={})
    for number, (row, other) in enumerate(grids):
        open_jobs = [OpenJob(job=one, planned=plan.placements.get(one.id)) for one in jobs]
        plan = planner.plan(open_jobs, fleet, forecasts_of(row, other), MIDNIGHT_S + 420.0 * number)
    return plan


def a_crowd(draws: Random, *, may_pause: bool) -> list[Job]:
    """Enough jobs that the clean hours are taken, none of them in a hurry."""
    pause = Interruption(checkpoint_s=300.0, restore_s=300.0, min_run_s=900.0)
    return [
        a_job(
            f"job {number}",
            duration_s=300.0 * draws.randint(2, 40),
            within_s=HOUR_S * draws.randint(20, 30),
            gpus=draws.choice((1, 1, 1, 2)),
            interruption=pause if may_pause and draws.random() < 0.2 else None,
        )
        for number in range(draws.randint(15, 40))
    ]


def is_same(
    jobs: Sequence[Job],
    fleet: Sequence[Region],
    planner: FleetPlanner,
    grids: Sequence[tuple[list[float], list[float]]],
) -> bool:
    with pytest.MonkeyPatch.context() as only_mended:
        only_mended.setattr(cleanest, "_MOST_SEARCHES", -1)
        bounded = made_again(jobs, fleet, planner, grids)
        only_mended.setattr(cleanest, "Prospects", EverybodyMayGain)
        searched = made_again(jobs, fleet, planner, grids)
    return bounded.placements == searched.placements and bounded.refusals == searched.refusals


@pytest.mark.parametrize("seed", range(30))
def test_a_crowd_moves_to_the_same_places_when_everybody_is_searched(seed: int) -> None:
    draws = Random(seed)
    row, other = ([float(draws.randint(50, 500)) for _ in range(hours)] for hours in (32, 128))
    grids = []
    for _ in range(3):
        row, other = ([rate * draws.uniform(0.85, 1.15) for rate in one] for one in (row, other))
        grids.append((row, other))
    planner = FleetPlanner(reserve_ratio=draws.choice((0.0, 0.375)), hysteresis_ratio=draws.choice((0.0, 0.02)))
    assert is_same(a_crowd(draws, may_pause=seed % 3 == 0), draws.choice(FLEETS), planner, grids)


@settings(max_examples=60, deadline=None)
@given(
    some_jobs(),
    st.sampled_from(FLEETS),
    st.sampled_from([0.0, 0.375]),
    st.sampled_from([0.0, 0.02]),
    st.lists(st.tuples(rows, rows), min_size=2, max_size=3),
)
def test_a_plan_made_again_is_the_same_when_everybody_is_searched(
    jobs: list[Job],
    fleet: tuple[Region, ...],
    reserve_ratio: float,
    hysteresis_ratio: float,
    grids: list[tuple[list[float], list[float]]],
) -> None:
    planner = FleetPlanner(reserve_ratio=reserve_ratio, hysteresis_ratio=hysteresis_ratio)
    assert is_same(jobs, fleet, planner, grids)

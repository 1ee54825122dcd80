"""A plan made again is the same whether jobs that cannot gain are searched or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Job
from scheduler.planning.open_jobs import cleanest
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.placing import Board, Place
from scheduler.planning.plan import Hold, Plan, Region, Segment
from scheduler.planning.planner import OpenJob
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_region
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


@settings(max_examples=150, deadline=None)
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
    with pytest.MonkeyPatch.context() as only_mended:
        only_mended.setattr(cleanest, "_MOST_SEARCHES", -1)
        bounded = made_again(jobs, fleet, planner, grids)
        only_mended.setattr(cleanest, "Prospects", EverybodyMayGain)
        searched = made_again(jobs, fleet, planner, grids)
    assert bounded.placements == searched.placements
    assert bounded.refusals == searched.refusals

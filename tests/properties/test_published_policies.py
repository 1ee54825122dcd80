"""On an empty fleet a scenario's published policies choose what the reproduction of their study chooses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption, Job, JobKind
from scheduler.planning.plan import Placement, Region
from scheduler.planning.planner import OpenJob
from simulations.baselines import conduct_of
from simulations.policies.planner import PublishedPlanner
from simulations.reproductions.gaia_policies import POLICIES, STEP_S, STEPS_PER_HOUR, BatchJob, Grid, Piece
from simulations.scenario import PolicyKind
from tests.unit.simulations.scenarios import a_job_trace, some_inputs

PAIRS = {
    PolicyKind.LOWEST_SLOT: "Lowest-Slot",
    PolicyKind.LOWEST_WINDOW: "Lowest-Window",
    PolicyKind.CARBON_TIME: "Carbon-Time",
    PolicyKind.SUSPEND_RESUME: "Ecovisor",
    PolicyKind.WAIT_AWHILE: "WaitAwhile",
}
HOURS = 80


def planned(kind: PolicyKind, values: np.ndarray, job: BatchJob) -> list[Piece]:
    """What the scenario's planner says, in the steps of the study."""
    arrives_s, lasts_s = float(job.arrival * STEP_S), float(job.length * STEP_S)
    newcomer = Job(
        id="only",
        kind=JobKind.FINE_TUNING,
        submitted_at_s=arrives_s,
        earliest_start_at_s=arrives_s,
        deadline_at_s=arrives_s + lasts_s + job.max_wait * STEP_S,
        duration_s=lasts_s,
        power_w=1000.0,
        interruption=Interruption(),
    )
    planner = conduct_of(kind, some_inputs(jobs=a_job_trace((0, 1, 1))).scenario).planner
    assert isinstance(planner, PublishedPlanner)
    regions = [Region(name="here", zone="Z", gpus=1)]
    forecasts = {"Z": IntensitySeries.regular("Z", 0.0, 3600.0, values)}
    found = planner.place(OpenJob(job=newcomer), (), regions, forecasts, arrives_s)
    assert isinstance(found, Placement)
    return [Piece(round(one.start_at_s / STEP_S), round(one.end_at_s / STEP_S)) for one in found.segments]


@pytest.mark.parametrize("kind", PAIRS)
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    arrival=st.integers(0, 24 * STEPS_PER_HOUR),
    length=st.integers(1, 10 * STEPS_PER_HOUR),
    max_wait_h=st.integers(0, 24),
)
def test_alone_it_does_what_was_published(
    kind: PolicyKind, seed: int, arrival: int, length: int, max_wait_h: int
) -> None:
    # Drawn from a generator, so that no two sums are equal but for rounding.
    values = np.random.default_rng(seed).uniform(50, 500, HOURS).round(6)
    job = BatchJob(arrival=arrival, length=length, max_wait=max_wait_h * STEPS_PER_HOUR, expected=length)
    assert planned(kind, values, job) == POLICIES[PAIRS[kind]](job, Grid(values))

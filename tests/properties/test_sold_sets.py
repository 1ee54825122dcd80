"""Room sold to sets of jobs: beside every set there is, and beside plans whose runs begin and end between cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import Floats
from scheduler.jobs import Interruption, Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.grams_proof import least_gco2e_by_windows
from scheduler.planning.whole_fleet.alone.sold_sets import Resource, SoldSets, units_of
from scheduler.planning.whole_fleet.alone.weighed_room import WeighedRoom
from scheduler.planning.whole_fleet.certificate import recomputed_gco2e
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

# Carbon and prices change by hours, runs begin and end on half hours too.
HOURS, SLOTS, SLOT_S = 5, 10, HOUR_S / 2
GPUS, CAP_W = (4, 9), 4000.0
LOOKED = 2_000_000
# No half is looked at.
LOOKED_AT_ROOT = 1_200_000
intensities = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)
# What a run holds of each region in each slot, and its grams.
Place = tuple[np.ndarray[tuple[int, ...], np.dtype[np.int64]], float]


@st.composite
def half_hourly_jobs(draw: st.DrawFn) -> list[Job]:
    """Many are as wide as a region, or nearly."""
    jobs = []
    for number in range(draw(st.integers(2, 4))):
        may_pause = draw(st.sampled_from((False, False, True)))
        length = draw(st.integers(1, 3 if may_pause else 6))
        earliest = draw(st.integers(0, SLOTS - length))
        within = draw(st.integers(length, min(SLOTS - earliest, 5 if may_pause else SLOTS)))
        gpus = draw(st.sampled_from((1, 2, 4, 5, 8, 9)))
        job = a_job(
            f"job-{number}",
            duration_s=length * SLOT_S,
            earliest_s=MIDNIGHT_S + earliest * SLOT_S,
            within_s=within * SLOT_S,
            gpus=gpus,
            power_w=draw(st.sampled_from((300.0, 450.5, 700.0))) * gpus,
        )
        jobs.append(replace(job, interruption=Interruption()) if may_pause else job)
    return jobs


def a_case(jobs: Sequence[Job], row: Sequence[float], other: Sequence[float]) -> FleetCase:
    case = FleetCase(
        jobs=jobs,
        regions=[a_region("Z0", gpus=GPUS[0], pue=1.25), a_region("Z1", gpus=GPUS[1])],
        forecasts={"Z0": a_series(*row, zone="Z0"), "Z1": a_series(*other, zone="Z1")},
        power_caps_w={"Z1": CAP_W},
    )
    return replace(case, jobs=[job for job in jobs if case.allowed(job)])


def places(case: FleetCase, job: Job) -> Iterator[Place]:
    first = round((job.earliest_start_at_s - MIDNIGHT_S) / SLOT_S)
    after = round((job.deadline_at_s - MIDNIGHT_S) / SLOT_S)
    length = round(job.duration_s / SLOT_S)
    runs = [range(slot, slot + length) for slot in range(first, after - length + 1)]
    of_slots = list(combinations(range(first, after), length)) if job.interruption is not None else runs
    for slots in of_slots:
        of_rows = product(case.allowed(job), repeat=length if job.interruption is not None else 1)
        for rows in of_rows:
            holds = np.zeros((2, SLOTS), dtype=np.int64)
            holds[list(rows) * (1 if len(rows) == length else length), list(slots)] = 1
            yield holds, sum(gco2e_of_slot(case, job, row, slot) for row, slot in zip(*np.nonzero(holds), strict=True))


def gco2e_of_slot(case: FleetCase, job: Job, row: int, slot: int) -> float:
    start_at_s = MIDNIGHT_S + int(slot) * SLOT_S
    run = Segment(start_at_s=start_at_s, end_at_s=start_at_s + SLOT_S, region=case.regions[row].name)
    return recomputed_gco2e(case, job, (run,))


def least_gco2e(case: FleetCase) -> float:
    """Over all plans of whole slots; infinite when not all jobs fit."""
    free = np.repeat(np.array([GPUS]).T, SLOTS, axis=1).astype(np.float64)
    free_w = np.array([[np.inf] * SLOTS, [CAP_W + 1e-9] * SLOTS])
    found = [sorted(places(case, job), key=lambda place: place[1]) for job in case.jobs]
    return _least(case.jobs, found, free, free_w, np.inf)


def _least(jobs: Sequence[Job], found: Sequence[list[Place]], free: Floats, free_w: Floats, best: float) -> float:
    if not jobs:
        return 0.0
    for holds, gco2e in found[0]:
        if gco2e + sum(some[0][1] for some in found[1:]) >= best:
            break
        left, left_w = free - jobs[0].gpus * holds, free_w - jobs[0].power_w * holds
        if (left >= 0).all() and (left_w >= 0).all():
            best = min(best, gco2e + _least(jobs[1:], found[1:], left, left_w, best - gco2e))
    return best


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(half_hourly_jobs(), intensities, intensities)
def test_no_plan_emits_less_than_sets_prove(jobs: list[Job], row: list[float], other: list[float]) -> None:
    case = a_case(jobs, row, other)
    least = least_gco2e(case)
    if np.isinf(least) or not case.jobs:
        return
    for enough_gco2e in (least, 1.5 * least):
        proved = least_gco2e_by_windows(case.jobs, Rates.of(case), enough_gco2e, 0, LOOKED // 2)
        assert proved is not None
        assert proved <= least * (1 + 1e-9)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(half_hourly_jobs(), intensities, intensities, st.integers(0, 2**32))
def test_no_plan_emits_less_than_any_prices_prove(
    jobs: list[Job], row: list[float], other: list[float], seed: int
) -> None:
    case = a_case(jobs[:3], row, other)
    if not case.jobs or np.isinf(least := least_gco2e(case)):
        return
    sets = SoldSets(WeighedRoom(case.jobs, rates := Rates.of(case)), rates)
    generator = np.random.default_rng(seed)
    for gco2e_per_s in (0.0, 0.01, 0.1):
        prices = generator.exponential(gco2e_per_s, (len(sets.resources), len(case.jobs), len(rates.lengths_s)))
        assert sets.answer(np.arange(len(sets.job)), prices).least_gco2e <= least * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 10), st.integers(0, 20)), min_size=1, max_size=7),
)
def test_the_set_that_pays_most_is_the_best_of_all_that_fit(units: int, jobs: list[tuple[int, int]]) -> None:
    sizes, prices = np.array(jobs).T
    prices = np.where(sizes > 0, prices, 0).astype(np.float64)
    paid, is_in = Resource(row=0, units=units, sizes=sizes).best_sets(prices[:, None])
    every = (np.array(some, dtype=np.bool_) for some in product((False, True), repeat=len(jobs)))
    assert paid[0] == max(prices[some].sum() for some in every if sizes[some].sum() <= units)
    assert sizes[is_in[:, 0]].sum() <= units
    assert prices[is_in[:, 0]].sum() == paid[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**6), st.lists(st.floats(0.001, 1.0), min_size=1, max_size=6))
def test_what_fits_a_resource_fits_it_in_larger_units(amount: int, shares: list[float]) -> None:
    asked = [max(1, round(share * amount)) for share in shares]
    found = units_of(0, amount, asked)
    for some in product((False, True), repeat=len(asked)):
        if sum(one for one, is_in in zip(asked, some, strict=True) if is_in) <= amount:
            assert found.sizes[np.array(some)].sum() <= found.units


def test_a_gang_and_a_narrow_job_never_share_an_hour() -> None:
    """By weights half of the gang fits beside both others in the clean hour; of sets the gang does or they do."""
    gang = a_job("gang", duration_s=HOUR_S, within_s=4 * HOUR_S, gpus=4, power_w=1000.0)
    narrow = [a_job(f"narrow-{number}", duration_s=HOUR_S, within_s=4 * HOUR_S, power_w=1000.0) for number in range(2)]
    case = FleetCase(
        jobs=[gang, *narrow],
        regions=[a_region("Z0", gpus=4)],
        forecasts={"Z0": a_series(100.0, 500.0, 500.0, 500.0, zone="Z0")},
    )
    by_weight = least_gco2e_by_windows(case.jobs, Rates.of(case), 1e6, LOOKED_AT_ROOT, 0)
    by_sets = least_gco2e_by_windows(case.jobs, Rates.of(case), 1e6, LOOKED_AT_ROOT, LOOKED)
    assert by_weight is not None
    assert by_sets is not None
    assert by_weight < 650.0
    assert by_sets == pytest.approx(700.0, rel=1e-3)

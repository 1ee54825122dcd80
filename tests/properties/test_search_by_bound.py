"""A place is the same whether a table of all forecasts tells where to look, or every region is searched.

And what holdings have counted as jobs came, moved and went is what counting anew finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import IntensitySeries
from scheduler.planning.open_jobs import job_room
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.glance import least_beside
from scheduler.planning.open_jobs.grid_rows import GridRows, is_surely_above
from scheduler.planning.open_jobs.needs import Need
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.open_jobs.standing import Holdings, Standing, held_segments
from scheduler.planning.plan import Cause, Hold, Placement, Region, Segment
from scheduler.planning.planner import OpenJob
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region

ZONES = ("DE", "FR", "GB", "SE", "PL")
pytestmark = pytest.mark.slow

HELD = Hold(start_at_s=MIDNIGHT_S + 2 * HOUR_S, end_at_s=MIDNIGHT_S + 5 * HOUR_S, gpus=2)
SIZES = ((4, 1.0), (4, 1.3), (2, 1.0), (8, 1.0), (3, 2.0))
PLAIN = tuple(a_region(zone, gpus=gpus, pue=pue) for zone, (gpus, pue) in zip(ZONES, SIZES, strict=True))
FLEETS = (
    PLAIN,
    (replace(PLAIN[0], held=(HELD,)), *PLAIN[1:]),
    (replace(PLAIN[0], power_cap_w=2500.0), *PLAIN[1:]),
)
# Few values, so that regions and hours are often equal.
rates = st.sampled_from([0.0, 100.0, 100.0, 200.0, 300.0, 317.0, -20.0])
tables = st.lists(st.lists(rates, min_size=len(ZONES), max_size=len(ZONES)), min_size=2, max_size=30)
offsets_s = st.sampled_from([0.0, 0.0, 900.0, 1234.5])
pieces = st.tuples(st.integers(0, 4), st.integers(0, 40), st.integers(1, 12), st.integers(1, 4))
needs = st.tuples(st.integers(0, 9), offsets_s, st.floats(0.05, 9.0), st.sampled_from([0.0, 0.3, 2.0, 20.0]))


def forecasts_of(table: Sequence[Sequence[float]]) -> dict[str, IntensitySeries]:
    columns = zip(*table, strict=True)
    return {
        zone: IntensitySeries.regular(zone, MIDNIGHT_S, HOUR_S, list(column))
        for zone, column in zip(ZONES, columns, strict=True)
    }


def need_of(numbers: tuple[int, float, float, float], gpus: int) -> Need:
    begin_h, offset_s, duration_h, slack_h = numbers
    earliest_s, duration_s = MIDNIGHT_S + begin_h * HOUR_S + offset_s, duration_h * HOUR_S
    job = replace(
        a_job(power_w=700.0 * gpus, gpus=gpus),
        earliest_start_at_s=earliest_s,
        submitted_at_s=MIDNIGHT_S,
        deadline_at_s=earliest_s + duration_s + slack_h * HOUR_S,
        duration_s=duration_s,
    )
    return Need(job=job, work_s=duration_s, earliest_s=earliest_s)


def board_of(
    fleet: Sequence[Region], table: Sequence[Sequence[float]], taken: Sequence[tuple[int, int, int, int]]
) -> Board:
    forecasts = forecasts_of(table)
    board = Board(fleet, forecasts, job_room.occupied(fleet, ()), 0.375)
    for number, (place, begin_h, hours, gpus) in enumerate(taken):
        begin_s = MIDNIGHT_S + begin_h * HOUR_S / 2
        only = Segment(start_at_s=begin_s, end_at_s=begin_s + hours * HOUR_S, region=fleet[place].name)
        if board.has_room(only, other := replace(a_job(gpus=gpus), id=f"other-{number}")):
            job_room.take(board.occupancy, other, (only,))
    return board


@settings(max_examples=300, deadline=None)
@given(
    fleet=st.sampled_from(FLEETS),
    table=tables,
    taken=st.lists(pieces, max_size=12),
    numbers=needs,
    gpus=st.integers(1, 5),
)
def test_the_table_changes_no_place(
    fleet: Sequence[Region],
    table: list[list[float]],
    taken: list[tuple[int, int, int, int]],
    numbers: tuple[int, float, float, float],
    gpus: int,
) -> None:
    everywhere, wanted = board_of(fleet, table, taken), need_of(numbers, gpus)
    by_bound = replace(everywhere, rows=GridRows.of(fleet, everywhere.forecasts))
    assert by_bound.rows is not None
    found = everywhere.cheapest(wanted)
    assert by_bound.cheapest(wanted) == found
    if found is not None and (price := found.integral_g_s_per_kwh) is not None:
        for than_g_s_per_kwh in (price, price + 0.02 * abs(price) + 1.0):
            assert by_bound.cheaper(wanted, than_g_s_per_kwh) == everywhere.cheaper(wanted, than_g_s_per_kwh)


@settings(max_examples=300, deadline=None)
@given(table=tables, taken=st.lists(pieces, max_size=12), numbers=needs, gpus=st.integers(1, 5))
def test_what_is_told_at_a_glance_is_what_a_search_in_the_region_finds(
    table: list[list[float]],
    taken: list[tuple[int, int, int, int]],
    numbers: tuple[int, float, float, float],
    gpus: int,
) -> None:
    board, wanted = board_of(PLAIN, table, taken), need_of(numbers, gpus)
    rows = GridRows.of(PLAIN, board.forecasts)
    assert rows is not None
    least = rows.least(wanted.whole_s, wanted.earliest_s, wanted.job.deadline_at_s)
    if least is None:
        return
    for place, region in enumerate(PLAIN):
        told = min(least_beside(board.occupancy, region, gpus, board.reserve_ratio, least, place))
        assert not is_surely_above(float(least.ever_g_s_per_kwh[place]), told)
        alone = Board((region,), board.forecasts, board.occupancy, board.reserve_ratio).cheapest(wanted)
        if told != float("inf"):
            assert alone is not None
            assert alone.integral_g_s_per_kwh == pytest.approx(told, rel=1e-9, abs=1e-3)


changes = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["plan", "run", "drop", "late"]), pieces), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(told=changes)
def test_holdings_count_what_counting_anew_finds(told: list[tuple[int, str, tuple[int, int, int, int]]]) -> None:
    holdings, jobs = Holdings(PLAIN), dict[str, OpenJob]()
    for number, what, (place, begin_h, hours, gpus) in told:
        name, begin_s = f"job-{number}", MIDNIGHT_S + begin_h * HOUR_S / 2
        if what == "drop":
            holdings.drop(name)
            jobs.pop(name, None)
            continue
        job = jobs[name].job if name in jobs else replace(a_job(gpus=gpus), id=name)
        only = Segment(start_at_s=begin_s, end_at_s=begin_s + hours * HOUR_S, region=PLAIN[place].name)
        planned = Placement(job_id=name, segments=(only,), cause=Cause.LATE if what == "late" else Cause.CLEANEST)
        jobs[name] = OpenJob(job=job, running=only if what == "run" else None, planned=planned)
        holdings.put(jobs[name])
    anew = job_room.occupied(PLAIN, ((one.job, held_segments(one)) for one in jobs.values()))
    instants_s = [MIDNIGHT_S + quarter * HOUR_S / 4 for quarter in range(-1, 140)]
    for region in PLAIN:
        counted = [holdings.occupancy.taken(region.name, at_s) for at_s in instants_s]
        assert counted == [anew.taken(region.name, at_s) for at_s in instants_s]
    waiting = [one.planned for one in jobs.values() if one.running is None]
    late = {planned.job_id for planned in waiting if planned is not None and planned.cause is Cause.LATE}
    assert {planned.job_id for planned in holdings.hurried} == late


@settings(max_examples=60, deadline=None)
@given(table=tables, taken=st.lists(pieces, max_size=12), numbers=needs, gpus=st.integers(1, 5))
def test_beside_holdings_a_newcomer_is_placed_as_beside_a_list(
    table: list[list[float]],
    taken: list[tuple[int, int, int, int]],
    numbers: tuple[int, float, float, float],
    gpus: int,
) -> None:
    forecasts, wanted = forecasts_of(table), need_of(numbers, gpus)
    holdings, others = Holdings(PLAIN), list[OpenJob]()
    for number, (place, begin_h, hours, held) in enumerate(taken):
        begin_s = MIDNIGHT_S + begin_h * HOUR_S / 2
        only = Segment(start_at_s=begin_s, end_at_s=begin_s + hours * HOUR_S, region=PLAIN[place].name)
        planned = Placement(job_id=f"other-{number}", segments=(only,), cause=Cause.CLEANEST)
        others.append(OpenJob(job=replace(a_job(gpus=held), id=f"other-{number}"), planned=planned))
        holdings.put(others[-1])
    newcomer, planner = OpenJob(job=wanted.job), FleetPlanner()
    beside = Standing(holdings, lambda: others)
    placed = planner.place(newcomer, beside, PLAIN, forecasts, wanted.earliest_s)
    assert placed == planner.place(newcomer, others, PLAIN, forecasts, wanted.earliest_s)
